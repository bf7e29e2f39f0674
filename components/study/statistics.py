"""Statistics of studies: paired intervals over seeds, tokens to a loss, speed-up."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components.results import statistics


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its confidence interval (Student's t); `low` and `high` are None for a single seed."""

    mean: float
    low: float | None
    high: float | None
    n: int

    def record(self) -> dict[str, Any]:
        return asdict(self)


def interval(values: Sequence[float]) -> Interval:
    """The mean of some values, one per seed, with its interval."""
    mean = statistics.mean(values)
    return Interval(mean.value, *statistics.interval(mean), mean.n)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """The mean difference of two arms, paired by seed, with its interval."""
    return interval([our - their for our, their in zip(ours, theirs, strict=True)])


def verdict(difference: Interval, better: int) -> str:
    """`better` or `worse` if the interval does not contain 0, else `not distinguishable`."""
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return "not distinguishable"
    return "better" if difference.mean * better > 0 else "worse"


@dataclass(frozen=True)
class Reached:
    """The cost at which a series of finished training runs reaches a loss.

    Attributes:
        cost: tokens or FLOPs; None if the loss isn't reached.
        how: `start` (before any training), `between` (interpolated between two budgets), `at most` (already at the
            smallest budget) or `not reached`.
    """

    cost: float | None
    how: str


def reached(budgets: Sequence[tuple[float, float]], start_loss: float, target: float) -> Reached:
    """The cost at which an arm has a loss, from the final losses of its training runs.

    A loss in the middle of a run is not a measurement: the learning rate has not decayed yet (Hagele et al., arXiv
    2405.18392). So the loss between two budgets is interpolated, linearly in the logarithm of the cost.

    Args:
        budgets: (cost, final loss) of each training run, by rising cost.
        start_loss: loss before the first step.
        target: the loss to reach.
    """
    if start_loss <= target:
        return Reached(0.0, "start")
    before: tuple[float, float] | None = None
    for cost, loss in budgets:
        if loss <= target:
            if before is None:
                return Reached(cost, "at most")
            share = (before[1] - target) / (before[1] - loss)
            return Reached(before[0] * (cost / before[0]) ** share, "between")
        before = (cost, loss)
    return Reached(None, "not reached")


def speed_up(theirs: float, ours: float | None) -> float | None:
    """`theirs / ours - 1`: 1.0 means half the cost. None if ours is unknown or 0."""
    return theirs / ours - 1 if ours else None
