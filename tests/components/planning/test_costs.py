"""A plan's figures: what they follow from, that more work costs more, and that published runs come out as published."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from components.errors import StepError
from components.params import Params
from components.phi.config import PhiConfig
from components.planning.costs import Costs, Measurement, kind_of, probe, reference
from components.planning.machines import KNOWN, Machine, machine
from components.planning.plan import RUNS, Losses, Step, makespan, plan, whole_seconds
from components.planning.published import checks, published
from components.planning.work import SCORED, TRAINED, amounts, model_of


def core_flops() -> float:
    """As fast as the machine of the reference."""
    return reference()[1]


def measured(stage: str, params: Params, text: float, factor: float, more_bytes: float = 0.0) -> Measurement:
    """A run on a machine that takes `factor` times the reference's CPU time and some more memory."""
    work = amounts(params, text)[stage]
    cost = Costs([], 1, core_flops=core_flops).cost(stage, work)
    assert cost is not None
    return Measurement(
        stage, work, cost.seconds, factor * cost.cpu_seconds, cost.peak_bytes + more_bytes, 2 * cost.bytes
    )


def changed(tokens: int) -> Params:
    given = Params()
    return given.model_copy(update={"small": given.small.model_copy(update={"tokens": tokens})})


def test_every_stage_of_the_pipeline_has_rates(root: Path) -> None:
    stages = YAML(typ="safe").load((root / "dvc.yaml").read_text())["stages"]
    names = [
        f"{name}@{model}" if model else name
        for name, stage in stages.items()
        for model in stage.get("matrix", {}).get("model", [""])
    ]
    known = amounts(Params(), 1e6)
    assert set(names) == set(known)
    assert {kind_of(name) for name in names} == set(reference()[0])
    assert set(TRAINED) | set(SCORED) <= set(names)
    for name, rates in reference()[0].items():
        stage = next(stage for stage in known if kind_of(stage) == name)
        assert {*rates.cpu, *rates.memory, *rates.disk} <= set(known[stage])


@given(st.floats(0.2, 20), st.integers(100_000, 10**7))
def test_one_run_calibrates_its_stage_for_other_sizes(factor: float, tokens: int) -> None:
    costs = Costs([measured("train_small", Params(), 1e6, factor, 5e7)], 2, core_flops=core_flops)
    work = amounts(changed(tokens), 1e6)["train_small"]
    cost, plain = costs.cost("train_small", work), Costs([], 2, core_flops=core_flops).cost("train_small", work)
    assert cost is not None
    assert plain is not None
    assert cost.cpu_seconds == pytest.approx(factor * plain.cpu_seconds)
    assert cost.peak_bytes == pytest.approx(plain.peak_bytes + 5e7)
    assert cost.bytes == pytest.approx(2 * plain.bytes)
    assert cost.basis == "past runs of this stage"


def test_a_stage_that_never_ran_is_as_slow_as_the_others_were_and_the_first_follows_from_a_product() -> None:
    work = amounts(Params(), 1e6)
    costs = Costs([measured("curate", Params(), 1e6, 3.0)], 1, core_flops=core_flops)
    report = costs.cost("report", work["report"])
    assert report is not None
    assert report.basis == "past runs of other stages"
    fresh = Costs([], 1, core_flops=lambda: core_flops() / 3).cost("report", work["report"])
    assert fresh is not None
    assert fresh.basis == "a matrix product"
    assert fresh.cpu_seconds == pytest.approx(report.cpu_seconds)
    assert costs.cost("studies/law/dvc.yaml:measure", {"run": 1.0}) is None


def test_one_odd_run_among_the_latest_does_not_count() -> None:
    ran = [measured("report", Params(), 1e6, factor) for factor in (9.0, 9.0, 2.0, 2.0, 50.0, 2.0, 2.1)]
    cost = Costs(ran, 1, core_flops=core_flops).cost("report", {"run": 1.0})
    plain = Costs([], 1, core_flops=core_flops).cost("report", {"run": 1.0})
    assert cost is not None
    assert plain is not None
    assert cost.cpu_seconds == pytest.approx(2.0 * plain.cpu_seconds)


@given(st.integers(1, 64), st.floats(0, 1e9), st.integers(10_000, 10**8))
def test_more_cores_never_take_longer_and_more_work_never_less(cores: int, text: float, tokens: int) -> None:
    one, several, more = (Costs([], count, core_flops=core_flops) for count in (cores, 2 * cores, cores))
    assert whole_seconds(changed(tokens), text, several) <= whole_seconds(changed(tokens), text, one)
    assert whole_seconds(changed(2 * tokens), text, more) > whole_seconds(changed(tokens), text, one)
    assert whole_seconds(changed(tokens), 2 * text, more) >= whole_seconds(changed(tokens), text, one)


def test_a_gpu_of_this_machine_has_no_speed_that_is_known() -> None:
    costs = Costs([], 2, has_gpu=True, core_flops=core_flops)
    made = plan(Params(), 1e6, [Step("train_small", RUNS)], costs, 2)
    assert made.seconds is None


def test_the_probe_measures_a_processor() -> None:
    assert 1e8 < probe() < 1e13


