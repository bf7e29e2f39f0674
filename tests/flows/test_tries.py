"""A try on the real machinery: a toy pipeline whose losses depend on seed and parameters, run by Prefect, DVC and MLflow."""

import json
import subprocess
import sys

import pytest

STEP = '''
"""A toy training run or exam: figures from the seed and the parameters."""
import hashlib, json, os, sys
from pathlib import Path

from ruamel.yaml import YAML

name, output = sys.argv[1:3]
with open(Path(os.environ["TOY_TRACE"]) / f"{name}.starts", "a") as file:
    file.write("1\\n")
params = YAML(typ="safe").load(Path("params.yaml").read_text())
seed, part = params["seed"], params["benchmarking"]["exam_part"]
noise = hashlib.sha256(f"{seed} {params['training']['weight_decay']}".encode()).digest()[0] / 255 - 0.5
value = 3 + 0.3 * (seed % 3) - (0.2 if params["training"]["weight_decay"] == 0.01 else 0) + 0.02 * noise
content = {
    "data": {"text": "everything\\n"},
    "train": {"validation_loss": value, "measured_on": {"tokenizer": "t", "documents": "d", "whole": True}},
    "exam": {
        "suite": "exam", "data": {"sums": part}, "overall": {"bits_per_byte": {"value": value / 2}},
        "tasks": {f"family {n}": {"bits_per_byte": {"value": value / 2 + n / 100}} for n in (-1, 1)},
    },
}[name]
Path(output).parent.mkdir(parents=True, exist_ok=True)
Path(output).write_text(json.dumps(content))
'''
PIPELINE = """
stages:
  data:
    cmd: python step.py data data/text.json
    deps: [step.py]
    outs: [data/text.json]
  train_small:
    cmd: python step.py train reports/train_small.json
    deps: [step.py, data/text.json]
    params: [seed, training.weight_decay]
    outs: [reports/train_small.json]
  benchmark:
    matrix: {model: [small]}
    cmd: python step.py exam reports/scores/${item.model}/scores.json
    deps: [step.py, reports/train_small.json]
    params: [seed, training.weight_decay, benchmarking]
    outs: ["reports/scores/${item.model}"]
  report:
    cmd: python step.py report reports/report.json
    deps: [step.py, reports/scores/small]
    outs: [reports/report.json]
"""
PARAMS = "seed: 1\ntraining:\n  weight_decay: 0.001\nbenchmarking:\n  exam_part: all\n"


@pytest.fixture
def trying(project, toy, prefect_api, monkeypatch):
    (project / "step.py").write_text(STEP)
    (project / "dvc.yaml").write_text(PIPELINE)
    (project / "params.yaml").write_text(PARAMS)
    toy.git(project, "add", "--all")
    toy.git(project, "commit", "--quiet", "--message", "models")
    monkeypatch.chdir(project)
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)  # else the command starts a server
    return project


def ask(project, capsys, *words: str) -> tuple[int, str, str]:
    from flows.tries import main

    status = main([*words, "--json", "--by", "a tester"])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.mark.slow
def test_a_try_buys_seeds_to_a_verdict_and_is_recorded_everywhere(trying, toy, capsys):
    asked = ("more decay helps", "--set", "training.weight_decay=0.01", "--smallest", "0.02")
    status, out, err = ask(trying, capsys, *asked)
    assert status == 0, err
    found = json.loads(out)
    assert found["verdict"]["outcome"] == "confirmed"
    seeds = len(found["seeds"])
    assert 3 <= seeds <= 8
    assert found["verdict"]["sealed"]["low"] > 0
    # Each arm and seed was trained once; the re-test on the other half took the models from the cache.
    assert toy.starts(trying, "train") == 2 * seeds
    assert toy.starts(trying, "exam") == 4 * seeds
    assert (toy.starts(trying, "data"), toy.starts(trying, "report")) == (1, 0)
    book = (trying / "studies/tries/book.md").read_text()
    assert book.index("before any run") < book.index("| seed |") < book.index("**Confirmed.**")

    from flows.lineage import client

    mlflow = client(trying)
    runs = mlflow.search_runs(["1"], "tags.try = '1'")
    assert [run.data.tags["verdict"] for run in runs] == ["confirmed"]
    assert runs[0].info.status == "FINISHED"
    assert runs[0].data.metrics["mean"] == pytest.approx(found["verdict"]["judgement"]["mean"])
    children = mlflow.search_runs(["1"], f"tags.`mlflow.parentRunId` = '{runs[0].info.run_id}'")
    assert len(children) == 4 * seeds
    assert {run.info.status for run in children} == {"FINISHED"}

    # The ledger is a result: it changes no run's source, and the same question gets no second chance.
    from components.running.revision import read_revision

    assert read_revision(trying).tree == found["registered"]["source"]["tree"]
    assert read_revision(trying).untracked == ()
    status, out, err = ask(trying, capsys, *asked)
    assert (status, out) == (1, "")
    assert "try 1 asked this and ended as 'confirmed'" in err


