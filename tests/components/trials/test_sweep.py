"""Sweeps on made-up figures: the space, halving on whole schedules, Optuna, folded comparisons and their refusals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from components.errors import StepError
from components.results.comparability import Basis
from components.trials.figures import METRICS, Measurement
from components.trials.folding import UNTOLD, fold, paired_figures, table
from components.trials.sweep import Span, carry_out, configurations, name_of, read_sweep, space_of, survivors

BASIS = Basis(tokenizer="t", documents="d", whole=True)
LOSS = METRICS["small.validation_loss"]


class Bowl:
    """A loss with its minimum at a weight decay of 0.1, which falls with the budget."""

    def __init__(self, noise=0.0):
        self.noise, self.calls = noise, []

    def __call__(self, one, seed, share):
        self.calls.append((name_of(one), seed, share))
        decay = one.get("training.weight_decay", 0.4)
        noise = self.noise * np.random.default_rng([seed, int(1e4 * decay)]).standard_normal()
        return Measurement(3 + math.log(decay / 0.1) ** 2 - math.log10(share) + 0.1 * seed + noise, BASIS)


def asked(**changes):
    base = {"over": {"training.weight_decay": "0.025,0.05,0.1,0.2,0.8"}, "metric": "small.validation_loss"}
    return read_sweep(base | changes)


def test_a_grid_without_rungs_runs_everything_over_all_seeds():
    bowl = Bowl()
    found = carry_out(asked(), 1, bowl, lambda _: None)
    assert found["best"] == {"training.weight_decay": 0.1}
    assert len(bowl.calls) == 6 * 3
    assert {share for *_, share in bowl.calls} == {1.0}
    by_name = {row["name"]: row for row in found["folded"]["arms"]}
    assert by_name["training.weight_decay=0.1"]["against"]["verdict"] == "better"
    assert by_name["training.weight_decay=0.025"]["against"]["verdict"] == UNTOLD  # log-symmetric to 0.4
    assert found["folded"]["ranked"][0] == "training.weight_decay=0.1"


def test_halving_stops_the_worse_on_whole_schedules():
    bowl = Bowl()
    found = carry_out(asked(rungs=3, reduction=2, seeds=2), 1, bowl, lambda _: None)
    runs = {share: {name for name, _, s in bowl.calls if s == share} for share in (0.25, 0.5, 1.0)}
    assert [len(names) for names in runs.values()] == [5, 3, 3]  # the last with the arm as it is
    assert runs[0.25] > runs[0.5]
    assert found["best"] == {"training.weight_decay": 0.1}
    assert [row["goes_on"] for row in found["rungs"] if row["share"] == 0.25] == [False, True, True, True, False]
    assert {seed for _, seed, share in bowl.calls if share < 1} == {1}


@pytest.mark.parametrize("changes", [{}, {"rungs": 2}, {"method": "optuna", "runs": 5}])
def test_a_configuration_that_fails_is_left_out_with_its_reason(changes):
    bowl = Bowl()

    def measure(one, seed, share):
        if one.get("training.weight_decay") == 0.8:
            raise StepError("the loss became NaN or infinite")
        return bowl(one, seed, share)

    found = carry_out(asked(**changes), 1, measure, lambda _: None)
    assert set(found["failed"]) <= {"training.weight_decay=0.8"}
    assert changes.get("method") or "NaN" in found["failed"]["training.weight_decay=0.8"]
    assert "training.weight_decay=0.8" not in found["folded"]["ranked"]
    with pytest.raises(StepError, match="out of disk"):
        carry_out(asked(**changes), 1, broken, lambda _: None)


def broken(one, seed, share):
    raise StepError("out of disk")


@pytest.mark.parametrize("rungs", [1, 2])
def test_optuna_finds_the_minimum_and_stops_the_hopeless(rungs):
    bowl = Bowl(noise=0.01)
    over = {"training.weight_decay": "0.01..1.0:log", "small.model.num_hidden_layers": [1, 2]}
    found = carry_out(asked(over=over, method="optuna", runs=12, rungs=rungs, seeds=1), 1, bowl, lambda _: None)
    assert 0.04 < found["best"]["training.weight_decay"] < 0.25
    assert found["best"]["small.model.num_hidden_layers"] in (1, 2)
    whole = {name for name, _, share in bowl.calls if share == 1}
    assert (len(whole) < 12) == (rungs == 2)


def test_random_search_draws_from_the_space_and_nothing_twice():
    sweep = asked(over={"training.weight_decay": "0.01..1.0:log", "small.tokens": "10..20"}, method="random", runs=30)
    drawn = configurations(sweep, 1)
    assert len(drawn) == 30
    assert drawn == configurations(sweep, 1)
    assert all(0.01 <= one["training.weight_decay"] <= 1 and isinstance(one["small.tokens"], int) for one in drawn)
    few = asked(over={"training.weight_decay": [0.1, 0.2]}, method="random", runs=30)
    assert len(configurations(few, 1)) == 2


def test_the_space_is_read_from_words_and_lists():
    over = {"a.b": "1..8", "c": "1e-3..1e-1:log", "d": "exact, tile", "e": [True, None], "f": "1.5..2"}
    space = space_of(asked(over=over, method="random"))
    assert space == {
        "a.b": Span(1, 8, False),
        "c": Span(1e-3, 1e-1, True),
        "d": ["exact", "tile"],
        "e": [True, None],
        "f": Span(1.5, 2, False),
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"over": {}}, "over is {}"),
        ({"over": {"x": "3..1"}, "method": "random"}, "expected two rising numbers"),
        ({"over": {"x": "0..1:log"}, "method": "random"}, "above 0 with :log"),
        ({"over": {"x": "a..b"}, "method": "random"}, "expected two rising numbers"),
        ({"over": {"x": []}}, "x has no values"),
        ({"over": {"x": "1..2"}}, "x has a range; a grid needs a list of values"),
        ({"over": {"seed": [1, 2]}}, "seed is set; a sweep chooses it"),
        ({"over": {"small.tokens": [1, 2]}, "rungs": 2}, "small.tokens is set; a sweep chooses it"),
        ({"over": {"x": [1, 2]}, "base": {"x": 3}}, "x is in over and in base"),
        ({"method": "bayes"}, "method is 'bayes'"),
        ({"metric": "loss"}, "metric 'loss' was given"),
    ],
)
def test_wrong_sweeps_are_refused(changes, message):
    with pytest.raises(StepError, match=message):
        space_of(asked(**changes))


@given(
    st.dictionaries(st.text(min_size=1), st.floats(), min_size=1, max_size=20),
    st.sampled_from([1, -1]),
    st.integers(2, 5),
)
def test_no_survivor_is_worse_than_one_that_was_stopped(values, sign, reduction):
    kept = survivors(values, sign, reduction)
    assert len(kept) == math.ceil(len(values) / reduction)
    stopped = [sign * value for name, value in values.items() if name not in kept and math.isfinite(value)]
    finite = [sign * values[name] for name in kept if math.isfinite(values[name])]
    assert not stopped or (len(finite) == len(kept) and min(finite) >= max(stopped))


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=9).filter(lambda x: np.std(x) > 1e-3))
def test_the_paired_interval_is_that_of_the_t_test(differences):
    found = paired_figures(differences)
    expected = ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected))
    assert found["detectable"] > 0


@pytest.mark.parametrize(
    ("metric", "changed", "reason"),
    [
        ("small.validation_loss", {"documents": "e"}, "another held-out text"),
        ("small.validation_loss", {"tokenizer": "u"}, "another tokenizer"),
        ("small.bits_per_byte", {"tokenizer": "u"}, "another tokenizer"),
        ("small.exam_accuracy", {"questions": "r"}, "another set of questions"),
        ("small.exam_accuracy", {"questions": ""}, "is not recorded"),
    ],
)
def test_arms_that_are_not_comparable_are_shown_without_a_rank(metric, changed, reason):
    full = {"tokenizer": "t", "documents": "d", "targets": "x", "whole": True, "questions": "q", "protocol": "p"}
    same, other = Basis(**full), Basis(**(full | changed))
    arms = {
        "reference": {seed: Measurement(3.0 + seed, same) for seed in (1, 2)},
        "like it": {seed: Measurement(2.9 + seed, same) for seed in (1, 2)},
        "different": {seed: Measurement(1.0, other) for seed in (1, 2)},
    }
    found = fold(METRICS[metric], arms, "reference")
    assert set(found["ranked"]) == {"reference", "like it"}
    (row,) = (row for row in found["arms"] if row["name"] == "different")
    assert reason in row["reason"]
    assert row["against"] is None
    assert reason in table(found)
    assert "not comparable" in table(found)


def test_arms_without_a_common_seed_are_not_ranked():
    arms = {"reference": {1: Measurement(3.0, BASIS)}, "other": {2: Measurement(2.0, BASIS)}}
    found = fold(LOSS, arms, "reference")
    assert found["ranked"] == ["reference"]
    assert "shares no seed" in table(found)


def test_a_table_shows_means_with_paired_intervals():
    noise = [0.0, 0.1, -0.1]
    arms = {
        "as it is": {seed: Measurement(3.0 + seed, BASIS) for seed in range(3)},
        "lower": {seed: Measurement(2.5 + seed + 0.1 * noise[seed], BASIS) for seed in range(3)},
    }
    lines = table(fold(LOSS, arms, "as it is")).splitlines()
    assert "lower is better" in lines[0]
    assert "-0.5000 [-0.5248, -0.4752]" in lines[2]
    assert "better" in lines[2]
    assert "reference" in lines[3]
