"""The step as a whole: the contract of scores.json, determinism, statistics and the command line."""

import json
import math
import statistics

import pyarrow.parquet as pq
import pytest

from components.benchmarking.__main__ import COMMAND
from components.benchmarking.aggregate import bits_per_byte, macro, mean
from components.benchmarking.benchmark import Job, benchmark, tracked_figures
from components.documents import Document, DocumentWriter
from components.params import BenchmarkingParams
from components.running.cli import _parser as parser
from components.running.cli import execute
from tests.components.benchmarking.conftest import write_exam

PARAMS = BenchmarkingParams(threads=1)


@pytest.fixture
def scored(checkpoint, exam, tmp_path):
    summary = benchmark(Job(checkpoint, "exam", exam), tmp_path / "scores", PARAMS)
    return summary, json.loads((tmp_path / "scores" / "scores.json").read_text()), tmp_path / "scores"


def test_every_score_has_value_stderr_and_n(scored):
    summary, scores, _ = scored
    assert set(scores["tasks"]) == {"addition", "opposite", "sorting"}
    for entry in (*scores["tasks"].values(), *scores["categories"].values(), scores["overall"]):
        assert set(entry) == {"acc", "acc_norm", "bits_per_byte", "chance", "majority"}
        assert all({"value", "stderr", "n"} <= set(figure) for figure in entry.values())
    assert scores["tasks"]["addition"]["acc"]["n"] == 12
    assert scores["checkpoint"]["step"] == 7
    assert summary["exam"]["accuracy"] == round(scores["overall"]["acc"]["value"], 6)
    assert summary["exam"]["examples"] == 22


def test_macro_averages_are_plain_means_of_tasks(scored):
    _, scores, _ = scored
    tasks = scores["tasks"]
    values = [tasks[name]["acc"]["value"] for name in ("addition", "sorting")]
    assert scores["categories"]["math"]["acc"]["value"] == pytest.approx(sum(values) / 2)
    assert scores["overall"]["acc"]["value"] == pytest.approx(sum(t["acc"]["value"] for t in tasks.values()) / 3)


def test_families_are_the_clusters_of_the_exam(scored, checkpoint, exam, tmp_path, capsys):
    _, scores, directory = scored
    rows = pq.read_table(directory / "examples.parquet").to_pylist()
    assert all(row["cluster"] == row["task"] for row in rows)
    values = [entry["acc"]["value"] for entry in scores["tasks"].values()]
    overall = scores["overall"]["acc"]
    assert overall["clusters"] == 3
    assert overall["clustered_stderr"] == pytest.approx(statistics.stdev(values) / math.sqrt(3))
    assert all("clustered_stderr" not in entry["acc"] for entry in scores["tasks"].values())
    guesses = [1 / len(row["choices"]) for row in rows if row["task"] == "sorting"]
    by_hand = math.sqrt(sum(g * (1 - g) for g in guesses)) / len(guesses)
    assert scores["tasks"]["sorting"]["chance"]["stderr"] == pytest.approx(by_hand)
    figures = tracked_figures(directory)
    assert figures["overall.acc.clusters"] == 3
    assert figures["overall.acc.chance_stderr"] == scores["overall"]["chance"]["stderr"]
    benchmark(Job(checkpoint, "exam", exam), tmp_path / "again", PARAMS)
    detects = 2.8016 * scores["overall"]["chance"]["stderr"]
    assert f"± {overall['clustered_stderr']:.4f} over 3 clusters), n 22; detects {detects:.3f} from chance" in (
        capsys.readouterr().out
    )


