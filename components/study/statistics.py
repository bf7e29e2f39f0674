"""Statistics of studies: paired intervals over seeds, tokens to a loss, speed-up."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
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
    2405.18392). So the logarithm of the cost is interpolated between the final losses: by a monotone cubic (PCHIP) through
    all budgets, which between two budgets is a straight line. Lines alone would overstate the cost by up to 2% where the
    next budget is twice as large, since the loss falls ever more slowly. If it doesn't fall everywhere, the line between
    the two neighbours is used.

    Args:
        budgets: (cost, final loss) of each training run, by rising cost.
        start_loss: loss before the first step.
        target: the loss to reach.
    """
    if start_loss <= target:
        return Reached(0.0, "start")
    place = next((number for number, (_, loss) in enumerate(budgets) if loss <= target), None)
    if place is None:
        return Reached(None, "not reached")
    if place == 0:
        return Reached(budgets[0][0], "at most")
    from scipy.interpolate import PchipInterpolator

    falling = all(after[1] < before[1] for before, after in pairwise(budgets))
    costs, losses = zip(*(budgets if falling else budgets[place - 1 : place + 1]), strict=True)
    logarithm = PchipInterpolator([-loss for loss in losses], [math.log(cost) for cost in costs])(-target)
    return Reached(math.exp(logarithm), "between")


def speed_up(theirs: float, ours: float | None) -> float | None:
    """`theirs / ours - 1`: 1.0 means half the cost. None if ours is unknown or 0."""
    return theirs / ours - 1 if ours else None
