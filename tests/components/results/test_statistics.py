"""Statistics against brute force, against scipy, and the laws that hold for any scores."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from components.errors import StepError
from components.results.statistics import (
    Estimate,
    bits_per_byte,
    detectable,
    holm,
    interval,
    macro,
    mean,
    needed,
    paired,
    pass_at_k,
    permutation_test,
    ratio,
)

verdicts = st.sampled_from([-1.0, 0.0, 1.0])
figures = st.floats(-3, 3).map(lambda x: round(x, 6))


@given(st.lists(figures, min_size=2, max_size=60))
def test_the_standard_error_is_the_textbooks(values):
    found = mean(values)
    assert found.value == pytest.approx(np.mean(values), abs=1e-12)
    assert found.stderr == pytest.approx(stats.sem(values), abs=1e-12)
    assert found.n == len(values)


def test_one_example_has_no_standard_error_and_none_no_mean():
    assert mean([0.5]) == Estimate(0.5, None, 1)
    assert paired([[0.5], [1.0, 0.0]]).stderr is None
    assert paired([[0.5], [1.0, 0.0]]).low is None
    for nothing in ([], [[]]):
        with pytest.raises(StepError, match="at least one"):
            paired(nothing)
    with pytest.raises(StepError, match="at least one example"):
        mean([])


@given(st.lists(st.floats(0, 10), min_size=2, max_size=40), st.integers(1, 9))
def test_a_ratio_over_equal_units_is_a_mean(values: list[float], size: int) -> None:
    expected, found = mean(values), ratio(np.array(values) * size, np.full(len(values), size))
    assert found.value == pytest.approx(expected.value)
    assert found.stderr == pytest.approx(expected.stderr, abs=1e-9)


def test_the_standard_error_of_a_ratio_is_what_repeated_samples_show() -> None:
    rng = np.random.default_rng(3)
    sizes = rng.integers(0, 30, (2000, 60))
    sums = np.where(sizes > 0, rng.normal(2 * sizes, 0.5 * sizes + 0.1), 0)
    found = [ratio(x, n) for x, n in zip(sums, sizes, strict=True)]
    assert np.mean([f.stderr for f in found]) == pytest.approx(np.std([f.value for f in found]), rel=0.05)


def test_a_ratio_of_one_unit_has_no_standard_error_and_of_none_no_value() -> None:
    assert ratio([3.0, 0.0], [2.0, 0.0]).record() == {"value": 1.5, "stderr": None, "n": 1}
    with pytest.raises(StepError):
        ratio([0.0], [0.0])


def test_tasks_weigh_equally_in_a_macro_average():
    found = macro([Estimate(0.2, 0.03, 10), Estimate(0.6, 0.04, 3000)])
    assert (found.value, found.stderr, found.n) == (pytest.approx(0.4), pytest.approx(0.025), 3010)
    assert macro([Estimate(0.2, None, 1), Estimate(0.6, 0.1, 9)]).stderr is None


@given(st.lists(figures, min_size=2, max_size=40))
def test_the_interval_of_one_task_is_the_paired_t_tests(differences):
    found = paired([differences])
    if np.ptp(differences) < 1e-6:
        assert found.low == pytest.approx(found.high, abs=1e-5)
        return
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-9)


def brute_force(tasks):
    """The share of all sign patterns whose macro difference is at least as far from 0."""
    parts = [d / len(task) for task in tasks for d in task]
    least = abs(sum(parts)) - 1e-9
    patterns = itertools.product((-1, 1), repeat=len(parts))
    return sum(abs(sum(s * p for s, p in zip(signs, parts, strict=True))) >= least for signs in patterns) / 2 ** len(
        parts
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(verdicts | st.sampled_from([0.25, -1.5]), min_size=1, max_size=5), min_size=1, max_size=3).filter(
        lambda t: sum(map(len, t)) <= 11
    )
)
def test_the_exact_p_value_is_that_of_all_sign_patterns(tasks):
    p_value, method = permutation_test(tasks)
    assert method == "exact"
    assert p_value == pytest.approx(brute_force(tasks), abs=1e-12)


@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400))
def test_of_right_and_wrong_answers_it_is_mcnemars_exact_test(wins, losses, ties):
    differences = [1.0] * wins + [-1.0] * losses + [0.0] * ties
    if not differences:
        return
    p_value, method = permutation_test([differences])
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert (p_value, method) == (pytest.approx(expected, rel=1e-9), "exact")


@pytest.mark.parametrize("repeated", [False, True])
def test_drawn_p_values_are_near_the_exact_ones_and_repeat(monkeypatch, repeated):
    draw = random.Random(4)
    differences = [
        draw.choice([-1, 1, 1]) * (draw.choice([0.1, 0.25, 0.7]) if repeated else draw.random()) for _ in range(19)
    ]
    exact, method = permutation_test([differences])
    assert method == "exact"
    monkeypatch.setattr("components.results.statistics.STATES", 1)
    drawn, method = permutation_test([differences])
    assert method == "10000 draws"
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 10_000) + 1e-4)
    assert permutation_test([differences]) == (drawn, method)


def test_draws_of_repeated_sizes_agree_with_the_normal_limit():
    rng = np.random.default_rng(1)
    tasks = [rng.choice([-1.0, 0.0, 1.0], p=[0.3, 0.35, 0.35], size=n) for n in (301, 407, 512, 613)]
    p_value, method = permutation_test(tasks)
    assert method == "10000 draws"
    spread = math.sqrt(sum(float((t**2).sum()) / len(t) ** 2 for t in tasks))
    normal = 2 * stats.norm.sf(abs(sum(t.mean() for t in tasks)) / spread)
    assert p_value == pytest.approx(normal, abs=0.02)


@given(st.lists(st.lists(verdicts, min_size=1, max_size=30), min_size=1, max_size=4))
def test_order_and_direction_do_not_matter(tasks):
    ours = paired(tasks)
    theirs = paired([[-d for d in reversed(task)] for task in reversed(tasks)])
    assert theirs.value == pytest.approx(-ours.value, abs=1e-12)
    assert theirs.p_value == pytest.approx(ours.p_value, abs=0.03 if "draws" in ours.p_method else 1e-9)
    assert 0 < ours.p_value <= 1
    if ours.low is not None:
        assert ours.low <= ours.value <= ours.high
        assert (-theirs.high, -theirs.low) == pytest.approx((ours.low, ours.high), abs=1e-9)


def test_under_exchangeable_models_small_p_values_are_rare():
    """A test at level 0.05 rejects at most one time in twenty, up to the spread of 400 trials."""
    rng = np.random.default_rng(7)
    rejected = sum(permutation_test([rng.choice([-1.0, 0.0, 1.0], size=60)])[0] <= 0.05 for _ in range(400))
    assert rejected <= 0.05 * 400 + 3 * math.sqrt(400 * 0.05 * 0.95)


def test_equal_models_differ_by_nothing():
    found = paired([[0.0] * 5, [0.0] * 3])
    assert (found.value, found.stderr, found.low, found.high, found.p_value) == (0, 0, 0, 0, 1)
    assert found.record()["p_method"] == "exact"


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_pass(n, data):
    passed = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n))
    programs = [True] * passed + [False] * (n - passed)
    subsets = list(itertools.combinations(programs, k))
    assert pass_at_k([n], [passed], k)[0] == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_is_unbiased_where_the_plug_in_is_not():
    rate, n, k = 0.3, 6, 4
    odds = stats.binom.pmf(np.arange(n + 1), n, rate)
    expected = 1 - (1 - rate) ** k
    assert float(odds @ pass_at_k(n, np.arange(n + 1), k)) == pytest.approx(expected)
    assert abs(float(odds @ (1 - (1 - np.arange(n + 1) / n) ** k)) - expected) > 0.01


def test_pass_at_k_of_many_samples_does_not_overflow():
    assert pass_at_k([2000], [3], 1000)[0] == pytest.approx(1 - math.comb(1997, 1000) / math.comb(2000, 1000))


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 6), (5, 6, 1), (5, -1, 1), (5, 2, 0)])
def test_impossible_counts_are_refused(n, c, k):
    with pytest.raises(StepError, match="pass@"):
        pass_at_k([n], [c], k)


def test_bits_per_byte_counts_bytes_not_characters():
    found = bits_per_byte([-8 * math.log(2), -6 * math.log(2)], ["four", "né"])
    assert found.tolist() == pytest.approx([2.0, 2.0])
    with pytest.raises(StepError, match="answer 1 is empty"):
        bits_per_byte([-1.0, -1.0], ["a", ""])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_claims_what_the_step_down_procedure_claims(p_values):
    adjusted = holm(p_values)
    assert all(0 <= raw <= new <= 1 for raw, new in zip(p_values, adjusted, strict=True))
    for level in (0.01, 0.05, 0.3):
        claimed = set()
        for rank, (p_value, place) in enumerate(sorted((p, i) for i, p in enumerate(p_values))):
            if p_value * (len(p_values) - rank) > level:
                break
            claimed.add(place)
        assert {i for i, p in enumerate(adjusted) if p <= level} == claimed


@pytest.mark.parametrize("rates", [(0.5, 0.3, 0.1), (0.2, 0.1, 0.1)])
def test_an_effect_that_counts_as_detectable_is_found_in_eight_of_ten_cases(rates):
    """Simulated pairs of right and wrong answers: coverage of the interval, power at the minimum detectable effect, and the
    number of examples that would be needed for a smaller one."""
    both, ours, theirs = rates  # probability that both are right, only ours, only theirs
    draw = np.random.default_rng(11)
    neither = 1 - both - ours - theirs

    def share_found(n: int, effect: float) -> tuple[float, float]:
        """Shares of simulated comparisons whose interval excludes 0, and whose interval contains the effect."""
        shift = effect - (ours - theirs)
        chances = [both, ours + shift / 2, theirs - shift / 2, neither]
        values = draw.choice([0.0, 1.0, -1.0, 0.0], p=chances, size=(1_000, n))
        found = covered = 0
        for row in values:
            one = mean(row)
            low, high = interval(one, [one])
            found += not low <= 0 <= high
            covered += low <= effect <= high
        return found / len(values), covered / len(values)

    n = 400
    spread = math.sqrt((ours + theirs - (ours - theirs) ** 2) / n)
    least = detectable(spread)
    assert least == pytest.approx(2.8016 * spread, rel=1e-4)
    power, coverage = share_found(n, least)
    assert power == pytest.approx(0.8, abs=0.05)
    assert coverage == pytest.approx(0.95, abs=0.02)
    assert share_found(n, 0.0)[0] == pytest.approx(0.05, abs=0.02)
    smaller = least / 2
    enough = needed(Estimate(smaller, spread, n))
    assert enough == pytest.approx(4 * n, abs=1)
    assert share_found(enough, smaller)[0] == pytest.approx(0.8, abs=0.05)


def test_what_has_no_spread_or_no_difference_needs_no_number():
    assert detectable(None) is None
    assert needed(Estimate(0.0, 0.1, 5)) is None
    assert needed(Estimate(0.1, None, 1)) is None
    found = paired([[1.0, 0.0, -1.0, 0.0, 1.0]])
    assert found.detectable == pytest.approx(detectable(found.stderr))
    assert found.record()["needed"] == needed(Estimate(found.value, found.stderr, 5))
