"""Tables of our models beside the published ones: protocols apart, rows told apart, differences and overlap."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.params import Params
from components.reporting import report
from components.reporting.beside import p_cell
from components.results.published import percent, read_published
from components.tracking import Tracker

NAMES = ("small", "large", "control")


def scores_of(model: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A suite in small: choices, two subjects of MMLU, exact match and pass@1; the large model is right more often."""
    tasks: dict[str, Any] = {}
    protocols: dict[str, Any] = {}
    overlap: dict[str, Any] = {}
    rows = []
    better = {"small": 0, "large": 12, "control": 1}[model]
    asked = [(name, "acc", name, 0, "") for name in ("piqa", "winogrande", "arc_easy", "arc_challenge", "siqa")]
    asked += [("mmlu_law", "acc", "mmlu", 5, ""), ("mmlu_art", "acc", "mmlu", 5, "")]
    asked += [("gsm8k", "exact_match", "gsm8k", 8, ""), ("bbh_navigate", "exact_match", "bbh", 3, "chain of thought")]
    for task, metric, benchmark, shots, form in asked:
        values = [float(i % 3 == 0 or i < better) for i in range(40)]
        share = sum(values) / 40
        entry = {"value": share, "stderr": 0.05, "n": 40}
        tasks[task] = {metric: entry} | ({"acc_norm": entry | {"value": share / 2}} if metric == "acc" else {})
        cut = 3 if task == "mmlu_law" else 0
        protocols[task] = {"benchmark": benchmark, "shots": shots, "form": form, "truncated_prompts": cut}
        found = 0.25 if task == "mmlu_law" else 0.0
        overlap[task] = {"n": 13, "overlap": found, "clean": {metric: {"value": 0.3, "stderr": 0.05, "n": 30}}}
        rows += [{"task": task, "id": str(i), metric: value} for i, value in enumerate(values)]
    content = {"suite": "phi2", "tasks": tasks, "protocols": protocols, "contamination": {"tasks": overlap}}
    content["data"] = {task: f"rows of {task}" for task in tasks}
    return content, [{key: row.get(key) for key in ("task", "id", "acc", "exact_match")} for row in rows]


@pytest.fixture
def written(workspace: Path, arguments: Any) -> tuple[dict[str, Any], str, str]:
    """The leaderboard of a run with both suites: as JSON, Markdown and HTML."""
    for name in NAMES:
        folder = workspace / "reports/phi2" / name
        folder.mkdir(parents=True)
        content, rows = scores_of(name)
        (folder / "scores.json").write_text(json.dumps(content), encoding="utf-8")
        pq.write_table(pa.Table.from_pylist(rows), folder / "examples.parquet")
        arguments[0]["scores"].append(folder)
    report.run(*arguments, Params(), Tracker())
    output = arguments[1]["output"]
    board = json.loads((output / "leaderboard.json").read_text(encoding="utf-8"))
    return board, *((output / name).read_text(encoding="utf-8") for name in ("leaderboard.md", "index.html"))


def section(text: str, title: str) -> list[list[str]]:
    """The cells of the Markdown table under a heading."""
    part = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if not line.startswith("| ---")]


def test_ours_stand_above_the_published_with_the_same_protocol(written: Any) -> None:
    header, *rows = section(written[1], "Beside published models")
    assert header[1:4] == [
        "BBH exact match, 3-shot, chain of thought",
        "Commonsense acc",
        "Commonsense metric not stated",
    ]
    assert [row[0] for row in rows][:4] == ["small (measured)", "large (measured)", "control (measured)", "Phi-2 [1]"]
    assert all(row[2] != "-" and row[3] == "-" for row in rows[:3])
    assert all(row[2] == "-" and row[3] != "-" for row in rows[3:-1])
    assert rows[-1][:2] == ["detects, from another model", f"{2.8016 * math.sqrt(2) * 5:.1f}"]  # of 5 percent
    assert rows[3][1:4] == ["59.2", "-", "68.8"]
    assert re.fullmatch(r"35\.0 ± \d+\.\d", rows[0][1])


