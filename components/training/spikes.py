"""Detects loss spikes: steps with a loss far above those before them."""

import math
from collections import deque

WINDOW = 128  # steps that a loss is compared with
ENOUGH = 64  # steps before the first spike can be detected


class SpikeDetector:
    """Compares each loss with the mean and the standard deviation of the last WINDOW losses (OLMo 2 skips steps this way,
    arXiv 2501.00656). A spike enters the window as the highest loss that is not a spike: so a second spike is still
    detected, and a new level (another kind of text) is accepted after a few steps.

    Args:
        sigmas: number of standard deviations above the mean at which a loss is a spike; 0 = off.
    """

    def __init__(self, sigmas: float) -> None:
        self.sigmas = sigmas
        self.window: deque[float] = deque(maxlen=WINDOW)

    def look(self, loss: float) -> str | None:
        """Add a step's loss; returns a description if it is a spike, else None."""
        if self.sigmas and len(self.window) >= ENOUGH:
            mean = math.fsum(self.window) / len(self.window)
            deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in self.window) / (len(self.window) - 1))
            if loss > (limit := mean + self.sigmas * deviation):
                self.window.append(limit)
                return f"loss {loss:.3f} against {mean:.3f} ± {deviation:.3f} over {len(self.window)} steps"
        self.window.append(loss)
        return None
