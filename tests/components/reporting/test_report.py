"""The whole step: figures equal the inputs, equal inputs give equal bytes, nothing is registered."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import StepError
from components.params import Params
from components.reporting import report
from components.reporting.tables import headline, quantity
from components.results.tables import markdown_table
from components.tracking import Tracker
from tests.components.reporting.conftest import _change, inside_figures, put_json, task_scores

FILES = {"leaderboard.json", "leaderboard.md", "convergence.png", "index.html", "model_card.md"}


class Recorder(Tracker):
    """Keeps what a step says."""

    def __init__(self) -> None:
        self.artifacts: list[Path] = []

    def artifact(self, path: Path, folder: str = "") -> None:
        self.artifacts.append(path)


def write(arguments: Any, params: Params | None = None) -> tuple[dict[str, Any], dict[str, Any], Recorder]:
    recorder = Recorder()
    summary = report.run(*arguments, params or Params(), recorder)
    board = json.loads((arguments[1]["output"] / "leaderboard.json").read_text(encoding="utf-8"))
    return summary, board, recorder


def test_held_out_wordings_have_rows_of_their_own(arguments: Any) -> None:
    before, _, _ = write(arguments)
    for name, value in (("small", 0.2), ("large", 0.35)):
        path = Path(f"reports/scores/{name}/scores.json")
        scores = json.loads(path.read_text(encoding="utf-8"))
        parts = {"math": task_scores(value), "composition": task_scores(value / 2)}
        scores["reworded"] = {"categories": parts, "overall": task_scores(value), "tasks": {}}
        path.write_text(json.dumps(scores), encoding="utf-8")
    after, board, _ = write(arguments)
    added = {name: value for name, value in after.items() if name not in before}
    assert added == {"small_exam_reworded_accuracy": 0.2, "large_exam_reworded_accuracy": 0.35}
    assert {name: after[name] for name in before} == before
    assert [set(row["exam_reworded"]) for row in board["models"]].count({"math", "composition", "overall"}) == 2
    text = (arguments[1]["output"] / "leaderboard.md").read_text(encoding="utf-8")
    assert "## Exam in held-out wordings and compositions, by category" in text
    card = (arguments[1]["output"] / "model_card.md").read_text(encoding="utf-8")
    assert re.search(r"exam accuracy, held-out wordings and compositions +\| +0\.35", card), card


def test_figures_are_the_inputs(arguments: Any) -> None:
    summary, board, _ = write(arguments)
    assert {p.name for p in arguments[1]["output"].iterdir()} == FILES
    for row in board["models"]:
        trained = json.loads(Path(f"reports/train_{row['name']}.json").read_text(encoding="utf-8"))
        for key in ("parameters", "tokens", "flops", "validation_loss", "bits_per_byte", "checkpoint_sha256"):
            assert row[key] == trained[key]
        scores = json.loads(Path(f"reports/scores/{row['name']}/scores.json").read_text(encoding="utf-8"))
        for part in ("tasks", "categories"):
            assert set(row[part]) == set(scores[part])
            for name, found in row[part].items():
                given = scores[part][name]
                assert {k: found[k] for k in ("value", "stderr", "n")} == given["acc"]
                assert (found["chance"], found["majority"]) == (given["chance"]["value"], given["majority"]["value"])
        values = [task["acc"]["value"] for task in scores["tasks"].values()]
        assert row["exam_accuracy"] == pytest.approx(sum(values) / len(values))
        assert summary[f"{row['name']}_validation_loss"] == row["validation_loss"]
        assert summary[f"{row['name']}_exam_accuracy"] == row["exam_accuracy"]
    by_hand = {row["name"]: row["exam_accuracy"] for row in board["models"]}
    for pair in board["exam_differences"]:
        assert (pair["of"], pair["n"]) == ("large", 150)
        assert pair["value"] == pytest.approx(by_hand["large"] - by_hand[pair["against"]])
    assert summary["exam_difference_over_control"] == board["exam_differences"][1]["value"]
    proof = json.loads(Path("models/grown/transfer.json").read_text(encoding="utf-8"))
    assert {k: v for k, v in board["transfer"].items() if k in proof} == {
        k: v for k, v in proof.items() if k not in ("seed", "source_sha256", "depth_map", "inserted_blocks")
    }
    assert board["transfer"]["tokens_to_control_loss"] == pytest.approx(562_500)
    assert all(isinstance(v, int | float) for v in summary.values())


def test_equal_inputs_give_equal_bytes(arguments: Any) -> None:
    inputs, _ = arguments
    first, _, _ = write((inputs, {"output": Path("reports/final")}))
    before = {p.name: p.read_bytes() for p in Path("reports/final").iterdir()}
    second, _, _ = write((inputs, {"output": Path("reports/final")}))
    assert {p.name: p.read_bytes() for p in Path("reports/final").iterdir()} == before
    assert json.dumps(first) == json.dumps(second)


def test_only_scores_are_needed(arguments: Any) -> None:
    inputs = {"scores": arguments[0]["scores"][:1], "training": None, "curves": None, "transfer": None, "model": None}
    summary, board, _ = write((inputs, arguments[1]))
    assert {p.name for p in arguments[1]["output"].iterdir()} == {"leaderboard.json", "leaderboard.md", "index.html"}
    assert board["transfer"] is None
    assert summary == {"small_exam_accuracy": pytest.approx(0.35), "small_exam_stderr": pytest.approx(0.0415, abs=1e-3)}


def test_more_models_than_three_have_their_rows_and_another_exam_is_not_shown(arguments: Any) -> None:
    inputs, outputs = arguments
    extra = Path("reports/scores/other")
    extra.mkdir()
    scores = {
        "tasks": {"only_here": {"exact_match": {"value": 0.1, "stderr": 0.01, "n": 9}}},
        "data": {"only_here": "r"},
    }
    (extra / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    inputs["scores"].append(extra)
    _, board, _ = write((inputs, outputs))
    assert [row["name"] for row in board["models"]] == ["small", "large", "control", "other"]
    assert board["models"][-1]["validation_loss"] is None
    text = (outputs["output"] / "leaderboard.md").read_text(encoding="utf-8")
    said = "Exam scores are not compared: other has another set of questions than large."
    assert board["not_compared"] == [said]
    assert said in text
    assert "only_here" not in text
    assert "0.100 ±" not in text.partition("## Beside published models")[0]
    assert "exam accuracy" not in text.partition("Exam, other questions (other)")[2].partition("\n")[0]


@pytest.mark.parametrize(
    ("changed", "measure", "said"),
    [
        ({"documents": "other"}, "", "Losses are not compared: control has another held-out text than large."),
        ({"tokenizer": "other"}, "bits_per_byte", "control has another tokenizer than large"),
        ({"targets": "other"}, "bits_per_byte", "control has another sample of the held-out text than large"),
        ({"documents": ""}, "", "the held-out text of control is not recorded; run it again"),
    ],
)
def test_losses_on_another_text_or_tokenizer_have_no_winner(
    arguments: Any, changed: dict[str, str], measure: str, said: str
) -> None:
    path = Path("reports/train_control.json")
    training = json.loads(path.read_text(encoding="utf-8"))
    training["measured_on"] |= changed
    path.write_text(json.dumps(training), encoding="utf-8")
    summary, board, _ = write(arguments)
    text, page = (
        (arguments[1]["output"] / name).read_text(encoding="utf-8") for name in ("leaderboard.md", "index.html")
    )
    (reason,) = board["not_compared"]
    assert said in reason
    assert reason in text
    assert reason in page
    assert {row["name"]: row["loss_measure"] for row in board["models"]} == {
        "small": "validation_loss",
        "large": "validation_loss",
        "control": measure,
    }
    row = next(line for line in text.splitlines() if line.startswith("| control"))
    assert "3.2000" not in row
    assert ("1.2800" in row) == bool(measure)
    assert "loss_advantage_over_control" not in summary
    assert "share_of_control_tokens" not in summary
    assert "below the control" not in page
    assert board["transfer"]["max_relative_logit_difference"] is not None  # the proof of growth needs no control


def test_a_report_says_nothing_of_promotion_that_a_later_run_could_repeat(arguments: Any) -> None:
    """It is cached, and the champion may change behind it: it names the command that knows."""
    summary, board, _ = write(arguments)
    assert not [name for name in (*summary, *board) if "gate" in name or "promot" in name]
    for name in ("index.html", "leaderboard.md"):
        text = (arguments[1]["output"] / name).read_text(encoding="utf-8")
        assert "python -m flows.champion" in text
        assert "promoted" not in text


def test_a_checkpoint_without_weights_is_refused_before_anything_is_written(arguments: Any) -> None:
    Path("models/large/model.safetensors").unlink()
    with pytest.raises(StepError, match=r"models/large has no model\.safetensors"):
        write(arguments)
    assert not arguments[1]["output"].exists()


def test_malformed_input_leaves_the_old_report(arguments: Any) -> None:
    write(arguments)
    before = {p.name: p.read_bytes() for p in arguments[1]["output"].iterdir()}
    Path("reports/scores/control/scores.json").write_text("{}", encoding="utf-8")
    with pytest.raises(StepError, match=r"reports/scores/control/scores\.json: `tasks` is missing"):
        write(arguments)
    assert {p.name: p.read_bytes() for p in arguments[1]["output"].iterdir()} == before


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.sources += [value for key, value in attrs if key in ("src", "href", "srcset")]


def test_the_page_needs_nothing_beside_it(arguments: Any) -> None:
    write(arguments)
    page = (arguments[1]["output"] / "index.html").read_text(encoding="utf-8")
    parsed = _Links()
    parsed.feed(page)
    assert parsed.sources
    assert all(source.startswith("data:image/png;base64,") for source in parsed.sources)
    assert not parsed.tags & {"script", "link", "iframe"}
    assert "url(" not in page
    assert "@import" not in page
    assert str(Path.cwd()) not in page


def test_names_from_files_are_escaped_in_the_page_and_in_markdown(arguments: Any) -> None:
    scores = {"tasks": {"<b>|x": {"acc": {"value": 0.5, "stderr": 0.1, "n": 4}}}}
    Path("reports/scores/large/scores.json").write_text(json.dumps(scores), encoding="utf-8")
    write(arguments)
    output = arguments[1]["output"]
    assert "&lt;b&gt;|x" in (output / "index.html").read_text(encoding="utf-8")
    assert "&lt;b>\\|x" in (output / "leaderboard.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "![x](http://evil.example/x.png)"])
def test_hostile_names_stay_text_in_every_file(arguments: Any, hostile: str) -> None:
    """Names of tasks and categories, the operator, and kinds of documents."""
    path = Path("reports/scores/large/scores.json")
    scores = json.loads(path.read_text(encoding="utf-8"))
    scores["tasks"][hostile] = scores["categories"][hostile] = scores["tasks"]["addition"]
    path.write_text(json.dumps(scores), encoding="utf-8")
    path = Path("models/grown/transfer.json")
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"operator": hostile}), encoding="utf-8")
    path = Path("models/large/lineage.json")
    kinds = {"by_kind": {hostile: {"documents": 1}}, "tokens_read_by_kind": {hostile: 1}}
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | kinds), encoding="utf-8")
    write(arguments)
    for name in ("index.html", "leaderboard.md", "model_card.md"):
        text = (arguments[1]["output"] / name).read_text(encoding="utf-8").split("---\n", 2)[-1]
        assert "<script" not in text
        assert name == "index.html" or not re.search(r"(?<!\\)!\[x\]\(", text)


def test_the_card_has_front_matter_figures_and_limits(arguments: Any) -> None:
    from ruamel.yaml import YAML

    write(arguments)
    card = (arguments[1]["output"] / "model_card.md").read_text(encoding="utf-8")
    head, _, body = card.removeprefix("---\n").partition("\n---\n")
    front = YAML(typ="safe").load(head)
    assert front["library_name"] == "transformers"
    results = front["model-index"][0]["results"]
    assert {r["dataset"]["name"]: r["metrics"][0]["value"] for r in results} == {
        "held-out exam: addition": 0.5,
        "held-out exam: analogy": 0.6,
    }
    assert "demonstration model" in body
    assert "## Limits" in body
    assert "2.9000" in body
    assert "grown from the small model (exact)" in body


def test_the_card_counts_the_training_data_where_the_lineage_does(arguments: Any) -> None:
    lineage = {
        "seed": 1,
        "by_kind": {"code": {"documents": 12, "tokens": 3400, "bytes": 9000}},
        "tokens_read_by_kind": {"code": 5600},
    }
    Path("models/large/lineage.json").write_text(json.dumps(lineage), encoding="utf-8")
    write(arguments)
    card = (arguments[1]["output"] / "model_card.md").read_text(encoding="utf-8")
    assert re.search(r"\| code +\| +12 \| +3\.40 k \| +9\.00 k \| +5\.60 k \|", card)


def test_the_report_shows_shares_of_training_tokens_and_losses_by_kind(arguments: Any) -> None:
    counts = {"prose": 300, "exercise": 100}
    lineage = {"by_kind": {kind: {"documents": 1, "tokens": n, "bytes": 9} for kind, n in counts.items()}}
    Path("models/large/lineage.json").write_text(json.dumps(lineage), encoding="utf-8")
    measured = {"tokens": 5000, "validation_loss": 3.5, "validation_loss_stderr": 0.021, "bits_per_byte": 1.75}
    path = Path("reports/train_large.json")
    trained = json.loads(path.read_text(encoding="utf-8")) | {"by_kind": {"prose": measured}}
    path.write_text(json.dumps(trained | {"validation_loss_stderr": 0.0123}), encoding="utf-8")
    summary, _, _ = write(arguments)
    text = (arguments[1]["output"] / "leaderboard.md").read_text(encoding="utf-8")
    assert re.search(r"\| prose +\| +75\.0% \| +5\.00 k \| +3\.500 ± 0\.021 \(1\.750\) \|", text)
    assert re.search(r"\| exercise +\| +25\.0% \| +- \| +- \|", text)
    assert "2.9000 ± 0.0123" in text
    assert summary["large_validation_loss_stderr"] == 0.0123


def test_the_report_repeats_what_the_data_steps_warn_of(arguments: Any) -> None:
    warning = "the corpus is in de: English exercises step aside"
    Path("reports/curate.json").write_text(json.dumps({"documents_kept": 3, "warnings": [warning]}), encoding="utf-8")
    Path("reports/tokenize.json").write_text(json.dumps({"by_kind": {}, "warnings": []}), encoding="utf-8")
    arguments[0].update(curation=Path("reports/curate.json"), tokenization=Path("reports/tokenize.json"))
    write(arguments)
    assert f"| curate | {warning} |" in (arguments[1]["output"] / "leaderboard.md").read_text(encoding="utf-8")
    assert warning in (arguments[1]["output"] / "index.html").read_text(encoding="utf-8")
    Path("reports/curate.json").write_text('{"warnings": "none"}', encoding="utf-8")
    with pytest.raises(StepError, match="expected a list of texts"):
        write(arguments)


def test_the_headline_says_when_growth_loses(arguments: Any) -> None:
    board = write(arguments)[1]
    assert "below the control" in headline(board)
    assert "after 37% of the control's tokens" in headline(board)
    assert "after 77% of the control's FLOPs" in headline(board)
    board["transfer"]["tokens_to_control_loss_method"] = "start"
    assert "when it started" in headline(board)
    board["transfer"]["loss_advantage_over_control"] = -0.25
    assert "did not pay" in headline(board)
    assert "0.250" in headline(board)
    board["transfer"] = None
    assert "3 models" in headline(board)


def test_counts_have_units() -> None:
    assert [quantity(v) for v in (None, 7, 1234, 1.5e6, 2.78e9, 1.4e12)] == [
        "-",
        "7",
        "1.23 k",
        "1.50 M",
        "2.78 B",
        "1.40 T",
    ]


def test_markdown_tables_are_aligned() -> None:
    assert markdown_table(["a", "figure"], [["long name", "1"]]) == (
        "| a         | figure |\n| --------- | -----: |\n| long name |      1 |"
    )


def test_the_command_line_of_the_stage(whole: Path, root: Path) -> None:
    """As dvc.yaml calls it, from another folder than the project's."""
    stage = __import__("ruamel.yaml").yaml.YAML(typ="safe").load((root / "dvc.yaml").read_text())["stages"]["report"]
    command = stage["cmd"].split()
    done = subprocess.run(
        [sys.executable, *command[1:], "--params", str(root / "params.yaml")],
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "HOME": str(whole)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(Path("reports/report.json").read_text(encoding="utf-8"))
    assert (summary["documents_read"], summary["documents_kept"]) == (61, 60)
    assert 0 < summary["text_bits_per_byte_xz"] < 8
    assert {p.name for p in Path("reports/final").iterdir()} == FILES | {"inside.png"}


def test_what_was_found_inside_the_model_stands_in_the_report(arguments: Any, workspace: Path) -> None:
    weights = hashlib.sha256(b"weights of large").hexdigest()
    found = workspace / "reports/interpretation.json"
    put_json(found, inside_figures(weights))
    inputs, outputs = arguments
    inputs = inputs | {"interpretation": found}
    report.run(inputs, outputs, Params(), Tracker())
    table = (outputs["output"] / "leaderboard.md").read_text()
    for row in (
        r"\| 1 +\| +3\.000 \| +2\.500 \| +2\.250 \| +2\.125 \| +90\.0% \| +95\.0% \| +- \|",
        r"\| 0 +\| \+1\.2500 ± 0\.0020 \| -0\.1500 ± 0\.0100 \| +addition -0\.30 \|",
        r"\| 1 \(new\) +\| \+0\.0625 ± 0\.0020 \| -0\.0050 ± 0\.0100 \| +- \|",
        r"\| 1\.1 \(new\) +\| \+0\.0300 ± 0\.0020 \| .* 0\.400 \|",
        r"\| new +\| +1,200 \| \+0\.0500 ± 0\.0020 \| 31\.2% \|",
    ):
        assert re.search(row, table), (row, table)
    image = base64.b64encode((outputs["output"] / "inside.png").read_bytes()).decode()
    assert image in (outputs["output"] / "index.html").read_text()
    for wrong, message in (
        (inside_figures("0" * 64), "describes other weights"),
        ({"format_version": 0}, "expected 1"),
    ):
        put_json(found, wrong)
        with pytest.raises(StepError, match=message):
            report.run(inputs, outputs, Params(), Tracker())


def test_what_the_new_entries_carry_stands_in_every_output(arguments: Any, workspace: Path) -> None:
    group = {"entries": 1200, "share": 0.3125, "damage": 0.05, "damage_stderr": 0.002, "by_kind": {"prose": 0.25}}
    _change(
        workspace / "reports/train_large.json", growth={"gain": 0.16, "copied": group, "new": group, "new_heads": group}
    )
    figures = report.run(*arguments, Params(), Tracker())
    assert figures["growth_share_new"] == figures["growth_share_new_heads"] == 0.3125
    place = arguments[1]["output"]
    table = (place / "leaderboard.md").read_text()
    row = r"\| {} +\| +1,200 \| +31\.2% \| +0\.0500 ± 0\.0020 \|\n"
    assert re.search("".join(row.format(group) for group in ("new", "copied", "new heads")), table), table
    assert re.search(r"new parameters carry +\| +31%", (place / "model_card.md").read_text())
    _change(workspace / "reports/train_large.json", growth={"gain": 0.16, "new": group | {"share": "half"}})
    with pytest.raises(StepError, match=r"`growth\.new\.share` is 'half'; expected a number"):
        report.run(*arguments, Params(), Tracker())


def test_what_the_new_entries_carry_along_training(arguments: Any, workspace: Path) -> None:
    group = {"entries": 1200, "share": 0.3125, "damage": 0.05, "damage_stderr": 0.002}
    along: list[dict[str, Any]] = [
        {"tokens": 300_000, "validation_loss": 3.31, "new_damage": 0.01, "new_damage_stderr": 0.002},
        {"tokens": 600_000, "validation_loss": 3.2, "new_damage": 0.04, "new_damage_stderr": 0.003, "new_share": 0.4},
    ]
    growth = {"gain": 0.16, "new": group, "along": along}
    _change(workspace / "reports/train_large.json", growth=growth)
    report.run(*arguments, Params(), Tracker())
    place = arguments[1]["output"]
    table = (place / "leaderboard.md").read_text()
    assert re.search(r"\| 300\.00 k \| 3\.3100 \| +- \| 0\.0100 ± 0\.0020 \|", table), table
    assert re.search(r"\| 600\.00 k \| 3\.2000 \| +40\.0% \| 0\.0400 ± 0\.0030 \|", table), table
    assert re.search(r"along training.*\| +40% at 600\.00 k +\|", (place / "model_card.md").read_text())
    for wrong in ("none", [1], [{"tokens": 1, "validation_loss": 3.0, "new_share": "half"}], [{"tokens": 1}]):
        _change(workspace / "reports/train_large.json", growth=growth | {"along": wrong})
        with pytest.raises(StepError, match=r"growth\.along"):
            report.run(*arguments, Params(), Tracker())


def test_what_the_new_entries_carry_on_the_exam(arguments: Any, workspace: Path) -> None:
    """Of a gain of 0.4 bits in one family, 0.1 are lost; the other family gains nothing that can be told from 0."""
    bits = {"small": (1.0, 1.0), "large": (0.6, 1.0), "set_back": (0.7, 0.8), "control": (2.0, 2.0)}
    shutil.copytree(workspace / "reports/scores/large", workspace / "reports/scores/set_back")
    for name, means in bits.items():
        rows = [
            {
                "task": task,
                "id": f"{task}-{i}",
                "acc": 1.0,
                "bits_per_byte": mean + 0.01 * (-1) ** (i // (1 + (name == "small"))),
            }
            for task, mean in zip(("addition", "analogy"), means, strict=True)
            for i in range(40)
        ]
        pq.write_table(pa.Table.from_pylist(rows), workspace / f"reports/scores/{name}/examples.parquet")
    inputs, outputs = arguments
    inputs = inputs | {"set_back": Path("reports/scores/set_back")}
    figures = report.run(inputs, outputs, Params(), Tracker())
    assert figures["growth_exam_share_new"] == pytest.approx((0.1 - 0.2) / 0.4)
    exam = json.loads((outputs["output"] / "leaderboard.json").read_text())["transfer"]["growth_exam"]
    assert exam["tasks"]["addition"]["share"] == pytest.approx(0.25)
    assert exam["tasks"]["analogy"]["share"] is None
    assert exam["tasks"]["analogy"]["damage"]["value"] == pytest.approx(-0.2)
    table = (outputs["output"] / "leaderboard.md").read_text()
    assert re.search(r"\| addition \| 0\.4000 ± 0\.00\d\d \| +0\.1000 ± 0\.0000 \| +25\.0% \|", table), table
    _change(workspace / "reports/scores/set_back/scores.json", checkpoint={"weights_sha256": "f" * 64})
    with pytest.raises(StepError, match=r"set_back is of other weights \(ffffffffffff\) than reports/scores/large"):
        report.run(inputs, outputs, Params(), Tracker())
