"""What the records come to: figures, verdicts, files; and what is refused."""

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from components.errors import StepError
from components.params import Params
from components.study.growth.analysis import Study, analyse
from components.study.growth.arms import EQUAL_COST
from components.study.growth.record import Record, best_trial, read_record, read_records
from components.study.growth.report import report
from components.study.growth.text import sentences, text_of
from components.tracking import Tracker

Records = tuple[list[Record], list[Record]]


def write(study: Records, folder: Path) -> dict[str, Path]:
    for kind, records in zip(("trials", "runs"), study, strict=True):
        for number, record in enumerate(records):
            record.write(folder / kind / record.arm / f"{number}.json")
    return {kind: folder / kind for kind in ("trials", "runs")}


def test_a_record_comes_back_as_it_was(record: Callable[..., Record], tmp_path: Path) -> None:
    for written in (record("exact", 2, 0.5), record("continued", 1, EQUAL_COST), record("scratch", loss=None)):
        written.write(tmp_path / "r.json")
        assert read_record(tmp_path / "r.json") == written


@pytest.mark.parametrize("text", ["", "[]", '{"arm": "exact"}', "\x00"])
def test_what_is_not_a_record_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(StepError, match=r"r\.json is not a record"):
        read_record(tmp_path / "r.json")
    with pytest.raises(StepError, match="no record of a training"):
        read_records(tmp_path / "nothing")


def test_the_best_trial_is_the_lowest_loss_that_did_not_diverge(study: Records, record: Callable[..., Record]) -> None:
    assert best_trial(study[0], "exact").rate == 1.0
    with pytest.raises(StepError, match="no trial of arm 'tile'"):
        best_trial(study[0], "tile")
    with pytest.raises(StepError, match=r"every trial of arm 'tile' diverged \(learning rates 0.02\)"):
        best_trial([record("tile", loss=None, learning_rate=0.02)], "tile")


def test_figures_and_verdicts(study: Records) -> None:
    result = analyse(Study.of(*study))
    arms = {arm["arm"]: arm for arm in result["arms"]}
    assert arms["exact"]["budgets"][-1]["validation_loss"]["mean"] == pytest.approx(2.9 + 0.01 / 3 + 0.002)
    assert arms["exact"]["budgets"][-1]["total_flops"] == 2_000 + 1_000
    assert arms["exact"]["learning_rate"] == 0.01
    assert not arms["exact"]["at_the_edge"]
    assert [trial["validation_loss"] for trial in arms["exact"]["trials"]] == [3.3, 3.0, None]
    verdicts = {row["against"]: row["loss_verdict"] for row in result["differences"] if row["arm"] == "exact"}
    assert verdicts == {
        "scratch, same tokens": "better",
        "scratch, also given the small model's FLOPs": "better",
        "small trained on, same tokens": "better",
        "small trained on, same added FLOPs": "worse",
    }
    said = " ".join(sentences(result))
    assert "Higher loss than small trained on, same added FLOPs" in said


def test_the_cost_to_scratchs_losses(study: Records) -> None:
    result = analyse(Study.of(*study))
    costs = {target["horizon"]: {a["arm"]: a for a in target["arms"]} for target in result["targets"]}
    at_once = costs[1.0]["exact"]  # starts at 3.2, below scratch's 3.4
    assert at_once["how"] == ["start"] * 3
    assert at_once["share_of_tokens"]["mean"] == 0.0
    assert at_once["speed_up_sunk"] is None  # nothing divides by nothing
    assert at_once["speed_up_inclusive"]["mean"] == pytest.approx(2_000 / 1_000 - 1)
    later = costs[EQUAL_COST]["exact"]  # scratch's 3.1 needs some training
    assert later["how"] == ["at most"] * 3
    assert later["share_of_tokens"]["mean"] == pytest.approx(500 / 1_500)
    assert later["speed_up_inclusive"]["mean"] == pytest.approx(3_000 / (1_000 + 1_000) - 1)
    assert "at once" in text_of(result).markdown()


def test_what_scratch_and_the_small_model_would_need_for_an_arms_loss(study: Records) -> None:
    result = analyse(Study.of(*study))
    found = {(row["arm"], row["against"], row["cost"]): row for row in result["multipliers"]}
    beyond = found["exact", "scratch", "total FLOPs"]  # 2.9 is below all of scratch's losses: 3,000 FLOPs against 3,000
    assert (beyond["factor"], beyond["bound"], beyond["low"]) == (pytest.approx(1.0), "at least", None)
    tokens, flops = (found["exact", "continued", cost] for cost in ("tokens", "FLOPs"))
    assert (tokens["bound"], flops["bound"]) == ("", "")
    assert 1.0 < tokens["low"] < tokens["factor"] < tokens["high"] < 1.5  # 2.9, between 3.0 and the equal cost's 2.8
    assert flops["factor"] == pytest.approx(tokens["factor"] / 2)  # the small model costs half of it per token
    assert found["continued", "scratch", "tokens"]["bound"] == "at least"
    assert ("scratch", "scratch", "tokens") not in found
    said = " ".join(sentences(result))
    assert "Scratch would need ≥ 1.00 times as many total FLOPs for this loss" in said
    assert f"Continued would need {flops['factor']:.2f} ({flops['low']:.2f} to" in said


