"""Folded comparisons: arms with one figure per seed become means with intervals, and paired differences from a reference.

Nobody is ranked whose figures are not comparable with the reference's (`components.results.comparability`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.results.statistics import CONFIDENCE, crossed, detectable, interval, mean
from components.results.tables import markdown_table
from components.trials.figures import Measurement, Metric, comparison

Arms = Mapping[str, Mapping[int, Measurement]]  # by name and seed
UNTOLD, NOT_RANKED = "not told apart", "not comparable"


def fold(metric: Metric, arms: Arms, reference: str) -> dict[str, Any]:
    """Fold arms over their seeds.

    Args:
        reference: name of the arm from which the others differ.

    Returns:
        `metric`, `better`, `reference`, `arms` (a row per arm: `name`, `mean`, `low`, `high`, `seeds`, `against` with the
        fields of `paired_figures` and a `verdict`, None for the reference; `reason` if it is not comparable), and `ranked`
        (the names of the comparable arms, best first).
    """
    rows = [_row(metric, name, arms[name], arms[reference], name == reference) for name in arms]
    ranked = sorted((row for row in rows if not row["reason"]), key=lambda row: -metric.sign * row["mean"])
    return {
        "metric": metric.name,
        "better": metric.better,
        "reference": reference,
        "arms": rows,
        "ranked": [row["name"] for row in ranked],
    }


def _row(
    metric: Metric, name: str, own: Mapping[int, Measurement], theirs: Mapping[int, Measurement], is_reference: bool
) -> dict[str, Any]:
    whole = mean([found.value for found in own.values()])
    low, high = interval(whole)
    row = {
        "name": name,
        "mean": whole.value,
        "low": low,
        "high": high,
        "seeds": sorted(own),
        "reason": "",
        "against": None,
    }
    shared = sorted(own.keys() & theirs.keys())
    if is_reference:
        return row
    pairs = [{"reference": theirs[seed], name: own[seed]} for seed in shared]
    reasons = [reason for pair in pairs if (reason := comparison(metric, pair).reason)]
    if reasons or not shared:
        return row | {"reason": reasons[0] if reasons else "It shares no seed with the reference."}
    differences = [own[seed].value - theirs[seed].value for seed in shared]
    found = paired_figures(differences, [family_differences(own[seed], theirs[seed]) for seed in shared])
    return row | {"against": found | {"verdict": _verdict(found, metric.sign)}}


def family_differences(ours: Measurement, theirs: Measurement) -> dict[str, float]:
    """Differences by the exam's families that both have."""
    return {
        name: ours.families[name] - theirs.families[name] for name in sorted(ours.families.keys() & theirs.families)
    }


def paired_figures(differences: Sequence[float], families: Sequence[Mapping[str, float]] = ()) -> dict[str, Any]:
    """Paired differences over seeds: `mean`, 95% interval `low` and `high` (None for one seed), `n`, and `detectable`, the
    smallest true difference that as many seeds tell apart from 0 in 8 of 10 cases.

    Args:
        families: by seed, the differences of the exam's families; then `families` has the interval in which other families
            and other seeds are counted as drawn at random, too.
    """
    whole = mean(differences)
    low, high = interval(whole)
    reach = detectable(whole.error, CONFIDENCE, degrees=whole.degrees) if whole.error else None
    found: dict[str, Any] = {"mean": whole.value, "low": low, "high": high, "n": whole.n, "detectable": reach}
    names = sorted(set.intersection(*({*of} for of in families))) if families else []
    if len(names) > 1 and len(families) > 1:
        both = crossed(np.array([[of[name] for name in names] for of in families]))
        fields = ("low", "high", "units", "seeds", "detectable", "needed_seeds")
        found["families"] = {field: getattr(both, field) for field in fields}
    return found


def _verdict(found: Mapping[str, Any], sign: int) -> str:
    if found["low"] is None or found["low"] <= 0 <= found["high"]:
        return UNTOLD
    return "better" if found["mean"] * sign > 0 else "worse"


def table(folded: Mapping[str, Any]) -> str:
    """A folded comparison as a Markdown table, ranked arms first, with the reasons of the others below."""
    by_name = {row["name"]: row for row in folded["arms"]}
    others = [name for name in by_name if name not in folded["ranked"]]
    rows = [_cells(by_name[name], folded["reference"]) for name in [*folded["ranked"], *others]]
    header = [
        "arm",
        f"{folded['metric']} ({folded['better']} is better)",
        "seeds",
        f"minus {folded['reference']}",
        "detects",
        "verdict",
    ]
    reasons = [f"{row['name']}: {row['reason']}" for row in folded["arms"] if row["reason"]]
    return "\n".join([markdown_table(header, rows), *(["", *reasons] if reasons else [])])


def _cells(row: Mapping[str, Any], reference: str) -> list[str]:
    against = row["against"]
    figures = [row["name"], _with_interval(row, ""), str(len(row["seeds"]))]
    if against is None:
        return [*figures, "", "", "reference" if row["name"] == reference else NOT_RANKED]
    reach = against["detectable"]
    return [*figures, _with_interval(against, "+"), "" if reach is None else f"{reach:.4f}", against["verdict"]]


def _with_interval(figures: Mapping[str, Any], sign: str) -> str:
    low, high = figures["low"], figures["high"]
    known = low is not None and high is not None and math.isfinite(high - low)
    return f"{figures['mean']:{sign}.4f}" + (f" [{low:{sign}.4f}, {high:{sign}.4f}]" if known else "")
