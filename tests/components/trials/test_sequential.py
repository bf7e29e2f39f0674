"""The test that may be repeated: its evidence against numerical integration, its error rates by simulation, its laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import nct, norm, t

from components.errors import StepError
from components.trials.sequential import (
    BETTER,
    HOPELESS,
    HOPELESS_NOW,
    MORE,
    SPREAD,
    UNDECIDED,
    Plan,
    confidence_sequence,
    judge,
    log_evidence,
)

finite = st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-6)
differences = st.lists(finite, min_size=2, max_size=12)


@pytest.mark.parametrize("seed", range(6))
def test_the_evidence_is_the_mean_likelihood_ratio_of_the_t_statistic(seed):
    """For a mean of z standard deviations the t-statistic is noncentral t; the prior of z is a half normal."""
    x = np.random.default_rng(seed).normal(0.7, 1, 3 + seed)
    n = len(x)
    statistic = math.sqrt(n) * x.mean() / x.std(ddof=1)

    def ratio(z):
        like = nct.pdf(statistic, n - 1, math.sqrt(n) * z) / t.pdf(statistic, n - 1)
        return like * 2 * norm.pdf(z, scale=math.sqrt(SPREAD))

    assert math.exp(log_evidence(list(x))) == pytest.approx(quad(ratio, 0, 15)[0], rel=1e-4)


@given(differences, st.floats(1e-3, 1e3))
def test_evidence_does_not_depend_on_the_unit(values, scale):
    assert log_evidence([scale * v for v in values]) == pytest.approx(log_evidence(values), rel=1e-6, abs=1e-6)


@given(differences, st.floats(0, 1e6))
def test_a_better_mean_never_lowers_the_evidence(values, shift):
    assert log_evidence([v + shift for v in values]) >= log_evidence(values) - 1e-6


@given(differences)
def test_the_interval_contains_the_mean_and_mirrors_with_the_sign(values):
    low, high = confidence_sequence(values)
    mirrored = confidence_sequence([-v for v in values])
    if low is None:
        assert mirrored == (None, None)
        return
    mean = math.fsum(values) / len(values)
    assert low <= mean <= high
    assert mirrored == pytest.approx((-high, -low))


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([0.1, 0.05, 0.02]),
    st.integers(3, 12),
    st.floats(0.2, 3),
    st.floats(-1.5, 0),
    st.integers(0, 2**32 - 1),
)
def test_no_way_of_looking_calls_nothing_an_improvement_too_often(level, most, smallest, effect, seed):
    """Whatever the level, the number of looks, the smallest difference and the true effect of 0 or below."""
    plan, repeats = Plan(level, smallest, most), 400
    rng = np.random.default_rng(seed)
    false = sum(ended(plan, rng.normal(effect, 1, most)) == BETTER for _ in range(repeats))
    assert false / repeats <= level + 4 * math.sqrt(level * (1 - level) / repeats)


def test_an_improvement_of_the_smallest_size_is_seldom_given_up():
    plan, rng, repeats = Plan(0.05, 1.0, 12), np.random.default_rng(3), 1000
    missed = sum(ended(plan, rng.normal(1.0, 1, 12)) == HOPELESS_NOW for _ in range(repeats))
    assert missed / repeats <= HOPELESS + 3 * math.sqrt(HOPELESS / repeats)


def test_the_confidence_sequence_covers_at_all_looks_at_once():
    rng, repeats = np.random.default_rng(4), 500
    covered = 0
    for _ in range(repeats):
        x = rng.normal(2.0, 3.0, 20).tolist()
        found = [confidence_sequence(x[:n]) for n in range(2, 21)]
        covered += all(low is None or low <= 2.0 <= high for low, high in found)
    assert covered / repeats >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / repeats)


def ended(plan, values):
    for count in range(2, plan.most + 1):
        found = judge(values[:count].tolist(), plan)
        if found.outcome != MORE:
            return found.outcome
    return found.outcome


@pytest.mark.parametrize(
    ("values", "plan", "outcome"),
    [
        ([1.0], Plan(0.05, 0.1, 5), MORE),
        ([1.0, 1.1], Plan(0.05, 0.1, 5), MORE),  # two seeds tell almost nothing about the spread
        ([1.0, 1.1, 0.9, 1.05, 1.0], Plan(0.05, 0.1, 5), BETTER),
        ([-1.0, -1.1, -0.9, -1.05], Plan(0.05, 0.1, 5), HOPELESS_NOW),
        ([0.01, 0.011, 0.009, 0.0105, 0.01], Plan(0.05, 0.1, 9), HOPELESS_NOW),  # better, but too small to matter
        ([0.0, 0.0, 0.0], Plan(0.05, 0.1, 9), HOPELESS_NOW),  # the parameter changes nothing
        ([1.0, -1.0, 1.0, -1.0], Plan(0.05, 0.5, 4), UNDECIDED),
        ([1.0, -1.0, 1.0, -1.0], Plan(0.05, 0.5, 5), MORE),
    ],
)
def test_outcomes(values, plan, outcome):
    assert judge(values, plan).outcome == outcome


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_differences_that_are_not_numbers_are_refused(values):
    with pytest.raises(StepError, match="expected at least one finite number per seed"):
        judge(values, Plan(0.05, 0.1, 5))


@pytest.mark.parametrize("given_", [(0.0, 0.1, 5), (1.0, 0.1, 5), (0.05, 0.0, 5), (0.05, math.inf, 5), (0.05, 0.1, 1)])
def test_plans_that_cannot_be_kept_are_refused(given_):
    with pytest.raises(StepError):
        Plan(*given_)
