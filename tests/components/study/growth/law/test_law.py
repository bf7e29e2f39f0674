"""The growth law: its plan, its fit on losses of a known law, its predictions and its advice."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import StepError
from components.params import Params
from components.study.growth.law import advise as command
from components.study.growth.law import measure, predict, report
from components.study.growth.law.advice import FILE, Budget, Law, advise, read_law, text_of
from components.study.growth.law.fit import fit, judge
from components.study.growth.law.form import LAW, OTHERS, Setting, fresh, worth
from components.study.growth.law.grid import Cell, Grid, Training, read_grid, runs_of
from components.study.growth.law.runs import Measured, held_out_places, place_of, places, read_runs
from components.tracking import Tracker
from tests.components.study.growth.law.conftest import TRUE

ROOT = Path(__file__).parents[5]
POSITIVE = st.floats(0.05, 20)


def test_the_committed_plan_is_one_with_cells_at_the_far_end_set_apart() -> None:
    grid = read_grid(ROOT / "studies" / "law" / "grid.yaml")
    stage = grid.stages["S0"]
    assert Cell(max(stage.small_tokens), max(stage.large_tokens)) in stage.held_out
    assert set(stage.held_out) < set(stage.cells)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("large: [0.28M, 0.46M]", "large: [9M]"), "names shape 9M, which `shapes` lacks"),
        (("swept: [[100000, 60000]], ", ""), "neither `swept` cells nor `rates` of scratch, continued, exact"),
        (("rates: {scratch: [0.016, 0.032],", "rates: {"), "no 'scratch'"),
        (("hidden_size: 48", "hidden_size: 49"), "hidden_size 49 is not a multiple"),
        (("shapes:", "- shapes:"), "is not a plan of a grid"),
    ],
)
def test_a_broken_plan_is_refused(plan: Path, tmp_path: Path, change: tuple[str, str], told: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(plan.read_text().replace(*change))
    with pytest.raises(StepError, match="compare it with") as refused:
        read_grid(path)
    assert told in str(refused.value)


def test_each_run_of_a_stage_is_named_once(grid: Grid) -> None:
    stage = grid.stages["S"]
    runs = list(runs_of(stage, stage.cells))
    assert len(runs) == 3 + 9 + 2 * (
        3 + 9
    )  # the small models, trained on, and for each larger shape: scratch and grown
    assert places(grid.part(predicted=False)) == places(Grid(grid.shapes, grid.rates, {"S": stage}))


def test_a_run_is_set_apart_if_only_cells_set_apart_need_it(grid: Grid) -> None:
    assert held_out_places(grid) == {
        ("continued", "0.16M", "0.16M", 900_000, 400_000),
        ("exact", "0.28M", "0.16M", 900_000, 400_000),
        ("exact", "0.46M", "0.16M", 900_000, 400_000),
    }


def test_a_cell_takes_the_rates_of_the_nearest_swept_one() -> None:
    grid = read_grid(ROOT / "studies" / "law" / "grid.yaml")
    assert grid.stages["S0"].nearest(Cell(2_700_000, 60_000)) == Cell(2_700_000, 150_000)
    assert grid.stages["S0"].nearest(Cell(100_000, 60_000)) == Cell(100_000, 60_000)


@pytest.mark.parametrize(
    ("losses", "then"),
    [
        ({1: 3.0, 2: 2.5, 4: 2.8}, None),  # inside
        ({1: 3.0, 2: 2.5, 4: 2.4}, 8),
        ({1: 2.0, 2: 2.5, 4: 2.8}, 0.5),
        ({1: 3.0, 2: 2.5, 4: 2.495}, None),  # a plateau
        ({1: 5.0, 2: 4.0, 4: 3.0, 8: 2.0, 16: 1.0}, None),  # wide enough
        ({1: 3.0}, None),
    ],
)
def test_a_sweep_goes_on_where_the_best_is_at_the_edge(losses: dict[float, float], then: float | None) -> None:
    assert measure.beyond(losses) == then


def test_the_name_of_a_run_depends_on_all_that_it_depends_on(grid: Grid, tmp_path: Path) -> None:
    place = measure.Place(Params(), grid, tmp_path, "tokens", tmp_path)
    source = Training("scratch", "0.16M", 100_000, 1, 0.016)
    run = Training("exact", "0.28M", 60_000, 1, 0.012, source)
    others = [
        (place, Training("exact", "0.46M", 60_000, 1, 0.012, source)),
        (place, Training("exact", "0.28M", 60_000, 2, 0.012, source)),
        (place, Training("exact", "0.28M", 60_000, 1, 0.012, Training("scratch", "0.16M", 100_000, 1, 0.032))),
        (measure.Place(Params(), grid, tmp_path, "other", tmp_path), run),
    ]
    names = {place.key(run), *(where.key(other) for where, other in others)}
    assert len(names) == 5
    slower = Params().model_copy(update={"transfer": Params().transfer.model_copy(update={"pair_std": 0.1})})
    changed = measure.Place(slower, grid, tmp_path, "tokens", tmp_path)
    assert changed.key(run) not in names
    assert changed.key(source) == place.key(source)  # which growth does not touch


def test_a_finished_run_is_not_made_again(grid: Grid, tmp_path: Path) -> None:
    place = measure.Place(Params(), grid, tmp_path, "tokens", tmp_path)
    run = Training("continued", "0.16M", 60_000, 1, 0.004, Training("scratch", "0.16M", 100_000, 1, 0.016))
    place.record(run).parent.mkdir()
    place.record(run).write_text('{"validation_loss": 3.5}')
    assert measure.make(place, run) == {"validation_loss": 3.5}


@given(POSITIVE, POSITIVE, st.floats(1.01, 10))
def test_a_start_is_worth_the_tokens_to_the_small_models_loss(small: float, before: float, factor: float) -> None:
    setting = Setting("exact", small * factor, 1.0, small, before)
    worthy = worth(TRUE, setting)
    assert worthy <= before * (1 + 1e-9)
    reached = float(fresh(TRUE, small * factor, worthy))
    assert reached == pytest.approx(min(float(fresh(TRUE, small, before)), float(fresh(TRUE, small * factor, 0.0))))


@given(st.sampled_from(["scratch", "continued", "exact"]), POSITIVE, POSITIVE, POSITIVE, st.floats(1.01, 3))
def test_more_tokens_never_raise_a_predicted_loss(
    arm: str, small: float, before: float, tokens: float, more: float
) -> None:
    size = small if arm == "continued" else 2 * small
    few, many = (Setting(np.array([arm]), size, tokens * f, small, before) for f in (1.0, more))
    assert LAW.loss(TRUE, many) <= LAW.loss(TRUE, few)


def test_the_law_expresses_a_short_second_stage_that_raises_the_loss() -> None:
    mature = float(fresh(TRUE, 0.16, 4.0))
    assert float(LAW.loss(TRUE, Setting("continued", 0.16, 0.05, 0.16, 4.0))) > mature
    assert float(LAW.loss(TRUE, Setting("continued", 0.16, 8.0, 0.16, 4.0))) < mature


def test_a_fit_finds_a_known_law_and_predicts_cells_set_apart(records: Path, grid: Grid) -> None:
    measured = read_runs(records, grid.part(predicted=False))
    assert len(measured.runs) == 2 * 36  # the better of two rates
    assert len(measured.pairs) == 2 * 2 * 18
    judged = judge(fit(LAW, measured.part(held_out=False), draws=12), measured)
    assert judged.loss < 0.02
    assert judged.pair < 0.02
    assert judged.regret < 0.01
    fitted = fit(LAW, measured, draws=12)
    assert fitted.record()["k"]["value"] == pytest.approx(0.9, abs=0.1)
    assert fitted.loss_noise == pytest.approx(0.005, rel=1.0)
    for other in OTHERS:
        theirs = judge(fit(other, measured.part(held_out=False), draws=2), measured)
        assert theirs.loss > judged.loss


def test_too_few_runs_are_refused(records: Path, grid: Grid) -> None:
    measured = read_runs(records, grid.part(predicted=False))
    with pytest.raises(StepError, match="5 finished training runs are too few for the 10 coefficients"):
        fit(LAW, Measured.of(measured.runs[:5]))


def test_records_that_are_missing_or_broken_are_refused(tmp_path: Path, grid: Grid) -> None:
    with pytest.raises(StepError, match="no records of training runs"):
        read_runs(tmp_path, grid)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a.json").write_text('{"arm": "exact"}')
    with pytest.raises(StepError, match=r"a\.json is not a record of the grid \(no parameters\)"):
        read_runs(tmp_path, grid)


def test_a_law_survives_its_file(law: Law, tmp_path: Path) -> None:
    path = tmp_path / "law.json"
    path.write_text(json.dumps(law.record()))
    assert read_law(path).fitted.best == pytest.approx(law.fitted.best, rel=1e-5)
    assert read_law(path).range == law.range
    path.write_text(json.dumps(law.record() | {"form": "another"}))
    with pytest.raises(StepError, match="is not a fitted growth law"):
        read_law(path)


def test_the_committed_law_gives_advice() -> None:
    if not FILE.exists():
        with pytest.raises(StepError, match="fit the growth law with `make law`"):
            read_law(FILE)
        return
    law = read_law(FILE)
    known = law.range
    middle = [(low * high) ** 0.5 for low, high in known]
    advice = advise(law, middle[0], middle[2], [middle[0] * middle[1]], Budget(middle[3], None))
    assert not advice.unknown


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_advice_is_the_lowest_predicted_loss_and_falls_with_tokens(law: Law, data: st.DataObject) -> None:
    within = {name: st.floats(*ends) for name, ends in law.range._asdict().items()}
    small, factor, before, tokens = (data.draw(within[name]) for name in ("small", "factor", "small_tokens", "tokens"))
    large = [max(small * factor, small * 1.001)]
    advice = advise(law, small, before, large, Budget(tokens, None))
    if advice.unknown:
        return
    losses = [option.loss for option in advice.options]
    assert losses == sorted(losses)
    assert advice.rival is not None
    assert advice.rival.start != advice.options[0].start
    assert advice.gain == pytest.approx(advice.rival.loss - losses[0])
    assert advice.told_apart == (advice.low > 0)
    more = advise(law, small, before, large, Budget(min(2 * tokens, law.range.tokens[1]), None))
    assert more.options[0].loss <= losses[0] + 1e-12


@pytest.mark.parametrize("name", ["small", "factor", "small_tokens", "tokens"])
@pytest.mark.parametrize("beyond", [0.9, 1.1])
def test_outside_the_range_the_advice_is_unknown(law: Law, name: str, beyond: float) -> None:
    asked = {key: (low * high) ** 0.5 for key, (low, high) in law.range._asdict().items()}
    asked["small"] = law.range.small[0]
    asked[name] = law.range._asdict()[name][beyond > 1] * beyond
    advice = advise(
        law, asked["small"], asked["small_tokens"], [asked["small"] * asked["factor"]], Budget(asked["tokens"], None)
    )
    assert advice.verdict == "unknown"
    assert not advice.options
    assert "the law was fitted to" in text_of(advice)


def test_a_budget_of_flops_gives_a_larger_model_fewer_tokens(law: Law) -> None:
    advice = advise(law, 0.158464, 0.3, [0.4], Budget(None, 6 * 0.158464e6 * 0.3e6))
    tokens = {option.start: option.tokens for option in advice.options}
    assert tokens["continued"] == pytest.approx(0.3)
    assert tokens["exact"] == tokens["scratch"] == pytest.approx(0.3 * 0.158464 / 0.4)


def test_a_larger_model_that_is_not_larger_is_refused(law: Law) -> None:
    with pytest.raises(StepError, match=r"--large: 0\.1M parameters are not more than the small model's 0\.16M"):
        advise(law, 0.16, 0.3, [0.1], Budget(0.1, None))


@pytest.mark.parametrize(
    ("text", "value"), [("1500000", 1.5e6), ("1.5M", 1.5e6), ("700k", 7e5), ("2b", 2e9), ("1.4T", 1.4e12), ("1e6", 1e6)]
)
def test_an_amount_has_a_unit(text: str, value: float) -> None:
    assert command.amount(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5 apples", "nan", "1e999", "M"])
def test_what_is_not_an_amount_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not an amount; expected a number above 0"):
        command.amount(text)


def test_a_budget_is_tokens_or_flops() -> None:
    assert command.budget("700k") == ("tokens", 7e5)
    assert command.budget("1e13FLOPs") == ("flops", 1e13)


def test_the_command_advises(law: Law, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "law.json"
    path.write_text(json.dumps(law.record()))
    words = ["--law", str(path), "--small", "158464", "--small-tokens", "300k"]
    with pytest.raises(SystemExit) as ended:
        command.main(command.COMMAND, [*words, "--budget", "400k", "--summary", str(tmp_path / "advice.json")])
    assert ended.value.code == 0
    summary = json.loads((tmp_path / "advice.json").read_text())
    assert summary["verdict"] == "grow"
    assert "grow (" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(command.COMMAND, [*words, "--budget", "90M"])
    assert "unknown: tokens of what follows: 90M" in capsys.readouterr().out


def test_the_report_judges_the_law_and_fills_its_page(records: Path, plan: Path, law: Law, tmp_path: Path) -> None:
    grid = read_grid(plan)
    foretold = tmp_path / "predictions.csv"
    sizes = {"0.16M": 0.158, "0.28M": 0.283, "0.46M": 0.464}
    rows = list(predict.rows(grid.part(predicted=True), law, sizes))
    foretold.write_text("\n".join(",".join(map(str, row)) for row in [[*predict.PLACE, *predict.VALUES], *rows]) + "\n")
    assert len(predict.read_predictions(foretold)) == 4  # the small model, trained on, scratch, grown
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    inputs = {"grid": plan, "records": records, "predictions": foretold}
    summary = report.report(inputs, {"output": tmp_path / "out", "page": page}, Params(), Tracker())
    assert summary["growth law"]["loss"] < 0.02
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    for heading in (
        "Cells set apart",
        "Coefficients",
        "Errors of the fit",
        "Range",
        "Phi-1.5 into Phi-2",
        "Predictions",
    ):
        assert f"### {heading}" in text
    assert "1 of 4 are trained" in text
    assert read_law(tmp_path / "out" / "law.json").range.small_tokens == (0.1, 0.9)
    (tmp_path / "bare.md").write_text("no marks")
    with pytest.raises(StepError, match="has no lines"):
        report.insert(tmp_path / "bare.md", ["x"])


def test_without_cells_set_apart_each_cell_is_judged_by_the_others(records: Path, plan: Path, tmp_path: Path) -> None:
    near = tmp_path / "grid.yaml"
    near.write_text(plan.read_text().replace("  S: [[900000, 400000]]", "  S: []"))
    inputs = {"grid": near, "records": records, "predictions": None}
    summary = report.report(inputs, {"output": tmp_path / "out"}, Params(), Tracker())
    assert summary["growth law"]["runs"] == 2 * 27  # all but random starts
    assert summary["growth law"]["loss"] < 0.02
    assert "Each cell, by the others" in (tmp_path / "out" / "law.md").read_text()


@pytest.mark.parametrize(
    ("ahead", "since"),
    [([True, True], 0.0), ([False, True], 2.0), ([True, False], np.inf), ([False, False], np.inf)],
)
def test_growing_is_ahead_from_where_it_stays_ahead(ahead: list[bool], since: float) -> None:
    assert report.first(np.array(ahead), np.array([1.0, 2.0])) == since


def test_measured_predictions_stand_beside_what_was_foretold(
    plan: Path, law: Law, tmp_path: Path, written: Callable[..., Path]
) -> None:
    grid = read_grid(plan)
    folder = written(tmp_path / "grid", grid.part(predicted=True), seeds=(1,), noise=0.0)
    foretold = tmp_path / "p.csv"
    rows = list(predict.rows(grid.part(predicted=True), law, {"0.28M": 0.283, "0.46M": 0.463744}))
    foretold.write_text("\n".join(",".join(map(str, row)) for row in [[*predict.PLACE, *predict.VALUES], *rows]) + "\n")
    [table] = report.compared(foretold, folder, grid)
    assert "4 of 4 are trained" in table.note
    grown = next(row for row in table.rows if row[0].startswith("exact"))
    assert float(grown[3].split()[0]) == pytest.approx(float(grown[4]), abs=0.05)
    assert float(grown[5].split()[0]) == pytest.approx(float(grown[6]), abs=0.05)


def test_a_place_is_that_of_its_record() -> None:
    record = {"arm": "scratch", "shape": "0.16M", "source": None, "tokens": 5}
    assert place_of(record) == ("scratch", "0.16M", "", 0, 5)