def test_each_group_has_a_table_a_metric(written: Any) -> None:
    header, *rows = section(written[1], "Commonsense: accuracy")
    assert header == ["model", "mean", *(f"{n}, 0-shot" for n in ("PIQA", "WinoGrande", "ARC-e", "ARC-c", "SIQA"))]
    assert [row[0] for row in rows[3:]] == ["Phi-1.5 [4]", "Llama-2 7B [5]", "detects, from another model"]
    assert rows[3][1:] == ["-", "-", "73.4", "75.6", "44.4", "52.6"], "nobody says by which metric PIQA's figure is"
    _, *normed = section(written[1], "Commonsense: accuracy by length")
    assert [row[0] for row in normed[:-1]] == [row[0] for row in rows[:3]], (
        "the leaderboard's 25 shots are not our none"
    )


def test_every_published_figure_stands_in_the_report_with_its_source(written: Any) -> None:
    board, text, page = written
    listed = " ".join(row[4] for row in section(text, "All published scores by protocol")[1:])
    numbers = {name: source["number"] for name, source in board["standings"]["sources"].items()}
    reference = read_published()
    for figure in reference.figures:
        title = reference.models[figure.model]["title"]
        assert f"{title} {percent(figure.value)} [{numbers[figure.source]}]" in listed
    for source in reference.sources.values():
        assert source["url"] in text
        assert source["url"] in page


def test_differences_by_benchmark_are_paired_and_adjusted(written: Any) -> None:
    board, text, _ = written
    pairs = {pair["against"]: pair["benchmarks"] for pair in board["suite_differences"]}
    assert set(pairs) == {"small", "control"}
    assert pairs["small"]["mmlu"]["n"] == 80, "the questions of all subjects"
    for rows in pairs.values():
        for row in rows.values():
            assert row["low"] <= row["value"] <= row["high"]
            assert row["p_value"] <= row["p_adjusted"] <= 1
    header, *rows = section(text, "Suite phi2: differences")
    assert header[3:] == ["large minus small", "bits/byte", "large minus control", "bits/byte"]
    mmlu = next(row for row in rows if row[0] == "MMLU")
    assert re.fullmatch(r"\+0\.200 \[\+0\.\d+, \+0\.\d+\], detects 0\.\d+ \*", mmlu[3])


def test_the_overlap_stands_beside_the_clean_score(written: Any) -> None:
    header, *rows = section(written[1], "Suite phi2: overlap with the training corpus")
    assert header[:3] == ["benchmark", "words", "questions found"]
    assert [row[:4] for row in rows] == [["MMLU acc, 5-shot", "13", "12.5%", "0.300 (0.350)"]]


def test_cut_prompts_are_marked_where_they_were_cut(written: Any) -> None:
    text = written[1]
    header, first, *_ = section(text, "Language: accuracy")
    assert header == ["model", "MMLU, 5-shot"]
    assert first[1].endswith(" †")
    assert "†" not in " ".join(section(text, "Commonsense: accuracy")[1])
    assert "† Some prompts were longer than the model's context" in text


def test_two_checkpoints_by_themselves_are_compared(workspace: Path, arguments: Any) -> None:
    """Neither is the large model of a pipeline: the first that is named is held against the other."""
    inputs = {"scores": [arguments[0]["scores"][0], arguments[0]["scores"][2]]}
    report.run(inputs, arguments[1], Params(), Tracker())
    board = json.loads((arguments[1]["output"] / "leaderboard.json").read_text(encoding="utf-8"))
    (pair,) = board["exam_differences"]
    assert (pair["of"], pair["against"]) == ("small", "control")


def test_without_such_a_suite_the_table_says_how_to_get_one(arguments: Any) -> None:
    report.run(*arguments, Params(), Tracker())
    text = (arguments[1]["output"] / "leaderboard.md").read_text(encoding="utf-8")
    header, *rows = section(text, "Beside published models")
    assert header[-1].startswith("Exam acc")
    assert [row[0] for row in rows[:3]] == [f"{name} (measured)" for name in NAMES]
    assert "`python -m components.benchmarking --suite phi2` measures the others" in text
    assert "overlap with the training corpus" not in text


@pytest.mark.parametrize(("value", "text"), [(0.592, "59.2"), (0.7435, "74.35"), (0.72, "72.0"), (0.2563, "25.63")])
def test_published_figures_keep_their_digits(value: float, text: str) -> None:
    assert percent(value) == text


def test_p_values_never_read_as_nothing() -> None:
    assert [p_cell(p) for p in (None, 0.5, 0.00099, 0.0)] == ["-", "0.500", "< 0.001", "< 0.001"]


