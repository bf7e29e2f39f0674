"""`make clean` and `make clean-all`: what can be made again is removed at once, everything else only after a yes."""

import shutil
import subprocess
from pathlib import Path

import pytest

MADE = [".venv/bin/python", "data/raw/a", "models/small/a", "reports/a.json", "workspaces/k/a"]
KEPT = [
    ".phiforge/dvc-remote/a",
    ".dvc/cache/a",
    "mlartifacts/a",
    "mlflow.db",
    "mlflow.db-wal",
    "dvc.lock",
    "studies/x/dvc.lock",
]
SOURCES = ["Makefile", "params.yaml", ".dvc/config", "studies/x/dvc.yaml"]


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "my project"
    for name in (*MADE, *KEPT, *SOURCES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    shutil.copy(root / "Makefile", folder)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


def make(project: Path, target: str, answer: str = "") -> tuple[int, list[str]]:
    """Status, and the files that are left."""
    done = subprocess.run(["make", target], cwd=project, input=answer, capture_output=True, text=True, check=False)
    return done.returncode, [name for name in (*MADE, *KEPT, *SOURCES) if (project / name).exists()]


def test_clean_takes_nothing_that_cannot_be_made_again(project: Path) -> None:
    assert make(project, "clean") == (0, [*KEPT, *SOURCES])


@pytest.mark.parametrize("answer", ["", "n\n", "y\n", "\n"])
def test_clean_all_takes_nothing_without_a_yes(project: Path, answer: str) -> None:
    status, left = make(project, "clean-all", answer)
    assert status != 0
    assert left == [*MADE, *KEPT, *SOURCES]


def test_clean_all_takes_everything_but_the_sources(project: Path) -> None:
    assert make(project, "clean-all", "yes\n") == (0, SOURCES)
