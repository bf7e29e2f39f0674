"""Differences over seeds and families: what both levels show that one alone does not."""

import math
from typing import Any

import numpy as np
import pytest

from components.study.levels import judged, over_families_and_seeds, over_seeds
from components.study.statistics import verdict


def exams(values: np.ndarray, **facts: Any) -> list[dict[str, Any]]:
    """Exams by seed from accuracies (seeds, families)."""
    return [
        {"accuracy": float(row.mean()), "tasks": {f"family {i}": float(v) for i, v in enumerate(row)}} | facts
        for row in values
    ]


def test_seeds_that_agree_do_not_make_a_few_families_certain() -> None:
    """All seeds gain .03, but one family in ten gains it: other families might not."""
    gain = np.zeros((3, 10))
    gain[:, 0] = [0.29, 0.3, 0.31]
    theirs = np.full((3, 10), 0.5)
    ours = theirs + gain
    seeds, _ = over_seeds(ours.mean(axis=1).tolist(), theirs.mean(axis=1).tolist())
    assert verdict(seeds, 1) == "better"
    both, power = over_families_and_seeds(exams(ours, examples=1_000), exams(theirs, examples=1_000))
    assert both.mean == pytest.approx(seeds.mean)
    assert both.n == 3
    assert power["families"] == 10
    assert verdict(both, 1) == "not distinguishable"
    assert power["needed"] > 1_000
    assert power["needed_seeds"] is None  # the families are the same in every seed
    row = both.record() | power
    assert judged(row, verdict(both, 1), 3) == (
        f"detects {power['detectable']:.3f}; not distinguishable, would need about {power['needed']:,} questions"
    )


def test_both_ways_out_are_named_where_both_help() -> None:
    draw = np.random.default_rng(2)
    theirs = np.full((4, 30), 0.4)
    noise = draw.normal(0, 0.02, 30) + draw.normal(0, 0.015, (4, 1)) + draw.normal(0, 0.1, (4, 30))
    ours = theirs + noise - noise.mean() + 0.02
    both, power = over_families_and_seeds(exams(ours, examples=3_000), exams(theirs, examples=3_000))
    assert both.low is not None
    assert both.low < 0 < both.mean
    assert power["needed"] > 3_000
    assert power["needed_seeds"] > 4
    said = judged(both.record() | power, "not distinguishable", 3)
    assert said.endswith(f"would need about {power['needed']:,} questions or {power['needed_seeds']:,} seeds")


@pytest.mark.parametrize("seeds", [1, 3])
def test_without_families_or_with_one_seed_only_seeds_count(seeds: int) -> None:
    ours, theirs = np.full((seeds, 2), 0.5) + np.arange(seeds)[:, None] / 100, np.full((seeds, 2), 0.4)
    plain = [{"accuracy": exam["accuracy"]} for exam in exams(ours)]
    found, power = over_families_and_seeds(plain, exams(theirs))
    assert found.n == seeds
    assert "families" not in power
    if seeds == 1:
        one, power = over_families_and_seeds(exams(ours), exams(theirs))
        assert (one.low, power["detectable"]) == (None, None)
        assert judged(one.record() | power, "not distinguishable", 3) == "not distinguishable"
    else:
        assert judged(found.record() | power, "better", 3) == f"better, detects {power['detectable']:.3f}"


def test_a_loss_says_how_many_seeds_it_would_need() -> None:
    found, power = over_seeds([3.0, 3.1, 2.9], [3.05, 3.02, 3.0])
    assert found.low is not None
    assert found.low < 0 < (found.high or 0)
    differences = np.array([-0.05, 0.08, -0.1])
    error = differences.std(ddof=1) / math.sqrt(3)
    assert power["needed_seeds"] == math.ceil(3 * (2.8016 * error / differences.mean()) ** 2)
    assert power["detectable"] > 4.3 * error  # two degrees of freedom
