"""Models that MLflow keeps share their files with DVC's cache: the same bytes, once on the disk."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from components import tracking
from flows import lineage, links

WEIGHTS = os.urandom(links.SMALLEST)


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


def put(cache: Path, content: bytes, suffix: str = "") -> str:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + suffix
    path = cache / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o444)
    return md5


@pytest.fixture
def outs(cache) -> dict[str, str]:
    listing = [{"md5": put(cache, WEIGHTS), "relpath": "model.safetensors"}, {"md5": put(cache, b"{}"), "relpath": "c"}]
    return {"models/small": put(cache, json.dumps(listing).encode(), ".dir"), "reports/none.json": ""}


def log(tmp_path: Path, name: str, content: bytes) -> Path:
    file = tmp_path / "a model" / "artifacts" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def test_equal_files_become_links_and_others_stay(tmp_path, cache, outs):
    same, other, small = (
        log(tmp_path, "model.safetensors", WEIGHTS),
        log(tmp_path, "other.safetensors", WEIGHTS[::-1]),
        log(tmp_path, "config.json", b"{}"),
    )
    folder = (tmp_path / "a model").as_uri()
    assert links.share_files([folder], outs, cache) == 1
    assert (same.read_bytes(), other.read_bytes()) == (WEIGHTS, WEIGHTS[::-1])
    assert [file.stat().st_nlink for file in (same, other, small)] == [2, 1, 1]
    assert links.share_files([folder], outs, cache) == 0


def test_either_side_may_go(tmp_path, cache, outs):
    same = log(tmp_path, "model.safetensors", WEIGHTS)
    links.share_files([str(tmp_path / "a model")], outs, cache)
    for path in cache.rglob("*"):
        if path.is_file():
            path.unlink()
    assert same.read_bytes() == WEIGHTS


def test_where_links_are_refused_the_copy_stays(tmp_path, cache, outs, monkeypatch):
    same = log(tmp_path, "model.safetensors", WEIGHTS)

    def refuse(*_: object) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert links.share_files([str(tmp_path / "a model"), "s3://bucket/model"], outs, cache) == 0
    assert same.read_bytes() == WEIGHTS
    assert os.listdir(same.parent) == ["model.safetensors"]


def test_the_models_of_a_stage_that_ran_are_linked(tmp_path, cache, outs, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    made = lineage.Lineage(tmp_path, tmp_path, "flow-run", "calm-otter")
    parent, client = made.ensure(), lineage.client(tmp_path)
    experiment = client.get_run(parent).info.experiment_id
    tags = {"mlflow.parentRunId": parent, "stage": "train_small"}
    stage = client.create_run(experiment, tags=tags).info.run_id
    model = client.create_logged_model(experiment, name="model", source_run_id=stage)
    folder = Path(model.artifact_location.removeprefix("file://"))
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    client.finalize_logged_model(model.model_id, "READY")
    made.stage_ran("train_small", outs, cache)
    assert (folder / "model.safetensors").stat().st_nlink == 2
    assert client.get_run(stage).data.tags["dvc.outs"] == json.dumps(outs, sort_keys=True)


def test_weights_that_were_spoilt_with_the_cache_are_restored_once_a_stage_has_made_them_again(
    tmp_path, cache, outs, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    made = lineage.Lineage(tmp_path, tmp_path, "flow-run", "calm-otter")
    parent, client = made.ensure(), lineage.client(tmp_path)
    experiment = client.get_run(parent).info.experiment_id

    def train(weights: str) -> Path:
        """Do what a stage does that logs a model, and what the flow does then."""
        stage = client.create_run(experiment, tags={"mlflow.parentRunId": parent, "stage": weights}).info.run_id
        model = client.create_logged_model(experiment, source_run_id=stage, tags={tracking.WEIGHTS: weights})
        file = Path(model.artifact_location.removeprefix("file://")) / "model.safetensors"
        file.parent.mkdir(parents=True)
        file.write_bytes(WEIGHTS)
        client.finalize_logged_model(model.model_id, "READY")
        made.stage_ran(weights, outs, cache)
        return file

    earlier, other = train("equal"), train("other")
    [entry, _] = json.loads((cache / outs["models/small"][:2] / outs["models/small"][2:]).read_text())
    spoilt = cache / entry["md5"][:2] / entry["md5"][2:]
    spoilt.chmod(0o644)
    spoilt.write_bytes(WEIGHTS[::-1])  # in place, so in all its links
    spoilt.unlink()
    put(cache, WEIGHTS)
    assert (earlier.read_bytes(), other.read_bytes()) == (WEIGHTS[::-1], WEIGHTS[::-1])
    later = train("equal")
    assert earlier.read_bytes() == WEIGHTS
    assert earlier.samefile(later)
    assert other.read_bytes() == WEIGHTS[::-1], "nothing says that its weights were equal"
