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
    cluster_sums,
    crossed,
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
            low, high = interval(one)
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
    assert found.detectable == pytest.approx(detectable(found.stderr, degrees=4))
    assert found.record()["needed"] == needed(Estimate(found.value, found.stderr, 5))


def sizes_of(clusters: int, equal: bool) -> np.ndarray:
    """Sizes of clusters of 20 questions each, or of very different sizes around 20."""
    return np.full(clusters, 20) if equal else np.maximum(1, np.random.default_rng(7).geometric(1 / 20, clusters))


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("clusters", [10, 30])
def test_a_clustered_interval_covers_the_mean_and_its_detectable_effect_is_found(clusters: int, equal: bool) -> None:
    """Simulated passages that make their questions depend on one another: 95% intervals, and 80% power."""
    draw, sizes = np.random.default_rng(17), sizes_of(clusters, equal)
    labels = np.repeat(np.arange(clusters), sizes)
    shares = sizes / sizes.sum()
    true_error = math.sqrt(0.2 * (shares**2).sum() + 0.8 / sizes.sum())
    covered = plainly = found = 0
    times = 1_500
    for _ in range(times):
        values = draw.normal(0, math.sqrt(0.2), clusters)[labels] + draw.normal(0, math.sqrt(0.8), len(labels))
        one = mean(values, labels)
        low, high = interval(one)
        covered += low <= 0 <= high
        plainly += abs(one.value) <= 1.96 * one.stderr
        effect = detectable(true_error, degrees=one.degrees)
        found += not low + effect <= 0 <= high + effect
    assert 0.93 <= covered / times <= 0.97
    assert plainly / times < 0.8  # what counts all questions as independent
    assert found / times == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize(
    "spread",  # of families, of seeds, of a family in a seed
    [(0.1, 0.0, 0.1), (0.1, 0.02, 0.1), (0.05, 0.03, 0.1), (0.1, 0.05, 0.1), (0.0, 0.05, 0.1)],
)
@pytest.mark.parametrize("seeds", [3, 5])
def test_an_interval_over_families_and_seeds_covers_the_mean(spread: tuple[float, ...], seeds: int) -> None:
    """What counts only families, or only seeds, misses the mean too often where both vary."""
    draw, families, times = np.random.default_rng(23), 31, 1_500
    of_family, of_seed, of_cell = spread
    covered = found = 0
    true_error = math.sqrt(of_family**2 / families + of_seed**2 / seeds + of_cell**2 / (families * seeds))
    for _ in range(times):
        values = draw.normal(0, 1, families) * of_family + draw.normal(0, 1, (seeds, 1)) * of_seed
        one = crossed(values + draw.normal(0, of_cell, (seeds, families)))
        covered += one.low <= 0 <= one.high
        effect = detectable(true_error, degrees=one.degrees)
        found += not one.low + effect <= 0 <= one.high + effect
    assert 0.93 <= covered / times <= 0.975
    assert found / times >= 0.74


def test_only_both_levels_together_cover_the_mean() -> None:
    draw, missed = np.random.default_rng(29), {"families": 0, "seeds": 0, "both": 0}
    for _ in range(1_500):
        values = draw.normal(0, 0.1, 31) + draw.normal(0, 0.04, (5, 1)) + draw.normal(0, 0.1, (5, 31))
        both = crossed(values)
        for name, (low, high) in {
            "families": interval(mean(values.mean(axis=0))),
            "seeds": interval(mean(values.mean(axis=1))),
            "both": (both.low, both.high),
        }.items():
            missed[name] += not low <= 0 <= high
    assert missed["both"] / 1_500 <= 0.07
    assert missed["families"] / 1_500 > 0.07
    assert missed["seeds"] / 1_500 > 0.07


@pytest.mark.parametrize(("of_family", "of_seed"), [(0.1, 0.02), (0.05, 0.03)])
def test_the_families_and_seeds_that_would_be_needed_do_find_the_effect(of_family: float, of_seed: float) -> None:
    draw = np.random.default_rng(31)
    pilot = draw.normal(0, of_family, 400) + draw.normal(0, of_seed, (150, 1)) + draw.normal(0, 0.1, (150, 400))
    effect = 0.025
    planned = crossed(pilot - pilot.mean() + effect)  # so large that its variances are known well
    for families, seeds in ((planned.needed_units, 150), (400, planned.needed_seeds)):
        assert families
        assert seeds
        assert families < 400 or seeds < 150
        found = 0
        for _ in range(500):
            values = draw.normal(0, of_family, families) + draw.normal(0, of_seed, (seeds, 1))
            one = crossed(effect + values + draw.normal(0, 0.1, (seeds, families)))
            found += not one.low <= 0 <= one.high
        assert found / 500 == pytest.approx(0.8, abs=0.08)  # the pilot's own variances are estimates