def test_examples_explain_the_scores(scored, exam):
    _, scores, directory = scored
    rows = pq.read_table(directory / "examples.parquet").to_pylist()
    assert len(rows) == 22
    for row in rows:
        assert row["predicted"] == max(range(len(row["choices"])), key=row["log_probabilities"].__getitem__)
        assert row["acc"] == float(row["predicted"] == row["answer"])
        gold = row["log_probabilities"][row["answer"]]
        assert row["bits_per_byte"] == pytest.approx(bits_per_byte(gold, row["choices"][row["answer"]]))
    accuracy = [row["acc"] for row in rows if row["task"] == "addition"]
    assert scores["tasks"]["addition"]["acc"]["value"] == pytest.approx(sum(accuracy) / 12)
    lines = (exam / "addition.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [json.loads(line)["id"] for line in lines]
    assert [row["id"] for row in rows if row["task"] == "addition"] == asked


def test_equal_inputs_give_equal_bytes(scored, checkpoint, exam, tmp_path):
    summary, _, directory = scored
    assert benchmark(Job(checkpoint, "exam", exam), tmp_path / "again", PARAMS) == summary
    for name in ("scores.json", "examples.parquet"):
        assert (directory / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_the_transfer_part_stands_beside_and_enters_no_other_figure(scored, checkpoint, exam, tmp_path):
    summary, scores, directory = scored
    write_exam(exam / "transfer")
    (exam / "transfer" / "addition.jsonl").write_text((exam / "sorting.jsonl").read_text())
    corpus = tmp_path / "corpus"
    with DocumentWriter(corpus) as writer:
        writer.write(
            Document("Nothing that the exam asks stands in this text of some words.", "prose", "s", "MIT", "t")
        )
    both = benchmark(Job(checkpoint, "exam", exam, corpus=[corpus]), tmp_path / "both", PARAMS)
    found = json.loads((tmp_path / "both" / "scores.json").read_text())
    transfer, contamination = found.pop("transfer"), found.pop("contamination")
    assert found == scores
    alone, beside = (pq.read_table(folder / "examples.parquet") for folder in (directory, tmp_path / "both"))
    assert set(beside.column_names) - set(alone.column_names) == {"in_corpus"}  # only one of them was given a corpus
    assert beside.select(alone.column_names) == alone
    assert {name: value for name, value in both["exam"].items() if name != "transfer"} == summary["exam"]
    assert set(contamination["tasks"]) == set(transfer["contamination"]) == set(scores["tasks"])
    assert both["exam"]["transfer"]["acc"] == round(transfer["overall"]["acc"]["value"], 6)
    assert transfer["tasks"]["addition"]["acc"] == scores["tasks"]["sorting"]["acc"]
    rows = pq.read_table(tmp_path / "both" / "transfer.parquet").to_pylist()
    assert len(rows) == 16
    assert tracked_figures(tmp_path / "both")["transfer.acc.value"] == transfer["overall"]["acc"]["value"]


def test_a_broken_transfer_part_leaves_the_exam_its_scores(scored, checkpoint, exam, tmp_path, capsys):
    _, scores, _ = scored
    write_exam(exam / "transfer")
    (exam / "transfer" / "addition.jsonl").unlink()
    benchmark(Job(checkpoint, "exam", exam), tmp_path / "both", PARAMS)
    found = json.loads((tmp_path / "both" / "scores.json").read_text())
    assert found["tasks"] == scores["tasks"]
    assert "addition.jsonl is not there" in found["transfer"]["failed"]["addition"]
    assert "addition" in capsys.readouterr().err


def test_a_limit_takes_the_first_examples(checkpoint, exam, tmp_path):
    summary = benchmark(Job(checkpoint, "exam", exam, 2), tmp_path / "scores", PARAMS)
    assert summary["exam"]["examples"] == 6


def test_a_model_that_knows_scores_one(exam, tmp_path, monkeypatch):
    """The gold answer's log-probability is the highest: every accuracy must be 1, whatever the scorer."""
    from components.benchmarking import checkpoint
    from components.benchmarking.exam import load_exam
    from components.benchmarking.scorer import ChoiceScorer

    gold = {
        f"Question: {r['question']}\nAnswer:": f" {r['choices'][r['answer']]}" for d in load_exam(exam) for r in d.rows
    }

    class Oracle(ChoiceScorer):
        def loglikelihood(self, requests, disable_tqdm=False):
            return [(-1.0, True) if gold[r.args[0]] == r.args[1] else (-50.0, False) for r in requests]

    monkeypatch.setattr(checkpoint, "open_scorer", lambda *_: Oracle(None, None, None, 0, 8, 8))
    monkeypatch.setattr(checkpoint, "describe", lambda _: {})
    summary = benchmark(Job(tmp_path, "exam", exam), tmp_path / "scores", PARAMS)
    assert set(summary["exam"]["tasks"].values()) == {1.0}
    assert summary["exam"]["stderr"] == 0


def test_mean_and_macro():
    rows = [{"acc": 1.0}, {"acc": 0.0}, {"acc": 1.0}, {"acc": None}, {"acc": 0.0}]
    assert mean(rows, "acc") == {"value": 0.5, "stderr": pytest.approx(math.sqrt(1 / 3 / 4)), "n": 4}
    assert mean(rows[:1], "acc") == {"value": 1.0, "stderr": None, "n": 1}
    assert macro([mean(rows[:1], "acc"), mean(rows[:2], "acc")])["stderr"] is None
    passages = [row | {"cluster": name} for row, name in zip(rows, "aabbb", strict=True)]
    assert mean(passages, "acc")["clusters"] == 2
    assert "clusters" not in mean([*passages, {"acc": 1.0}], "acc")  # one has none
    parts = [{"value": 0.2, "stderr": 0.03, "n": 10}, {"value": 0.6, "stderr": 0.04, "n": 30}]
    assert macro(parts) == {"value": pytest.approx(0.4), "stderr": pytest.approx(0.025), "n": 40}
    assert bits_per_byte(-math.log(2) * 8, "four") == pytest.approx(2)


def test_command_line(checkpoint, exam, tmp_path, capsys):
    given = ["--checkpoint", str(checkpoint), "--data-dir", str(exam), "--output", str(tmp_path / "s")]
    assert execute(COMMAND, parser(COMMAND).parse_args([*given, "--limit", "1"])) == 0
    assert execute(COMMAND, parser(COMMAND).parse_args([*given, "--limit", "-1"])) == 1
    assert "--limit is -1; expected a number of examples" in capsys.readouterr().err.splitlines()[-1]
    assert execute(COMMAND, parser(COMMAND).parse_args([*given, "--suite", "phi3"])) == 1
    assert "suite 'phi3' is unknown" in capsys.readouterr().err.splitlines()[-1]
