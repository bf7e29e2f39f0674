"""A crawl that grows, night by night, on the shipped stages: by the flow in one folder, by DVC in another.

Both read the same folder of real text, this project's own. DVC's folder only lists the files on the first night, and does
all the work on the second: equal locks say that what a night writes does not depend on what is kept of earlier ones.
"""

import json
import shutil
from pathlib import Path

import pytest

from components.documents import increments
from tests.e2e.project import call, make_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def crawl(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guides and a folder of code, but for what arrives later."""
    folder = tmp_path_factory.mktemp("crawl")
    for name in ("docs", "components/phi"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "images"))
    (folder / "docs" / "sandbox.md").unlink()
    return folder


@pytest.fixture(scope="module")
def projects(root: Path, crawl: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """For DVC and for the flow."""
    params = {"ingestion.sources": [{"path": str(crawl), "license": "Apache-2.0"}], "ingestion.incremental": True}
    template = make_project(root, tmp_path_factory.mktemp("template"), params)
    return [shutil.copytree(template, tmp_path_factory.mktemp(way) / "project") for way in ("dvc", "flow")]


def lock(project: Path) -> str:
    return (project / "dvc.lock").read_text()


def documents_in(project: Path) -> int:
    return json.loads((project / "reports" / "curate.json").read_text())["documents_in"]


def test_a_crawl_that_grows_night_by_night(root: Path, crawl: Path, projects: list[Path]) -> None:
    by_dvc, by_flow = projects
    curated = by_flow / "data" / "curated"
    call(by_dvc, "dvc", "repro", "inventory")
    call(by_flow, "flows.run", "corpus")
    first, before = lock(by_flow), documents_in(by_flow)
    made = {path: path.stat().st_mtime_ns for path in (by_flow / ".phiforge").glob("*/increment-*/*/part-*")}
    shards = {path.name: path.read_bytes() for path in curated.iterdir()}

    shutil.copyfile(root / "docs" / "sandbox.md", crawl / "docs" / "sandbox.md")
    call(by_flow, "flows.run", "corpus")
    assert documents_in(by_flow) > before
    assert list(increments(curated)) == [0, 1]
    assert {name: (curated / name).read_bytes() for name in shards} == shards
    assert len(made) == 2  # what was read, and what was curated of it
    assert {path: path.stat().st_mtime_ns for path in made} == made
    second = lock(by_flow)
    said = call(by_dvc, "dvc", "repro", "validate_curated")
    assert "increment 0: reading" in said
    assert "increment 1: reading 1 files" in said
    assert lock(by_dvc) == second

    assert "Everything was cached" in call(by_flow, "flows.run", "corpus")
    assert lock(by_flow) == second

    (crawl / "docs" / "sandbox.md").unlink()
    call(by_flow, "flows.run", "corpus")
    assert lock(by_flow) == first
