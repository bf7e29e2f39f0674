"""DVC's cache is checked: what was changed in it is dropped and named, and what was not is not read again."""

import hashlib
import json
from pathlib import Path

import pytest

from flows.cache import Cache, cache_folder


@pytest.fixture
def outs(project) -> dict[str, str]:
    """A file and a folder of two files in the cache, as in dvc.lock."""
    parts = [{"md5": put(project, text), "relpath": text} for text in ("first", "second")]
    return {"models/model.txt": put(project, "model"), "data/raw": put(project, json.dumps(parts)) + ".dir"}


def put(project: Path, text: str) -> str:
    md5 = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    for name in (md5, f"{md5}.dir") if text.startswith("[") else (md5,):
        path = object_of(project, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o444)
    return md5


def object_of(project: Path, oid: str) -> Path:
    return project / ".dvc" / "cache" / "files" / "md5" / oid[:2] / oid[2:]


def spoil(path: Path) -> None:
    path.chmod(0o644)
    path.write_text("x" * len(path.read_text()))
    path.chmod(0o444)  # DVC takes a read-only file of its cache for whole


@pytest.mark.parametrize("known", [True, False], ids=["hashed before", "never hashed"])
@pytest.mark.parametrize(
    ("text", "named"),
    [("model", ["models/model.txt"]), ("second", ["data/raw"]), ("", ["data/raw"])],
    ids=["a file", "a file of a folder", "a folder's list"],
)
def test_a_changed_object_is_dropped_and_its_output_named(project, outs, known, text, named):
    cache = Cache(project)
    if known:
        assert cache.drop_spoilt(outs) == []
    spoilt = object_of(
        project, hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() if text else outs["data/raw"]
    )
    spoil(spoilt)
    others = {path for path in cache_folder(project).rglob("*") if path.is_file()} - {spoilt}
    assert cache.drop_spoilt(outs) == named
    assert {path for path in cache_folder(project).rglob("*") if path.is_file()} == others
    assert cache.drop_spoilt(outs) == []


def test_what_has_not_changed_is_not_read_again(project, outs, monkeypatch):
    from dvc_data.hashfile import hash as hashing

    read, hash_it = [], hashing.file_md5
    monkeypatch.setattr(hashing, "file_md5", lambda path, *a, **k: read.append(path) or hash_it(path, *a, **k))
    Cache(project).drop_spoilt(outs)
    assert len(read) == 4
    (project / "linked.txt").hardlink_to(object_of(project, outs["models/model.txt"]))  # a checkout links it
    assert Cache(project).drop_spoilt(outs) == []
    assert len(read) == 4


def test_an_output_that_is_not_cached_does_not_matter(project):
    assert Cache(project).drop_spoilt({"reports/plain.json": "0" * 32, "reports/none.json": ""}) == []
