"""Compute multipliers against curves whose right multiplier is known."""

import math

import numpy as np
import pytest
from scipy import stats

from components.study.multipliers import Multiplier, metrics, multiplier, row, said, table

BUDGETS = [(100.0, 4.0), (400.0, 3.0)]


@pytest.mark.parametrize(
    ("arm", "factor", "bound", "text"),
    [
        ((100, 3.5), 2.0, "", "2.00"),
        ((400, 3.5), 0.5, "", "0.50"),
        ((400, 3.0), 1.0, "", "1.00"),
        ((100, 2.99), 4.0, "at least", "≥ 4.00"),
        ((400, 4.5), 0.25, "at most", "≤ 0.25"),
    ],
)
def test_one_seed(arm: tuple[float, float], factor: float, bound: str, text: str) -> None:
    found = multiplier([BUDGETS], [arm])
    assert found == Multiplier(pytest.approx(factor), None, None, bound, 1)
    assert str(found) == text


@pytest.mark.parametrize("factor", [0.55, 1.0, 1.3, 1.9])
def test_the_multiplier_of_made_up_curves(factor: float) -> None:
    """Curves that are straight in the logarithm of the cost, another one for each seed: an arm that needs 1/factor of the
    cost has just this multiplier, and no spread."""

    def loss(cost: float, seed: int) -> float:
        return 5 + 0.1 * seed - (0.4 + 0.05 * seed) * math.log(cost)

    baseline = [[(cost, loss(cost, seed)) for cost in (50, 100, 200)] for seed in range(3)]
    found = multiplier(baseline, [(100, loss(100 * factor, seed)) for seed in range(3)])
    assert [found.factor, found.low, found.high] == pytest.approx([factor] * 3)
    assert (found.bound, found.n) == ("", 3)


def test_the_interval_is_the_t_tests_of_the_logarithms() -> None:
    losses = [3.5, 3.4, 3.6, 3.45]
    found = multiplier([BUDGETS] * 4, [(100, loss) for loss in losses])
    logarithms = [(4.0 - loss) * math.log(4) for loss in losses]
    expected = stats.ttest_1samp(logarithms, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert found.factor == pytest.approx(math.exp(np.mean(logarithms)))


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ((2.9, 2.8, 2.5), Multiplier(pytest.approx(4), None, None, "at least", 3)),
        ((2.9, 3.5), Multiplier(pytest.approx(math.sqrt(4 * 2)), None, None, "at least", 2)),
        ((4.2, 3.5), Multiplier(pytest.approx(math.sqrt(1 * 2)), None, None, "at most", 2)),
        ((4.2, 2.9), Multiplier(None, None, None, "", 2)),
    ],
)
def test_a_loss_beyond_the_budgets_gives_a_bound(losses: tuple[float, ...], expected: Multiplier) -> None:
    """Nothing is extrapolated, and a bound has no interval; with seeds beyond both ends nothing is known."""
    found = multiplier([BUDGETS] * len(losses), [(100, loss) for loss in losses])
    assert found == expected


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(("costs", "factor"), [((0.5, 1.0, 1.5), 1.2), ((0.5, 1.0, 2.0), 0.8)])
def test_the_interval_covers_the_right_multiplier(costs: tuple[float, ...], factor: float, seeds: int) -> None:
    """1,000 studies of noisy losses on a power law that is curved between the budgets: seeds shift a whole curve, and each
    training run by itself varies by 0.01."""
    rng = np.random.default_rng(1)

    def loss(cost: float, shift: float) -> float:
        return 2 + 1.5 * cost**-0.3 + shift + rng.normal(0, 0.01)

    covered, trials = 0, 1_000
    for _ in range(trials):
        shifts = rng.normal(0, 0.05, seeds)
        baseline = [[(cost, loss(cost, shift)) for cost in costs] for shift in shifts]
        found = multiplier(baseline, [(1.0, loss(factor, shift)) for shift in shifts])
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= factor <= found.high
    assert 0.93 <= covered / trials <= 0.97


def test_rows_for_tables_and_metrics() -> None:
    rows = [
        row("exact", "scratch", "tokens", multiplier([BUDGETS], [(100, 2.5)])),
        row("exact", "scratch", "total FLOPs", multiplier([BUDGETS] * 2, [(100, 3.5), (100, 3.4)])),
        row("exact", "continued", "tokens", multiplier([BUDGETS], [(400, 3.5)])),
        row("tile", "scratch", "tokens", multiplier([BUDGETS] * 2, [(400, 5.0), (400, 2.5)])),
    ]
    shown = table(rows, "")
    assert shown.header == ["arm", "baseline", "tokens", "total FLOPs"]
    assert shown.rows == [
        ["exact", "scratch", "≥ 4.00", said(rows[1])],
        ["exact", "continued", "0.50", "-"],
        ["tile", "scratch", "-", "-"],
    ]
    assert metrics(rows, "exact") == {
        "multiplier": {
            "tokens_against_scratch_at_least": pytest.approx(4),
            "total_FLOPs_against_scratch": rows[1]["factor"],
            "total_FLOPs_against_scratch_low": rows[1]["low"],
            "total_FLOPs_against_scratch_high": rows[1]["high"],
            "tokens_against_continued": pytest.approx(0.5),
        }
    }
    assert metrics(rows, "scratch") == {}
