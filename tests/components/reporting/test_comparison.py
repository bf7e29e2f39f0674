"""Crossings and costs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.reporting.comparison import compare, first_crossing, interpolate
from components.reporting.evidence import Accuracy, Case, Curve, Evidence, Scores
from components.reporting.paired import exam_differences
from components.results.comparability import Basis


def model(name: str, loss: float, curve: Curve | None = None, flops: float | None = None) -> Evidence:
    measured_on = {"tokenizer": "t", "documents": "d", "targets": "m"}
    training = {"validation_loss": loss, "flops": flops, "measured_on": measured_on}
    return Evidence(name, training=training, curve=curve)


def curve(losses: list[float], tokens: float = 100, flops_a_token: float = 10) -> Curve:
    x = [tokens * i / (len(losses) - 1) for i in range(len(losses))]
    return Curve(tuple(x), tuple(v * flops_a_token for v in x), tuple(losses))


def test_a_crossing_is_interpolated_reached_at_the_start_or_never() -> None:
    x, loss = [0.0, 10.0, 20.0], [4.0, 3.0, 2.0]
    assert first_crossing(x, loss, 2.5) == (15.0, "interpolated")
    assert first_crossing(x, loss, 3.0) == (10.0, "interpolated")
    assert first_crossing(x, loss, 4.5) == (0.0, "start")
    assert first_crossing(x, loss, 1.9) == (None, "not reached")


@given(
    st.lists(st.floats(0.1, 10), min_size=2, max_size=12),
    st.floats(0.1, 10),
)
def test_a_crossing_lies_on_the_curve_and_nothing_before_it_is_below(loss: list[float], target: float) -> None:
    x = [float(i) for i in range(len(loss))]
    at, method = first_crossing(x, loss, target)
    if method == "not reached":
        assert min(loss) > target
        return
    assert all(value > target for position, value in zip(x, loss, strict=True) if position < at - 1e-9)
    if method == "interpolated":
        assert interpolate(x, loss, at) == pytest.approx(target)


def test_interpolation_stays_inside() -> None:
    assert interpolate([0, 2, 4], [1, 3, 3], 1) == 2
    assert interpolate([0, 2, 4], [1, 3, 3], 0) == 1
    assert interpolate([0, 2, 4], [1, 3, 3], 4) == 3
    assert interpolate([0, 2, 4], [1, 3, 3], 4.1) is None
    assert interpolate([1, 2], [1, 3], 0.9) is None


def test_cost_is_stated_sunk_and_inclusive() -> None:
    large, control = curve([3.0, 2.5, 2.0]), curve([8.0, 4.0, 2.5])
    models = (
        model("small", 3.0, flops=400.0),
        model("large", 2.0, large, 1000.0),
        model("control", 2.5, control, 1000.0),
    )
    found = compare(Case(models))
    assert found["loss_advantage_over_control"] == 0.5
    assert found["grown_start_loss"] == 3.0
    assert (found["tokens_to_control_loss"], found["share_of_control_tokens"]) == (50.0, 0.5)
    sunk, inclusive = found["flops"]["sunk"], found["flops"]["inclusive"]
    assert (sunk["total"], sunk["to_control_loss"], sunk["share_of_control_flops"]) == (1000.0, 500.0, 0.5)
    assert (inclusive["total"], inclusive["to_control_loss"], inclusive["share_of_control_flops"]) == (
        1400.0,
        900.0,
        0.9,
    )
    assert sunk["loss_advantage_at_control_flops"] == 0.5
    assert inclusive["loss_advantage_at_control_flops"] == pytest.approx(2.5 - 2.4)


def test_a_grown_model_that_loses_is_reported_as_losing() -> None:
    large, control = curve([3.0, 2.9, 2.8]), curve([8.0, 4.0, 2.5])
    found = compare(Case((model("large", 2.8, large, 1000.0), model("control", 2.5, control, 1000.0))))
    assert found["loss_advantage_over_control"] == pytest.approx(-0.3)
    assert found["tokens_to_control_loss"] is None
    assert found["tokens_to_control_loss_method"] == "not reached"
    assert found["flops"]["sunk"]["share_of_control_flops"] is None
    assert found["flops"]["inclusive"]["total"] is None, "the small model's cost is not known, so the sum is not"


def test_nothing_to_compare_gives_nothing() -> None:
    assert compare(Case((model("small", 3.0),))) is None
    assert compare(Case((model("a", 3.0), model("b", 3.0)))) is None


def test_a_proof_alone_is_handed_on_unchanged() -> None:
    proof = {"operator": "exact", "kl": 1e-9, "loss_delta": -2e-8, "max_relative_logit_difference": 3e-7}
    found = compare(Case((model("small", 3.0),), transfer=proof))
    assert {key: found[key] for key in proof} == proof
    assert found["loss_advantage_over_control"] is None


@given(st.floats(0.01, 5), st.floats(0, 1e4))
def test_inclusive_is_never_cheaper_than_sunk(drop: float, small_flops: float) -> None:
    large, control = curve([3.0, 3.0 - drop / 2, 3.0 - drop]), curve([8.0, 4.0, 3.0 - drop / 3])
    models = (
        model("small", 3.0, flops=small_flops),
        model("large", large.loss[-1], large, 1000.0),
        model("control", control.loss[-1], control, 1000.0),
    )
    flops = compare(Case(models))["flops"]
    assert flops["inclusive"]["share_of_control_flops"] >= flops["sunk"]["share_of_control_flops"]
    assert math.isclose(flops["inclusive"]["total"] - flops["sunk"]["total"], small_flops, abs_tol=1e-6)


def scored(name: str, examples: dict[tuple[str, str], float] | None) -> Evidence:
    basis = Basis(questions="q", protocol="p")
    return Evidence(name, scores=Scores(Accuracy(0.5), {"t": Accuracy(0.5)}, {}, examples=examples, basis=basis))


def test_differences_are_paired_and_tasks_weigh_equally() -> None:
    large = {("a", str(i)): float(i % 2 == 0) for i in range(8)} | {("b", "0"): 1.0, ("b", "1"): 1.0, ("c", "0"): 1.0}
    control = {("a", str(i)): float(i % 4 == 0) for i in range(8)} | {("b", "0"): 0.0, ("b", "1"): 1.0}
    (found,) = exam_differences(Case((scored("large", large), scored("control", control), scored("other", None))))
    # Task a: differences 0,0,1,0,0,0,1,0; task b: 1,0; task c has no pair.
    assert (found["of"], found["against"], found["n"]) == ("large", "control", 10)
    assert found["value"] == pytest.approx((0.25 + 0.5) / 2)
    variance_a, variance_b = 1.5 / 7 / 8, 0.5 / 1 / 2
    assert found["stderr"] == pytest.approx(math.sqrt(variance_a + variance_b) / 2)


def test_a_model_against_its_equal_differs_by_nothing() -> None:
    same = {("a", str(i)): float(i % 3 == 0) for i in range(20)}
    (found,) = exam_differences(Case((scored("large", same), scored("control", dict(same)))))
    assert (found["value"], found["stderr"]) == (0.0, 0.0)


def test_no_examples_no_differences() -> None:
    assert exam_differences(Case((scored("large", None), scored("control", {("a", "0"): 1.0})))) == []
    assert exam_differences(Case((scored("large", {("a", "0"): 1.0}), scored("control", {("b", "0"): 1.0})))) == []
    (single,) = exam_differences(Case((scored("large", {("a", "0"): 1.0}), scored("control", {("a", "0"): 0.0}))))
    assert single["stderr"] is None