def test_an_interrupted_try_resumes(trying, toy, capsys, monkeypatch, tmp_path):
    question = {"hypothesis": "nothing", "set": {"training.weight_decay": 0.0011}, "smallest": 0.05, "most": 2}
    question["metric"] = "small.validation_loss"
    (tmp_path / "question.json").write_text(json.dumps(question))
    step = (trying / "step.py").read_text()
    bad = trying / "trace" / "bad"
    (trying / "step.py").write_text(
        step.replace(
            "name, output", f"if Path({str(bad)!r}).exists() and 'train' in sys.argv: sys.exit(1)\nname, output"
        )
    )
    bad.touch()
    status, _, err = ask(trying, capsys, "--question", str(tmp_path / "question.json"))
    assert status == 1
    assert "failed: train_small" in err
    assert "The try stays open; the same command resumes it." in err
    bad.unlink()
    status, out, err = ask(trying, capsys, "--question", str(tmp_path / "question.json"))
    assert status == 0, err
    found = json.loads(out)
    assert (found["number"], found["verdict"]["outcome"], len(found["seeds"])) == (1, "undecided", 2)
    assert toy.starts(trying, "exam") == 0  # the loss needs none, and the seal is not broken for it


def test_refusals_come_before_anything_is_registered(trying, capsys):
    for words, message in (
        (["x", "--set", "training.weight_deca=1", "--smallest", "1"], "training.weight_decay"),
        (["x", "--set", "training.weight_decay=-1", "--smallest", "1"], "weight_decay"),
        (["x", "--set", "training.weight_decay=0.1"], "smallest"),
        (["x", "--set", "training.weight_decay=0.001", "--smallest", "1"], "what both arms have already"),
        (["--set", "training.weight_decay=0.1", "--smallest", "1"], "without a hypothesis"),
    ):
        status, _, err = ask(trying, capsys, *words)
        assert status == 1
        assert message in err
    assert not (trying / "studies").exists()


def test_a_text_and_a_size_are_those_of_both_arms(trying):
    from flows.tries import parser, question_of

    (trying / "notes.txt").write_text(
        "\n\n".join(f"Note {n} is about the {n}th day of a long year." for n in range(800))
    )
    words = ["x", "--set", "training.weight_decay=0.1", "--smallest", "1", "--text", "notes.txt", "--size", "0.3M"]
    question = question_of(trying, parser().parse_args(words))
    assert question.base["ingestion.sources"] == [{"path": str(trying / "notes.txt")}]
    assert "small.tokens" in question.base


def test_the_command_prints_its_form_and_its_book():
    done = subprocess.run([sys.executable, "-m", "flows.tries", "--schema"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["required"] == ["hypothesis", "set", "smallest"]


@pytest.mark.slow
def test_a_sweep_shares_cached_stages_and_folds_over_seeds(trying, toy, capsys):
    from flows.sweeps import main

    over = ["--over", "training.weight_decay=0.01,0.002", "--metric", "small.validation_loss", "--seeds", "2"]
    status = main([*over, "--json"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    found = json.loads(printed.out)
    assert found["best"] == {"training.weight_decay": 0.01}
    assert found["folded"]["ranked"][0] == "training.weight_decay=0.01"
    assert [row["seeds"] for row in found["folded"]["arms"]] == [[1, 2]] * 3
    assert (toy.starts(trying, "data"), toy.starts(trying, "train"), toy.starts(trying, "exam")) == (1, 6, 0)
    [kept] = (trying / ".phiforge" / "sweeps").glob("*.json")
    assert json.loads(kept.read_text()) == found

    from flows.lineage import client

    (parent,) = client(trying).search_runs(["1"], "tags.`pipeline.source` = 'sweep'")
    best = found["folded"]["arms"][1]
    assert parent.data.metrics["arm 1/minus reference/mean"] == pytest.approx(best["against"]["mean"])
    assert parent.data.tags["best"] == "training.weight_decay=0.01"
