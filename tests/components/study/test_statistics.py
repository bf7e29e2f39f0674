"""Intervals and costs: what they must agree with, and what must hold for any figures."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from components.study.statistics import Reached, interval, reached, speed_up

losses = st.floats(0.1, 10)


@given(st.lists(st.tuples(losses, losses), min_size=2, max_size=8))
def test_a_paired_interval_is_the_t_tests(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = zip(*pairs, strict=True)
    differences = [a - b for a, b in pairs]
    if len(set(differences)) < 2:
        return
    found = interval(differences)
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-9)
    assert found.low <= found.mean <= found.high


def test_one_seed_has_no_interval() -> None:
    assert interval([2.0]).record() == {"mean": 2.0, "low": None, "high": None, "n": 1}


@pytest.mark.parametrize(
    ("start", "target", "expected"),
    [
        (3.0, 3.0, Reached(0.0, "start")),
        (5.0, 4.0, Reached(100.0, "at most")),
        (5.0, 3.5, Reached(200.0, "between")),
        (5.0, 2.9, Reached(None, "not reached")),
    ],
)
def test_the_cost_of_a_loss(start: float, target: float, expected: Reached) -> None:
    found = reached([(100, 4.0), (400, 3.0)], start, target)
    assert found.how == expected.how
    assert found.cost == (None if expected.cost is None else pytest.approx(expected.cost))


@given(losses, st.lists(losses, min_size=2, max_size=5), losses)
def test_a_lower_loss_never_costs_less(start: float, ends: list[float], target: float) -> None:
    budgets = [(100.0 * 2**i, loss) for i, loss in enumerate(sorted(ends, reverse=True))]
    costs = [reached(budgets, start, wanted).cost for wanted in (target, target / 2)]
    assert math.inf if costs[1] is None else costs[1] >= (math.inf if costs[0] is None else costs[0])


def test_half_the_cost_is_a_speed_up_of_one() -> None:
    assert speed_up(200, 100) == 1.0
    assert speed_up(200, 0) is None
    assert speed_up(200, None) is None