def test_stages_that_do_not_need_each_other_run_at_once_but_share_the_device_and_the_cores() -> None:
    names = ["first", "left", "right", "last"]
    needs: dict[str, tuple[str, ...]] = {
        "first": (),
        "left": ("first",),
        "right": ("first",),
        "last": ("left", "right"),
    }
    steps = [Step("report", RUNS)] * 0 + [Step(name, RUNS, needs[name]) for name in names]
    ran = plan(Params(), 1e6, [Step("report", RUNS)], Costs([], 4, core_flops=core_flops), 2).stages[0]
    stages = [replace(ran, name=name) for name in names]
    assert ran.cost is not None
    once = ran.cost.seconds
    assert makespan(steps, stages, concurrent=2, cores=4) == pytest.approx(3 * once)
    assert makespan(steps, stages, concurrent=1, cores=4) == pytest.approx(4 * once)
    alone = [replace(step, device=True) for step in steps]
    assert makespan(alone, stages, concurrent=2, cores=4) == pytest.approx(4 * once)
    assert makespan(steps, stages, concurrent=2, cores=1) == pytest.approx(4 * once)
    skipped = [replace(step, state="cached") for step in steps]
    assert makespan(skipped, [replace(stage, state="cached", cost=None) for stage in stages], 2, 4) == 0


def test_a_skipped_stage_costs_nothing_and_losses_are_passed_on() -> None:
    steps = [Step("curate", "cached"), Step("train_small", RUNS), Step("train_control", "restored")]
    losses = Losses({"small": (3.0, 2.9, 3.1)})
    made = plan(Params(), 1e6, steps, Costs([], 2, core_flops=core_flops), 2, losses=losses)
    assert [stage.cost is None for stage in made.stages] == [True, False, True]
    assert {model.name: model.loss for model in made.models} == {
        "small": (3.0, 2.9, 3.1),
        "large": None,
        "control": None,
    }
    small = model_of(Params(), "small")
    assert made.models[0].parameters == small.parameters
    assert made.flops > small.flops == 1_500_000 * small.shape.flops_per_token()
    assert made.dollars is None


def test_the_published_run_of_phi_2_comes_out_with_the_utilisation_that_it_implies() -> None:
    """By the model card: 1.4 trillion tokens in 14 days on 96 A100."""
    shape = PhiConfig(51200, 2560, 10240, 32, 32, 2048)
    assert shape.parameter_count() == pytest.approx(2.78e9, rel=0.01)
    implied = shape.flops_per_token() * 1.4e12 / (14 * 86400 * 96 * 312e12)
    run = next(run for run in published() if run.name == "phi-2")
    assert run.utilisation == pytest.approx(implied)
    assert run.machine.seconds(run.flops, run.utilisation) == pytest.approx(14 * 86400)
    assert run.machine.dollars(3600) == pytest.approx(96 * 1.30)


def test_no_published_run_helps_to_plan_itself() -> None:
    runs = published()
    found = {check.run.name: check for check in checks(runs)}
    assert set(found) == {run.name for run in runs}
    other = [replace(run, hours=run.hours * (10 if run.name == "phi-2" else 1)) for run in runs]
    again = {check.run.name: check for check in checks(other)}
    assert again["phi-2"].hours == pytest.approx(found["phi-2"].hours)
    assert again["tinyllama"].hours != pytest.approx(found["tinyllama"].hours)
    assert found["phi-1.5"].hours == pytest.approx(found["phi-1.5 (paper)"].hours)
    for run in runs:
        assert 0.1 < run.utilisation < 1
        assert run.source.startswith("https://")


@pytest.mark.parametrize(
    ("text", "devices", "flops"), [("h200", 1, 989e12), ("8xH200", 8, 989e12), ("96xa100", 96, 312e12)]
)
def test_machines_are_named_with_their_number(text: str, devices: int, flops: float) -> None:
    assert (machine(text).devices, machine(text).flops) == (devices, flops)


def test_every_known_machine_has_a_dated_price() -> None:
    for name in YAML(typ="safe").load(KNOWN.read_text()):
        known = machine(name)
        assert known.dollars_per_hour
        assert known.priced.startswith("20")


def test_a_machine_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nflops: 1e14\nmemory_gb: 24\ndevices: 2\n")
    assert machine(str(file)) == Machine("mine", 1e14, 24e9, None, "", 2)
    assert machine(str(file)).dollars(3600) is None


@pytest.mark.parametrize("text", ["0xh200", "xh200", "8x", "", "h200x8", "b300"])
def test_an_unknown_machine_is_refused_with_those_that_there_are(text: str) -> None:
    with pytest.raises(StepError, match=r"--on: .* was given; expected one of a100, .*h200"):
        machine(text)


@pytest.mark.parametrize(
    "content",
    [
        "# Not a machine\n\nFree: text\n  and: more\n",
        "flops: 1e14\n",
        "flops: many\nmemory_gb: 1\n",
        "flops: 0\nmemory_gb: 1\n",
        "flops: 1\nmemory_gb: 1\ndevices: 0\n",
        "[1, 2]\n",
        "5\n",
    ],
)
def test_a_file_that_is_no_machine_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    with pytest.raises(StepError, match=r"--on: .*mine\.yaml") as refused:
        machine(str(file))
    assert "Error(" not in str(refused.value)
    assert "NotYaml" not in str(refused.value)


def test_on_another_machine_the_devices_bound_time_memory_and_price() -> None:
    steps = [Step("curate", RUNS), Step("train_large", RUNS, ("curate",), device=True)]
    costs = Costs([], 2, core_flops=core_flops)
    one, eight = (plan(Params(), 1e6, steps, costs, 2, machine(text)) for text in ("h200", "8xh200"))
    assert one.utilisation is not None
    assert one.utilisation.low < one.utilisation.used < one.utilisation.high
    assert one.seconds is not None
    assert one.seconds_range is not None
    assert one.seconds_range[0] <= one.seconds <= one.seconds_range[1]
    trained = one.stages[1]
    assert trained.cost is not None
    assert one.dollars == pytest.approx(trained.cost.seconds / 3600 * 4.00)
    assert 0 < trained.device_bytes == one.device_bytes < 141e9
    assert eight.stages[1].cost is not None
    assert eight.stages[1].cost.seconds < trained.cost.seconds
