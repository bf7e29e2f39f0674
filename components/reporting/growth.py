"""What the entries that growth added carry of the gain on the exam, by family of questions."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.reporting.evidence import Case
from components.reporting.paired import matched
from components.results.statistics import CONFIDENCE, interval, macro, mean

Differences = Mapping[str, list[float]]


def exam_share(case: Case) -> dict[str, Any] | None:
    """The gain of the grown model over the small one on the exam, and what is lost when its new entries are set back.

    Both are paired, in bits per byte of the correct answers, and tasks have equal weight.

    Returns:
        `all`, and `tasks` by name, each with `gain` and `damage` (value, stderr, low and high of the 95% interval) and
        `share`, None unless the interval of the gain is above 0. None without the scores of the model with these entries
        set back.
    """
    small, large = (model.scores if (model := case.model(name)) else None for name in ("small", case.subject))
    if case.set_back is None or small is None or large is None:
        return None
    gains, damages = matched(small.bits, large.bits), matched(case.set_back.bits, large.bits)
    tasks = sorted(gains.keys() & damages.keys())
    if not tasks:
        return None
    return {"all": _part(gains, damages, tasks), "tasks": {name: _part(gains, damages, [name]) for name in tasks}}


def _part(gains: Differences, damages: Differences, tasks: Sequence[str]) -> dict[str, Any]:
    (gained, gain), (lost, damage) = _estimate(gains, tasks), _estimate(damages, tasks)
    share = lost / gained if gain["low"] is not None and gain["low"] > 0 else None
    return {"gain": gain, "damage": damage, "share": share}


def _estimate(differences: Differences, tasks: Sequence[str]) -> tuple[float, dict[str, float | None]]:
    """The mean over tasks, alone and with its error and interval."""
    parts = [mean(differences[name]) for name in tasks]
    whole = macro(parts)
    low, high = interval(whole, parts, CONFIDENCE)
    return whole.value, {"value": whole.value, "stderr": whole.stderr, "low": low, "high": high}
