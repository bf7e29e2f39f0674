"""The scripts of bench/ that measure training: their options, their arithmetic, and a tiny run of each."""

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import common
from bench.optimizers import share_at

SCRIPTS = ("training_speed", "overhead", "allocator", "optimizers", "gpu")


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if k != common.GATE}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_script_says_how_it_measures(name: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    script = importlib.import_module(f"bench.{name}")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as exit_:
        script.main()
    assert not exit_.value.code
    said = capsys.readouterr().out
    assert f"python -m bench.{name}" in said
    assert "--threads" in said and "--json" in said  # noqa: PT018 - both or the help is another one's
    assert f"bench.{name}" in (root / "bench" / "README.md").read_text(encoding="utf-8")


def test_share_is_read_between_two_horizons() -> None:
    assert share_at(3.0, [0.25, 1.0], [4.0, 2.0]) == pytest.approx(0.5)  # half-way in the logarithm of the tokens
    assert share_at(3.0, [0.3, 0.6], [2.9, 2.0]) == 0.3  # a bound: already below
    assert share_at(3.0, [0.3, 0.6], [4.0, 3.1]) is None


def test_ratio_is_of_neighbouring_steps() -> None:
    rows = {
        "fast": {"steps": [(1.0, 1.0), (10.0, 1.0), (2.0, 1.0)]},
        "slow": {"steps": [(3.0, 2.0), (30.0, 2.0), (6.0, 2.0)]},
    }
    assert common.times_faster(rows, "fast", "slow", "wall") == 3.0
    assert common.times_faster(rows, "fast", "slow", "cpu") == 2.0
    common.rates(rows, tokens=100)
    assert rows["fast"]["tokens_per_second"] == 50.0
    assert rows["slow"]["cpu_ms"] == 2000.0


def test_report_says_which_target_is_met(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    report = common.Report("Title", {"threads": 2})
    report.table("size", ["", "tokens/s"], [["ours", 12345.6]])
    report.target("ratio", 1.3, 1.2)
    report.target("share", 0.7, 0.6, at_least=False)
    report.target("gpu", None, 0.55)
    arguments = common.parser("a benchmark").parse_args(["--json", str(tmp_path / "r.json"), "--markdown", "--strict"])
    assert report.finish(arguments) == 1
    said = capsys.readouterr().out
    assert "| ours | 12,346 |" in said
    assert [target["met"] for target in json.loads((tmp_path / "r.json").read_text())["targets"]] == [True, False, None]
    assert "1.30 (target >= 1.20: met)" in said
    assert "0.7 (target <= 0.6: MISSED)" in said
    assert "not measured" in said


def test_a_child_that_fails_is_quoted() -> None:
    with pytest.raises(common.BenchError, match="ended with"):
        common.lockstep("bench.allocator", {"one": common.Contender({"size": "no such size", "threads": 1})}, rounds=1)


def test_allocators_take_steps_in_turn(root: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    done = run(
        root, "bench.allocator", "--sizes", "tiny", "--threads", "1", "--rounds", "2", "--only", "mallopt", "--json", str(result)
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    measured = json.loads(result.read_text())["measurements"]["tiny"]
    assert set(measured) == {"default", "mallopt"}
    assert all(len(row["steps"]) == 2 and row["tokens_per_second"] > 0 for row in measured.values())


@pytest.mark.slow
def test_systems_train_the_same_model(root: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    options = ("--sizes", "tiny", "--threads", "1", "--rounds", "2", "--grid", "none", "--json", str(result))
    done = run(root, "bench.training_speed", *options)  # checks by itself that losses and parameters agree
    assert done.returncode == 0, done.stderr
    rows = json.loads(result.read_text())["measurements"]["tiny"]["contenders"]
    assert {"ours", "ours, compiled", "transformers, as it comes"} <= set(rows)
    assert ("litgpt, best" in rows) == (common.missing_peer("litgpt") is None)
    assert all(math.isfinite(row["last_loss"]) for row in rows.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["overhead", "gpu"])
def test_tiny_runs(name: str, root: Path) -> None:
    options = {"overhead": ("--size", "tiny"), "gpu": ("--sizes", "tiny", "--sequences", "2")}[name]
    done = run(root, f"bench.{name}", *options, "--threads", "1", "--rounds", "2", "--markdown")
    assert done.returncode == 0, done.stderr
    assert "| ---" in done.stdout
