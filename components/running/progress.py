"""Progress of a running step: lines of `key=value` pairs on standard output.

The terminal, DVC, a Prefect flow and the panel read the same lines, so a step leaves no progress file behind. `parse` is the
inverse of `format_progress`.
"""

import math
import re
import time

PREFIX = "progress"
_PAIR = re.compile(r"(\w+)=(\S+)")


def format_progress(done: int, total: int, **figures: float) -> str:
    """`progress done=3 total=10 loss=2.301`: figures in order, four significant digits."""
    pairs = [
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in figures.items()
    ]
    return " ".join([PREFIX, f"done={done}", f"total={total}", *pairs])


def parse(line: str) -> dict[str, float] | None:
    """The figures of a progress line, or None for any other line."""
    if not line.startswith(PREFIX + " "):
        return None
    try:
        figures = {name: float(value) for name, value in _PAIR.findall(line)}
    except ValueError:
        return None
    return figures if {"done", "total"} <= figures.keys() else None


class Progress:
    """Prints a progress line at most every `every` seconds, and always for the last unit of work."""

    def __init__(self, total: int, every: float = 1.0) -> None:
        self.total, self.every = total, every
        self._last = -math.inf  # on some systems the clock is 0 when the machine starts

    def update(self, done: int, **figures: float) -> None:
        now = time.monotonic()
        if done >= self.total or now - self._last >= self.every:
            self._last = now
            print(format_progress(done, self.total, **figures), flush=True)


class Pace:
    """Selects progress lines for a log: one every `every` seconds at first, later one every `slowest` seconds."""

    def __init__(self, every: float = 5.0, slowest: float = 30.0) -> None:
        self.every, self.slowest = every, slowest
        self._started = self._next = time.monotonic()

    def due(self) -> bool:
        """Whether to keep a line now."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + min(max(self.every, (now - self._started) / 20), self.slowest)
        return True
