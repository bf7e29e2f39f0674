"""What the records come to: figures, verdicts, files; and what is refused."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from components.errors import StepError
from components.params import Params
from components.study.ablation.analysis import Ablation, analyse
from components.study.ablation.record import Record, read_record, read_records
from components.study.ablation.report import report
from components.study.ablation.text import arms, sentences, text_of
from components.tracking import Tracker
from tests.components.study.ablation.conftest import SHIFTS


def write(records: list[Record], folder: Path) -> Path:
    for record in records:
        record.write(folder / record.arm / f"{record.seed}.json")
    return folder


def test_a_record_comes_back_as_it_was(record: Callable[..., Record], tmp_path: Path) -> None:
    for written in (record("random", 2), record("curated", loss=None)):
        written.write(tmp_path / "r.json")
        assert read_record(tmp_path / "r.json") == written


@pytest.mark.parametrize("text", ["", "[]", '{"arm": "curated"}', "\x00"])
def test_what_is_not_a_record_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(StepError, match=r"r\.json is not a record of the ablation"):
        read_record(tmp_path / "r.json")


def test_records_are_read_by_plan(records: list[Record], tmp_path: Path) -> None:
    """What an earlier plan has left is not read; what this one lacks is named."""
    write(records, tmp_path)
    found = read_records(tmp_path, ["curated", "random"], [3, 1])
    assert [(r.arm, r.seed) for r in found] == [("curated", 3), ("curated", 1), ("random", 3), ("random", 1)]
    with pytest.raises(StepError, match="no training run of arm 'random' with seed 4"):
        read_records(tmp_path, ["random"], [4])
    records[0].write(tmp_path / "curated" / "1.json")
    with pytest.raises(StepError, match=r"curated/1\.json is of arm 'random' with seed 1"):
        read_records(tmp_path, ["curated"], [1])


def test_differences_are_those_of_neighbours_paired_by_seed(records: list[Record]) -> None:
    result = analyse(Ablation.of(list(reversed(records))))
    pairs = [(row["arm"], row["against"]) for row in result["differences"]]
    assert pairs == [
        ("curated", "random"),
        ("curated_textbooks", "curated"),
        ("curated_textbooks_exercises", "curated_textbooks"),
    ]
    losses = {arm: [r.loss for r in sorted(records, key=lambda r: r.seed) if r.arm == arm] for arm, _ in pairs}
    for (arm, against), row in list(zip(pairs, result["differences"], strict=True))[1:]:
        expected = stats.ttest_rel(losses[arm], losses[against]).confidence_interval(0.95)
        assert (row["loss"]["low"], row["loss"]["high"]) == pytest.approx((expected.low, expected.high))
    assert [row["loss"]["verdict"] for row in result["differences"]] == ["better", "not distinguishable", "worse"]
    assert [row["exam"]["verdict"] for row in result["differences"]] == ["better", "better", "better"]
    assert result["differences"][2]["exam.math"]["mean"] == pytest.approx(0.27, abs=1e-3)


def test_rewrites_are_compared_with_repeats_of_their_documents(
    record: Callable[..., Record], records: list[Record]
) -> None:
    ends = {"sources_repeated": 4.4, "sources_rephrased": 4.1}
    both = [record(arm, seed, loss + 0.01 * seed) for seed in (1, 2, 3) for arm, loss in ends.items()]
    result = analyse(Ablation.of([*records, *both]))
    pairs = [(row["arm"], row["against"]) for row in result["differences"]]
    assert len(pairs) == 4
    assert pairs[-1] == ("sources_rephrased", "sources_repeated")
    assert result["differences"][-1]["loss"]["mean"] == pytest.approx(-0.3)
    assert "**sources_rephrased** against sources_repeated" in " ".join(sentences(analyse(Ablation.of(both))))


BUDGETS = {0.5: 4.5, 1.5: 4.1}  # horizons of the random arm, whose loss at 1.0 is 4.3


def further_budgets(record: Callable[..., Record], **changes: Any) -> list[Record]:
    return [
        record("random", seed, loss + shifts[0], horizon=horizon, tokens=int(1_000 * horizon), **changes)
        for horizon, loss in BUDGETS.items()
        for seed, shifts in SHIFTS.items()
    ]


def test_the_tokens_that_the_baseline_needs_for_each_arms_loss(
    record: Callable[..., Record], records: list[Record]
) -> None:
    exact = [record("curated_textbooks_exercises", seed, 4.5 + shifts[0]) for seed, shifts in SHIFTS.items()]
    known = [r for r in records if r.arm != "curated_textbooks_exercises"]
    result = analyse(Ablation.of([*reversed(further_budgets(record)), *known, *exact]))
    found = {row["arm"]: row for row in result["multipliers"]}
    assert [*found] == ["curated", "curated_textbooks", "curated_textbooks_exercises"]
    assert (found["curated"]["factor"], found["curated"]["bound"]) == (pytest.approx(1.5), "at least")
    assert found["curated_textbooks_exercises"]["factor"] == pytest.approx(0.5)  # the loss of half the tokens
    assert {row["against"] for row in found.values()} == {"random"}
    said = " ".join(sentences(result))
    assert "**curated**: random would need ≥ 1.50 times as many tokens for its loss." in said
    assert "Compute multipliers" in text_of(result).markdown()


def test_a_budget_that_diverged_is_left_out_and_said(record: Callable[..., Record], records: list[Record]) -> None:
    lost = [
        record("random", 2, None, horizon=1.5) if (r.horizon, r.seed) == (1.5, 2) else r
        for r in further_budgets(record)
    ]
    result = analyse(Ablation.of([*records, *lost]))
    assert "left out: random at horizon 1.5." in " ".join(sentences(result))
    assert {row["bound"] for row in result["multipliers"] if row["arm"] == "curated"} == {"at least"}
    assert analyse(Ablation.of(records))["multipliers"] == []
    with pytest.raises(StepError, match="parameters of arm 'random'"):
        Ablation.of([*records, *further_budgets(record, parameters=11)])


def test_the_first_arms_further_budgets_are_read(record: Callable[..., Record], tmp_path: Path) -> None:
    for name, horizon in (("1", 1.0), ("0.5-1", 0.5), ("2-1", 2.0)):
        record("random", horizon=horizon).write(tmp_path / "random" / f"{name}.json")
    record("curated").write(tmp_path / "curated" / "1.json")
    found = read_records(tmp_path, ["random", "curated"], [1], [0.5, 2.0])
    assert [(r.arm, r.horizon) for r in found] == [("random", 1.0), ("curated", 1.0), ("random", 0.5), ("random", 2.0)]
    with pytest.raises(StepError, match=r"random/4-1\.json does not exist"):
        read_records(tmp_path, ["random", "curated"], [1], [4.0])


def test_what_was_read_and_how_often(records: list[Record]) -> None:
    (arm, *_) = analyse(Ablation.of(records))["arms"]
    assert arm["read"]["code"] == {"share": pytest.approx(0.6), "passes": pytest.approx(0.75)}
    assert arm["read"]["prose"] == {"share": pytest.approx(0.4), "passes": pytest.approx(2.0)}


def test_arms_at_the_level_of_a_guess_are_said(records: list[Record]) -> None:
    said = " ".join(sentences(analyse(Ablation.of(records))))
    assert "**random** is not distinguishable from answering the exam without a model (0.320)" in said
    assert "**curated_textbooks_exercises** is not distinguishable" not in said
    shown = text_of(analyse(Ablation.of(records))).markdown()
    assert "| majority " in shown
    assert "| chance " in shown


def test_one_seed_has_no_intervals_and_no_verdict(record: Callable[..., Record]) -> None:
    result = analyse(Ablation.of([record("random", loss=4.2), record("curated")]))
    (row,) = result["differences"]
    assert row["loss"]["mean"] == pytest.approx(-0.2)
    assert (row["loss"]["low"], row["loss"]["verdict"]) == (None, "not distinguishable")
    assert "±" not in arms(result).rows[0][2]


def test_an_arm_that_diverged_is_left_out_and_said(records: list[Record], record: Callable[..., Record]) -> None:
    changed = [record("curated", 2, loss=None) if (r.arm, r.seed) == ("curated", 2) else r for r in records]
    result = analyse(Ablation.of(changed))
    pairs = [(row["arm"], row["against"]) for row in result["differences"]]
    assert pairs[0] == ("curated_textbooks", "random")
    assert "left out: curated." in " ".join(sentences(result))
    with pytest.raises(StepError, match=r"complete arms: 1 \(curated diverged\)"):
        Ablation.of([record("random"), record("curated", loss=None)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tokens": 2_000}, "tokens of arm 'curated', seed 1: 2000"),
        ({"parameters": 11}, "parameters of arm 'curated'"),
        ({"learning_rate": 0.02}, "learning rate of arm 'curated'"),
        ({"losses": {"code": 1.0}}, "kinds of held-out documents of arm 'curated'"),
        ({"exam": {"accuracy": 0.5, "chance": 0.2, "majority": 0.3, "categories": {}}}, "exam of arm 'curated'"),
    ],
)
def test_only_documents_may_differ(record: Callable[..., Record], change: dict, words: str) -> None:
    with pytest.raises(StepError, match=words):
        Ablation.of([record("random"), replace(record("curated"), **change)])


def test_an_uneven_plan_is_refused(records: list[Record]) -> None:
    with pytest.raises(StepError, match=r"arm 'random' has seeds \[2, 3\], expected \[1, 2, 3\]"):
        Ablation.of(records[1:])


class Addresses(HTMLParser):
    """Whatever a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_files_are_whole_equal_and_offline(
    record: Callable[..., Record], records: list[Record], tmp_path: Path
) -> None:
    runs = write(records, tmp_path / "runs")
    for further in further_budgets(record):
        further.write(runs / "random" / f"{further.horizon}-{further.seed}.json")
    summaries = [report({"runs": runs}, {"output": tmp_path / name}, Params(), Tracker()) for name in ("a", "b")]
    names = {"ablation.json", "ablation.md", "ablation.csv", "multipliers.csv", "ablation.png", "index.html"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert summaries[0] == summaries[1]
    assert summaries[0]["exam"] == {"chance": 0.3, "majority": 0.32}
    assert summaries[0]["curated minus random"]["loss"] == pytest.approx(-0.3, abs=0.02)
    rows = list(csv.DictReader((tmp_path / "a" / "ablation.csv").read_text().splitlines()))
    assert len(rows) == len(records) + len(BUDGETS) * len(SHIFTS)
    multipliers = list(csv.DictReader((tmp_path / "a" / "multipliers.csv").read_text().splitlines()))
    assert [(row["arm"], row["cost"], row["bound"]) for row in multipliers[:1]] == [("curated", "tokens", "at least")]
    assert summaries[0]["curated"]["multiplier"] == {"tokens_against_random_at_least": pytest.approx(1.5)}
    assert float(rows[0]["exam.math"]) == pytest.approx(0.21)
    assert json.loads((tmp_path / "a" / "ablation.json").read_text())["seeds"] == [1, 2, 3]
    html = (tmp_path / "a" / "index.html").read_text()
    page = Addresses()
    page.feed(html)
    assert page.found
    assert all(address.startswith("data:") for address in page.found)
    for words in ("Exam by category", "Effect of each ingredient", "majority", "Loss by kind"):
        assert words in html