def test_what_the_added_entries_carry_stands_beside_the_loss(study: Records, tmp_path: Path) -> None:
    trials, runs = study
    carried = {1: (0.4, 0.020), 2: (0.5, 0.024), 3: (0.45, 0.022)}
    runs = [
        replace(
            r,
            capacity={"gain": 0.05, "share": carried[r.seed][0], "damage": carried[r.seed][1], "damage_stderr": 0.003},
        )
        if r.arm == "exact"
        else r
        for r in runs
    ]
    result = analyse(Study.of(trials, runs))
    budgets = {arm["arm"]: arm["budgets"][-1]["capacity"] for arm in result["arms"]}
    assert budgets["scratch"] is budgets["continued"] is None
    assert budgets["exact"]["share"]["mean"] == pytest.approx(0.45)
    assert budgets["exact"]["damage"]["mean"] == pytest.approx(0.022)
    assert budgets["exact"]["damage_stderr"] == pytest.approx(math.sqrt(3 * 0.003**2) / 3)
    (table,) = (table for table in text_of(result).tables if table.title == "What the added entries carry")
    assert [row[0] for row in table.rows] == ["exact", "exact"]
    assert table.rows[-1][2].startswith("2.90")
    assert table.rows[-1][4].startswith("0.45 ±")
    inputs: dict[str, Any] = write((trials, runs), tmp_path)
    summary = report(inputs, {"output": tmp_path / "a"}, Params(), Tracker())
    assert summary["exact"]["share_of_new"] == pytest.approx(0.45)
    rows = csv.DictReader((tmp_path / "a" / "study.csv").read_text().splitlines())
    assert {row["share_of_new"] for row in rows if row["arm"] == "exact"} == {"0.4", "0.5", "0.45"}


def test_a_missing_training_is_named(study: Records) -> None:
    trials, runs = study
    with pytest.raises(StepError, match=r"no training run of arm 'exact' at horizon 1\.0 with seed 3"):
        Study.of(trials, [r for r in runs if (r.arm, r.horizon, r.seed) != ("exact", 1.0, 3)])
    with pytest.raises(StepError, match="no training run of arm 'continued' at horizon equal-cost"):
        Study.of(trials, [r for r in runs if (r.arm, r.horizon) != ("continued", EQUAL_COST)])


def test_an_arm_that_diverged_is_left_out_and_said(study: Records, record: Callable[..., Record]) -> None:
    trials, runs = study
    more = [record("tile", seed, loss=None if seed == 2 else 3.0) for seed in (1, 2, 3)]
    result = analyse(Study.of([*trials, record("tile")], [*runs, *more]))
    assert [arm["arm"] for arm in result["arms"]] == ["scratch", "continued", "exact"]
    assert "left out: tile" in " ".join(sentences(result))
    with pytest.raises(StepError, match="'scratch' diverged, which all arms are compared with"):
        Study.of(trials, [*runs, record("scratch", 4, loss=None)])


class Addresses(HTMLParser):
    """Whatever a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_files_are_whole_equal_and_offline(study: Records, tmp_path: Path) -> None:
    inputs: dict[str, Any] = write(study, tmp_path)
    summaries = [report(inputs, {"output": tmp_path / name}, Params(), Tracker()) for name in ("a", "b")]
    names = {"study.json", "study.md", "study.csv", "multipliers.csv", "study.png", "index.html"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert summaries[0] == summaries[1]
    assert summaries[0]["exact"]["tokens"] == 1_000
    assert summaries[0]["exact"]["multiplier"]["total_FLOPs_against_scratch_at_least"] == pytest.approx(1)
    assert "exact@0.5" in summaries[0]
    assert len((tmp_path / "a" / "study.csv").read_text().splitlines()) == 1 + len(study[1])
    assert json.loads((tmp_path / "a" / "study.json").read_text())["seeds"] == [1, 2, 3]
    page = Addresses()
    page.feed((tmp_path / "a" / "index.html").read_text())
    assert page.found
    assert all(address.startswith("data:") for address in page.found)
