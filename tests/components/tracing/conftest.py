"""A generated project with three runs: main folder, workspace, and one that only MLflow knows."""

from pathlib import Path

import pytest

from bench.traced_project import Made, make
from components.tracing.project import Project
from flows.client.origins import open_project


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("a project"), runs=4, documents=300, token_sets=2, with_tokens=True)


@pytest.fixture
def project(made: Made, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return open_project(made.root)


@pytest.fixture
def clone(made: Made, tmp_path: Path) -> Project:
    """The same results in a colleague's clone after `dvc pull`: dvc.lock and DVC's cache, without any record of runs."""
    (tmp_path / "dvc.lock").write_bytes((made.root / "dvc.lock").read_bytes())
    return Project(tmp_path, made.root / ".dvc" / "cache", [tmp_path])
