"""The journal remembers by content, and survives a writer that was killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

from components.benchmarking.benchmark import Job, benchmark
from components.benchmarking.journal import Journal
from components.params import BenchmarkingParams

PARAMS = BenchmarkingParams(threads=1, batch_size=1)
SLOW = """
import sys, time
from components.benchmarking import journal
put = journal.Journal.put
def slowly(self, key, answer):
    put(self, key, answer)
    time.sleep(0.2)
journal.Journal.put = slowly
from pathlib import Path
from components.benchmarking.benchmark import Job, benchmark
from components.params import BenchmarkingParams
checkpoint, exam, output, journals = map(Path, sys.argv[1:])
benchmark(Job(checkpoint, "exam", exam, journals=journals), output, BenchmarkingParams(threads=1, batch_size=1))
"""


def test_answers_come_back_to_the_bit(tmp_path):
    first = Journal(tmp_path, {"weights": "a"})
    key = Journal.key("score", [1, 2], (3,))
    assert first.get(key) is None
    first.put(key, [[-0.1 / 3, True]])
    again = Journal(tmp_path, {"weights": "a"})
    assert again.get(key) == [[-0.1 / 3, True]]
    assert again.reused == 1


def test_another_identity_remembers_nothing(tmp_path):
    key = Journal.key("score", [1])
    Journal(tmp_path, {"weights": "a"}).put(key, 1)
    assert Journal(tmp_path, {"weights": "b"}).get(key) is None
    assert Journal.key("score", [1]) != Journal.key("score", [2])


def test_a_torn_line_is_passed_over_and_the_file_goes_on(tmp_path):
    journal = Journal(tmp_path, {})
    journal.put("a", 1)
    with open(journal.path, "a") as file:
        file.write('["b", 2')
    Journal(tmp_path, {}).put("c", 3)
    last = Journal(tmp_path, {})
    assert [last.get(key) for key in "abc"] == [1, None, 3]


def test_without_a_folder_nothing_is_written(tmp_path):
    journal = Journal(None, {})
    journal.put("a", 1)
    assert journal.get("a") is None


def lines(folder):
    return sum(path.read_text().count("\n") for path in folder.glob("*.jsonl"))


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bytes(checkpoint, exam, tmp_path, root, capsys):
    undisturbed = benchmark(Job(checkpoint, "exam", exam), tmp_path / "whole", PARAMS)
    journals = tmp_path / "journals"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    arguments = [str(path) for path in (checkpoint, exam, tmp_path / "killed", journals)]
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW, *arguments], cwd=root, env=environment, stdout=subprocess.DEVNULL
    )
    until = time.monotonic() + 120
    while lines(journals) < 5:
        assert child.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "killed").exists()
    kept = lines(journals)
    capsys.readouterr()
    assert benchmark(Job(checkpoint, "exam", exam, journals=journals), tmp_path / "killed", PARAMS) == undisturbed
    assert f"benchmarking: {kept} batches reused from an earlier run" in capsys.readouterr().out
    for name in ("scores.json", "examples.parquet"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_changes_an_answer_starts_anew(checkpoint, exam, tmp_path, capsys, monkeypatch):
    from components.phi.checkpoint import load, read_lineage, save

    def score(model, params=PARAMS):
        capsys.readouterr()
        benchmark(Job(model, "exam", exam, journals=tmp_path / "journals"), tmp_path / "s", params)
        return "reused from an earlier run" in capsys.readouterr().out

    assert not score(checkpoint)
    assert score(checkpoint)
    assert not score(checkpoint, BenchmarkingParams(threads=2, batch_size=1))
    other = load(checkpoint)
    other.head.bias.data[3] += 0.5
    save(other, tmp_path / "other", checkpoint, read_lineage(checkpoint))
    assert not score(tmp_path / "other")
    shutil.copytree(checkpoint, tmp_path / "turned")
    config = json.loads((checkpoint / "config.json").read_text())
    config["rope_theta"] = 5000.0
    config["rope_parameters"]["rope_theta"] = 5000.0
    (tmp_path / "turned" / "config.json").write_text(json.dumps(config))  # the same weights, another model
    assert not score(tmp_path / "turned")
    with monkeypatch.context() as patched:
        patched.setattr("components.benchmarking.benchmark.code_sha256", lambda patterns: "other code")
        assert not score(checkpoint)
    with open(exam / "addition.jsonl", "a", encoding="utf-8") as file:
        row = {"id": "new", "question": "What is 9 + 9?", "choices": ["18", "19"], "answer": 0, "category": "math"}
        file.write(json.dumps(row) + "\n")
    before = lines(tmp_path / "journals")
    score(checkpoint)
    assert lines(tmp_path / "journals") > before + 12  # all of that task, not the new row alone
