"""The disk is asked before a stage starts."""

import os
from types import SimpleNamespace

import pytest

from components.errors import StepError
from flows import disk
from flows.graph import Stage

LOCK = """schema: '2.0'
stages:
  train:
    cmd: train
    outs:
    - {path: models/small, md5: aaaa, size: 30000000}
    - {path: reports/train.json, md5: bbbb, size: 1000000}
"""
TRAIN = Stage("train", outs=("models/small", "reports/train.json"))
GROW = Stage("grow", deps=("train",), outs=("models/grown", "reports/grow.json"))


@pytest.fixture
def places(tmp_path) -> disk.Places:
    (tmp_path / "dvc.lock").write_text(LOCK)
    (tmp_path / "workspaces" / "key").mkdir(parents=True)
    return disk.Places(tmp_path / "workspaces" / "key", tmp_path, tmp_path / ".dvc" / "cache")


@pytest.fixture
def free(monkeypatch):
    """Set how many bytes every file system has free."""

    def set_free(size: int) -> None:
        monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=size // 1000, f_frsize=1000))

    return set_free


def test_a_stage_that_fits_is_let_through(places, free):
    free(62_000_000)
    disk.check_space(places, TRAIN, [])


def test_the_refusal_names_folder_shortfall_and_remedy(places, free):
    free(52_000_000)
    with pytest.raises(StepError) as refused:
        disk.check_space(places, TRAIN, [])
    assert str(refused.value).startswith(
        f"{places.root}: 52.0 MB are free; expected 62.0 MB for the outputs of stage train"
    )
    assert "which is 10.0 MB more; free some space" in str(refused.value)
    assert "`make housekeeping`" in str(refused.value)


def test_a_stage_that_never_ran_is_taken_to_write_what_it_reads(places, free):
    free(52_000_000)
    with pytest.raises(StepError, match=r"expected 62\.0 MB for the outputs of stage grow"):
        disk.check_space(places, GROW, [TRAIN])
    disk.check_space(places, Stage("first", outs=("data/raw",)), [])


def test_each_file_system_holds_what_lies_on_it(places, monkeypatch):
    """The cache on a disk of its own: each needs room for one copy, and the full one is named."""
    places.cache.mkdir(parents=True)
    stat = os.stat

    def other_device(path, *arguments, **named):
        found = stat(path, *arguments, **named)
        if ".dvc" not in str(path):
            return found
        return os.stat_result([*found[:2], found.st_dev + 1, *found[3:]])

    monkeypatch.setattr(os, "stat", other_device)
    monkeypatch.setattr(
        os, "statvfs", lambda path: SimpleNamespace(f_bavail=20 if ".dvc" in str(path) else 31, f_frsize=1_000_000)
    )
    with pytest.raises(StepError, match=r"cache: 20\.0 MB are free; expected 31\.0 MB"):
        disk.check_space(places, TRAIN, [])


def test_a_run_refuses_a_stage_before_it_starts(project, run_flow, toy, monkeypatch):
    assert run_flow().is_completed()
    (project / "params.yaml").write_text((project / "params.yaml").read_text().replace("seed: 1", "seed: 5"))
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=0, f_frsize=1))
    state = run_flow()
    assert "for the outputs of stage" in str(state.result(raise_on_failure=False))
    assert toy.starts(project, "train") == 1
