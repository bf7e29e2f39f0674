"""The disk is asked before a stage starts."""

import shutil
from types import SimpleNamespace

import pytest

from components.errors import StepError
from flows import disk
from flows.disk import Meter
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
    """A main folder."""
    (tmp_path / "dvc.lock").write_text(LOCK)
    return disk.Places(tmp_path, tmp_path, tmp_path / ".dvc" / "cache")


@pytest.fixture
def free(monkeypatch):
    """Set how many bytes every file system has free."""

    def set_free(size: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=size // 1000 * 1000))

    return set_free


def test_a_stage_that_fits_is_let_through(places, free):
    free(62_000_000)
    disk.check_space(places, TRAIN, [])


def test_the_refusal_names_folder_shortfall_and_remedy(places, free):
    free(52_000_000)
    with pytest.raises(StepError) as refused:
        disk.check_space(places, TRAIN, [])
    said = f"{places.root}: 52.0 MB are free; expected 62.0 MB for the output of stage train, which is 10.0 MB more; "
    assert str(refused.value).startswith(said)
    assert "`make housekeeping`" in str(refused.value)


def test_what_the_stage_wrote_last_is_removed_first(places, free):
    old = places.root / "models" / "small" / "model.safetensors"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"x" * 20_000_000)
    free(42_000_000)
    disk.check_space(places, TRAIN, [])
    (places.root / "a link").hardlink_to(old)  # its bytes stay
    with pytest.raises(StepError, match=r"expected (61\.9|62\.0) MB"):
        disk.check_space(places, TRAIN, [])


def test_a_workspace_shares_its_outputs_with_the_cache(places, free):
    workspace = places.home / "workspaces" / "key"
    workspace.mkdir(parents=True)
    shared = disk.Places(workspace, places.home, places.cache)
    free(31_000_000)
    disk.check_space(shared, TRAIN, [])
    free(30_000_000)
    with pytest.raises(StepError, match=r"key: 30\.0 MB are free; expected 31\.0 MB"):
        disk.check_space(shared, TRAIN, [])


def test_a_stage_that_never_ran_is_taken_to_write_what_it_reads(places, free):
    free(52_000_000)
    with pytest.raises(StepError, match=r"expected 62\.0 MB for the output of stage grow"):
        disk.check_space(places, GROW, [TRAIN])
    disk.check_space(places, Stage("first", outs=("data/raw",)), [])


def test_each_file_system_holds_what_lies_on_it(places, monkeypatch):
    """The cache on a disk of its own: each needs space for one copy, and the full one is named."""
    places.cache.mkdir(parents=True)
    monkeypatch.setattr(disk, "_device", lambda path: int(".dvc" in str(path)))
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: SimpleNamespace(free=20_000_000 if ".dvc" in str(path) else 31_000_000)
    )
    with pytest.raises(StepError, match=r"\.dvc: 20\.0 MB are free; expected 31\.0 MB"):
        disk.check_space(places, TRAIN, [])


def test_a_run_refuses_a_stage_before_it_starts(project, run_flow, toy, monkeypatch):
    assert run_flow().is_completed()
    step = project / "params.yaml"
    step.write_text(step.read_text().replace("seed: 1", "seed: 5"))
    (project / "models" / "model.txt").unlink()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    state = run_flow()
    assert "for the output of stage" in str(state.result(raise_on_failure=False))
    assert toy.starts(project, "train") == 1


def test_bytes_are_freed_with_the_last_link(tmp_path):
    first, second, other = (tmp_path / name for name in ("first", "folder/second", "folder/other"))
    second.parent.mkdir()
    first.write_bytes(b"x" * 10_000)
    second.hardlink_to(first)
    other.write_bytes(b"y" * 10_000)
    once = other.stat().st_blocks * 512
    meter, folder = Meter(), second.parent.stat().st_blocks * 512
    assert meter.bytes_of([second.parent]) == once + folder
    assert meter.bytes_of([first]) == once
    assert meter.bytes_of([tmp_path / "gone"]) == 0
