"""The bench measures the overhead around the work; the step that does nothing needs no earlier run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import processes


@pytest.mark.slow
def test_the_overhead_of_a_stage_is_measured(root: Path, tmp_path: Path) -> None:
    seconds = processes.light_stage(tmp_path / "project", 1)
    assert 0.1 < seconds < 60
    notes = json.loads((tmp_path / "project" / "notes.json").read_text())
    assert (notes["stage"], notes["status"], notes["metrics"]["documents"]) == ("nothing", "FINISHED", 0)


def test_the_script_says_how_it_measures(root: Path) -> None:
    command = [sys.executable, "-m", "bench.processes", "--help"]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    assert "python -m bench.processes" in said
    assert "bench.processes" in (root / "bench" / "README.md").read_text(encoding="utf-8")
