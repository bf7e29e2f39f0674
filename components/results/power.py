"""What a score and a difference can tell, in the same words in the terminal, the report and the panel."""

import math
from collections.abc import Mapping
from typing import Any

from components.results.statistics import detectable

LEGEND = (
    "detects: the smallest true difference that this many questions distinguish from 0 in 8 of 10 cases; of a score, from "
    "chance, and from another model that scores alike on these questions, without counting clusters"
)


def from_chance(chance_stderr: float | None) -> float | None:
    """The smallest distance of a score from chance that its questions detect.

    Args:
        chance_stderr: standard error of the score of a model that guesses. Such answers are independent, so clusters do
            not change it.
    """
    return detectable(chance_stderr) if chance_stderr else None


def from_another(stderr: float | None) -> float | None:
    """The smallest difference from another model that a score's questions detect.

    It is an estimate before the other model is known: for one that scores alike, whose answers are independent given the
    question's task. Answers that agree make the paired difference more precise, and families or passages on which the
    models differ by different amounts less; its own minimum detectable effect counts both.

    Args:
        stderr: of the score, without clusters, since their difficulty is the same for both models.
    """
    return detectable(math.sqrt(2) * stderr) if stderr else None


def score_words(chance: float | None, another: float | None, digits: int = 3) -> str:
    """`0.026 from chance, 0.036 from another model`, to be read after `detects`; empty if nothing is known.

    Args:
        chance, another: results of `from_chance` and `from_another`.
    """
    parts = [(chance, "chance"), (another, "another model")]
    known = [f"{value:.{digits}f} from {words}" for value, words in parts if value is not None]
    return ", ".join(known)


def entry_words(entry: Mapping[str, Any], metric: str) -> str:
    """`score_words` of an entry of scores.json."""
    guess = (entry.get("chance") or {}).get("stderr")
    comparable = metric.startswith("acc")  # chance is an accuracy
    return score_words(from_chance(guess) if comparable else None, from_another(entry[metric]["stderr"]))


def error_words(stderr: float | None, clustered: float | None, clusters: int | None, digits: int = 3) -> str:
    """` ± 0.009 (± 0.055 over 31 clusters)`, one standard error each; empty if unknown."""
    if stderr is None:
        return ""
    beside = "" if clustered is None else f" (± {clustered:.{digits}f} over {clusters} clusters)"
    return f" ± {stderr:.{digits}f}{beside}"


def difference_words(row: Mapping[str, Any], digits: int = 3) -> str:
    """`+0.020 [-0.001, +0.041], detects 0.030; not distinguishable, would need about 5,400 questions or 7 seeds`.

    Args:
        row: `value`, `low`, `high`, `detectable`, and `needed` (questions) and `needed_seeds` if they are known; `low` and
            `high` are None without an interval.
    """
    text = f"{row['value']:+.{digits}f}"
    if row.get("low") is None:
        return text
    return f"{text} [{row['low']:+.{digits}f}, {row['high']:+.{digits}f}]{power_words(row, digits)}"


def power_words(row: Mapping[str, Any], digits: int = 3) -> str:
    """The part of `difference_words` after the interval."""
    found = "" if row.get("detectable") is None else f", detects {row['detectable']:.{digits}f}"
    if row["low"] > 0 or row["high"] < 0:
        return found
    numbers = [(row.get("needed"), "questions"), (row.get("needed_seeds"), "seeds")]
    known = [f"{number:,} {unit}" for number, unit in numbers if number]
    return f"{found}; not distinguishable" + (f", would need about {' or '.join(known)}" if known else "")
