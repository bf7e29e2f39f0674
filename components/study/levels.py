"""Paired differences of two arms over seeds and over the exam's families: intervals, and what they can detect.

The seeds of an arm answer the same exam, so their spread does not show how far other questions would change a difference.
With the families' scores at hand, families and seeds both count as samples.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.results import statistics
from components.results.power import power_words
from components.study.statistics import Interval, paired

LEVELS = (
    "Detects: the smallest true difference that is found in 8 of 10 cases. In the exam, families and seeds both count as "
    "drawn at random; more questions are in proportionally more families."
)


def over_seeds(ours: Sequence[float], theirs: Sequence[float]) -> tuple[Interval, dict[str, Any]]:
    """The mean difference over seeds, and what this many seeds detect."""
    mean = statistics.mean([our - their for our, their in zip(ours, theirs, strict=True)])
    detectable = statistics.detectable(mean.error, degrees=mean.degrees) if mean.error else None
    return paired(ours, theirs), {"detectable": detectable, "needed": None, "needed_seeds": statistics.needed(mean)}


def over_families_and_seeds(
    ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]
) -> tuple[Interval, dict[str, Any]]:
    """The mean difference in the exam over families and seeds, and what this many of both detect.

    Args:
        ours, theirs: by seed, the exam's `accuracy`, and `tasks` (accuracy by family) and `examples` (questions) if they are
            known. Without the families of at least two seeds, only the seeds count.
    """
    both = [*ours, *theirs]
    families = sorted(set.intersection(*({*(exam.get("tasks") or {})} for exam in both)))
    if len(ours) < 2 or len(families) < 2 or any(len(exam["tasks"]) > len(families) for exam in both):
        return over_seeds([exam["accuracy"] for exam in ours], [exam["accuracy"] for exam in theirs])
    pairs = zip(ours, theirs, strict=True)
    found = statistics.crossed([[our["tasks"][f] - their["tasks"][f] for f in families] for our, their in pairs])
    questions = both[0].get("examples")
    needed = None
    if questions and found.needed_units:  # more families with as many questions each
        needed = math.ceil(questions * found.needed_units / found.units)
    power = {"detectable": found.detectable or None, "needed": needed, "needed_seeds": found.needed_seeds}
    return Interval(found.value, found.low, found.high, found.seeds), power | {"families": found.units}


def judged(row: Mapping[str, Any], verdict: str, digits: int) -> str:
    """A verdict with what the data detects: `not distinguishable, would need about 5,400 questions or 7 seeds`."""
    if row["low"] is None:
        return verdict
    words = power_words(row, digits).removeprefix(", ")
    return words if verdict in words else ", ".join(filter(None, (verdict, words)))