def test_families_and_seeds_against_a_hand_made_analysis_of_variance() -> None:
    values = np.array([[1.0, 2.0, 6.0], [3.0, 2.0, 10.0]])
    found = crossed(values)
    # Mean squares: units 24, seeds 6, cells 2; (24 + 6 - 2) / 6 is the variance of the mean 4.
    assert found.value == 4.0
    assert found.stderr == pytest.approx(math.sqrt(28 / 6))
    assert found.degrees == pytest.approx(28**2 / (24**2 / 2 + 6**2 / 1 + 2**2 / 2))
    assert (found.units, found.seeds) == (3, 2)
    with pytest.raises(StepError, match="at least two seeds and two units"):
        crossed(values[:1])


def test_a_seed_effect_that_no_number_of_questions_removes_says_so() -> None:
    values = np.array([[0.3] * 10, [-0.2] * 10, [0.1] * 10]) + np.random.default_rng(2).normal(0, 0.01, (3, 10))
    found = crossed(values)
    assert found.low < 0 < found.high
    assert found.needed_units is None
    assert found.needed_seeds > 3


@given(st.lists(figures, min_size=2, max_size=40))
def test_examples_that_are_each_a_cluster_have_the_plain_error(values: list[float]) -> None:
    found = mean(values, list(range(len(values))))
    assert found.clustered_stderr == pytest.approx(found.stderr, abs=1e-12)
    assert found.degrees == pytest.approx(len(values) - 1)


@given(st.lists(figures, min_size=4, max_size=20), st.integers(2, 5))
def test_copies_of_a_question_add_nothing(values: list[float], copies: int) -> None:
    """Clusters of equal size, against the error of their means; degrees of freedom are clusters - 1."""
    repeated = mean(np.repeat(values, copies), np.repeat(np.arange(len(values)), copies))
    assert repeated.clustered_stderr == pytest.approx(mean(values).stderr, abs=1e-12)
    assert repeated.degrees == pytest.approx(len(values) - 1)
    assert repeated.record()["clusters"] == len(values)


def test_a_mean_over_families_counts_them_as_drawn_at_random() -> None:
    families = [[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0]]
    parts = [mean(family, [name] * len(family)) for name, family in zip("abc", families, strict=True)]
    assert [part.error for part in parts] == [part.stderr for part in parts]  # one cluster has no clustered error
    found = macro(parts)
    assert found.stderr == pytest.approx(macro([mean(family) for family in families]).stderr)
    assert found.clustered_stderr == pytest.approx(stats.sem([0.75, 1 / 3, 1.0]))
    assert found.degrees == 2
    both = paired(families, clusters=[[name] * len(family) for name, family in zip("abc", families, strict=True)])
    assert (both.low, both.high) == pytest.approx(interval(found))
    assert both.p_value == pytest.approx(0.25)  # 2 of 8 signs of three positive families
    assert both.clusters == 3
    assert macro([mean(family) for family in families]).clustered_stderr is None


def test_clusters_within_tasks_are_kept_apart_from_tasks() -> None:
    tasks = [[1.0, 1.0, 0.0, 0.0, 1.0, 1.0], [0.5, 0.25, 0.75]]
    parts = [mean(tasks[0], ["a", "a", "b", "b", "c", "c"]), mean(tasks[1])]
    found = macro(parts)
    assert found.clustered_stderr == pytest.approx(math.hypot(1 / 3, parts[1].stderr) / 2)
    assert parts[0].clustered_stderr == pytest.approx(1 / 3)
    assert found.clusters == 6
    assert cluster_sums(tasks[0], ["a", "a", "b", "b", "c", "c"])[0].tolist() == [2.0, 0.0, 2.0]
    assert permutation_test([tasks[0]], clusters=[["a", "a", "b", "b", "c", "c"]]) == (0.5, "exact")