def test_two_forms_of_a_benchmark_stay_apart_and_the_better_one_counts(workspace: Path, arguments: Any) -> None:
    """As OLMES asks: no mean over cloze and letters, no mean over groups, the better form in a column of its own."""
    for name in NAMES:
        tasks, protocols, rows = {}, {}, []
        for form, share in (("cloze", 0.25), ("letters", 0.5)):
            tasks[f"piqa_{form}"] = {"acc": {"value": share, "stderr": 0.1, "n": 20}}
            protocols[f"piqa_{form}"] = {"benchmark": "piqa", "shots": 5, "form": form, "metric": "acc"}
            rows += [
                {"task": f"piqa_{form}", "id": str(i), "acc": float(i < 20 * share), "bits_per_byte": 1.0 + i}
                for i in range(20)
            ]
        content = {
            "suite": "olmes",
            "limit": 20,
            "tasks": tasks,
            "protocols": protocols,
            "averages": {"piqa": "best"},
            "data": {"piqa_cloze": "rows", "piqa_letters": "rows"},
            "benchmarks": {"piqa": {"accuracy": {"value": 0.5, "stderr": 0.1, "n": 20}}},
        }
        folder = workspace / "reports/olmes" / name
        folder.mkdir(parents=True)
        (folder / "scores.json").write_text(json.dumps(content), encoding="utf-8")
        pq.write_table(pa.Table.from_pylist(rows), folder / "examples.parquet")
        arguments[0]["scores"].append(folder)
    report.run(*arguments, Params(), Tracker())
    board = json.loads((arguments[1]["output"] / "leaderboard.json").read_text(encoding="utf-8"))
    ours = board["standings"]["rows"][0]
    assert ours["limit"] == 20
    figures = {key: cell["value"] for key, cell in ours["figures"].items() if key.startswith("piqa")}
    assert figures == {
        "piqa/acc/5-shot/cloze": 0.25,
        "piqa/acc/5-shot/letters": 0.5,
        "piqa/best/5-shot/cloze or letters": 0.5,
    }
    assert [set(pair["benchmarks"]) for pair in board["suite_differences"]] == [{"piqa/cloze", "piqa/letters"}] * 2
    row = board["suite_differences"][0]["benchmarks"]["piqa/cloze"]
    assert (row["value"], row["p_value"], row["bits_per_byte"]["value"]) == (0, 1, 0)
    text = (arguments[1]["output"] / "leaderboard.md").read_text(encoding="utf-8")
    header, first, *_ = section(text, "Commonsense: accuracy")
    assert header == ["model", "PIQA, 5-shot, cloze", "PIQA, 5-shot, letters"]
    assert first[0] == "small (measured, 20 per task)"


def test_the_exams_overlap_stands_with_its_clean_mean(arguments: Any) -> None:
    """addition: 40 of 100 questions stand in the corpus; analogy: none."""
    for path in arguments[0]["scores"]:
        content = json.loads((path / "scores.json").read_text(encoding="utf-8"))
        tasks = {
            name: {
                "n": 8,
                "overlap": 0.4 if name == "addition" else 0.0,
                "clean": {"acc": {"value": 0.2, "stderr": 0.05, "n": 60}}
                if name == "addition"
                else {"acc": entry["acc"]},
            }
            for name, entry in content["tasks"].items()
        }
        (path / "scores.json").write_text(json.dumps(content | {"contamination": {"tasks": tasks}}), encoding="utf-8")
    summary = report.run(*arguments, Params(), Tracker())
    output = arguments[1]["output"]
    _, *rows = section(
        (output / "leaderboard.md").read_text(encoding="utf-8"), "Exam: overlap with the training corpus"
    )
    assert rows[0][:4] == ["addition", "8", "40.0%", "0.200 (0.300)"]
    assert rows[1][:4] == ["mean of 2 tasks", "-", "20.0%", "0.300 (0.350)"]
    board = json.loads((output / "leaderboard.json").read_text(encoding="utf-8"))
    (cell,) = [c for key, c in board["standings"]["rows"][0]["figures"].items() if key.startswith("exam/")]
    assert (cell["overlap"], cell["clean"]["value"], cell["value"]) == (0.2, pytest.approx(0.3), pytest.approx(0.35))
    assert summary["small_exam_accuracy"] == pytest.approx(0.35)
    assert "overlap with the training corpus" in (output / "index.html").read_text(encoding="utf-8")
