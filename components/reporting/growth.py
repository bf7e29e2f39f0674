"""What the entries that growth added carry of the gain on the exam, by family of questions."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.reporting.evidence import Case
from components.reporting.paired import Matched, matched
from components.results.statistics import CONFIDENCE, Estimate, interval, macro, mean

Differences = Mapping[str, Matched]


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
    gain, damage = (macro([mean(*differences[name]) for name in tasks]) for differences in (gains, damages))
    low, _ = interval(gain, CONFIDENCE)
    share = damage.value / gain.value if low is not None and low > 0 else None
    return {"gain": _record(gain), "damage": _record(damage), "share": share}


def _record(estimate: Estimate) -> dict[str, float | None]:
    low, high = interval(estimate, CONFIDENCE)
    return {"value": estimate.value, "stderr": estimate.stderr, "low": low, "high": high}
