"""Small document sets and tokens directories, whole or with one thing wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.documents import DOCUMENT, Document, DocumentWriter
from components.files import sha256_file
from components.params import Params
from components.tokens import DOCUMENTS, Manifest
from components.tracking import Tracker
from components.validation.validate import run

Gate = Callable[..., dict[str, Any]]


class Recorder(Tracker):
    """Remembers the artifacts."""

    def __init__(self) -> None:
        self.artifacts: list[str] = []

    def artifact(self, path: Path, folder: str = "") -> None:
        assert path.is_file()
        self.artifacts.append(f"{folder}/{path.name}")


def rows(count: int = 120, **changed: Any) -> list[dict[str, Any]]:
    """Good rows, 1 kB each; `changed` replaces columns of the first row."""
    made = [
        Document(
            text=f"Number {i} comes after {i - 1}. " * 40,
            kind="prose",
            source=f"book/{i}",
            license="CC0-1.0",
            created_by="reader/1",
        ).row()
        for i in range(count)
    ]
    made[0] |= changed
    return made


def write(directory: Path, made: list[dict[str, Any]], shards: int = 2) -> Path:
    """Write rows as a document set of `shards` files."""
    size = -(-len(made) // shards)
    with DocumentWriter(directory, rows_per_shard=size) as writer:
        writer.write_table(pa.Table.from_pylist(made, schema=DOCUMENT))
    return directory


def write_tokens(directory: Path, streams: dict[str, list[list[int]]], ids: dict[str, list[str]]) -> Path:
    """A tokens directory of which each document is a list of ids ending with 0; two shards a split."""
    splits = {}
    for name, documents in streams.items():
        folder = directory / name
        folder.mkdir(parents=True)
        stream = np.concatenate([np.array(d, "<u2") for d in documents])
        half = len(stream) // 2  # within a document
        shards = []
        for number, part in enumerate((stream[:half], stream[half:])):
            path = folder / f"shard-{number:05d}.bin"
            part.tofile(path)
            shards.append({"file": path.name, "tokens": len(part), "sha256": sha256_file(path)})
        lengths = np.array([len(d) for d in documents])
        index = {
            "id": ids[name],
            "kind": ["prose"] * len(documents),
            "source": ids[name],
            "start": np.cumsum(lengths) - lengths,
            "length": lengths,
            "bytes": 3 * lengths,
        }
        pq.write_table(pa.table(index, schema=DOCUMENTS), folder / "documents.parquet")
        splits[name] = {
            "tokens": len(stream),
            "documents": len(documents),
            "bytes": 3 * len(stream),
            "documents_sha256": sha256_file(folder / "documents.parquet"),
            "shards": shards,
        }
    (directory / "tokenizer").mkdir()
    tokenizer = directory / "tokenizer" / "tokenizer.json"
    tokenizer.write_text("{}", encoding="utf-8")
    manifest = Manifest(1, "uint16", 50, 0, sha256_file(tokenizer), splits)
    Manifest(1, "uint16", 50, 0, manifest.tokenizer_sha256, splits, manifest.compute_fingerprint()).write(directory)
    return directory


@pytest.fixture
def documents(tmp_path: Path) -> Callable[..., Path]:
    """Write a set: documents(count, shards=2, made=rows to take instead, column=value of the first row)."""

    def make(count: int = 120, shards: int = 2, made: list[dict[str, Any]] | None = None, **changed: Any) -> Path:
        return write(tmp_path / "documents", made or rows(count, **changed), shards)

    return make


@pytest.fixture
def good_rows() -> Callable[..., list[dict[str, Any]]]:
    return rows


@pytest.fixture
def make_tokens() -> Callable[..., Path]:
    return write_tokens


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """Ten training documents of 12 tokens and two held-out ones."""
    train = [[1 + (i + j) % 49 for j in range(11)] + [0] for i in range(10)]
    ids = {"train": [f"t{i}" for i in range(10)], "validation": ["v0", "v1"]}
    return write_tokens(tmp_path / "tokens", {"train": train, "validation": train[:2]}, ids)


@pytest.fixture
def tracker() -> Recorder:
    return Recorder()


@pytest.fixture
def gate(tmp_path: Path, tracker: Recorder) -> Gate:
    """Run a gate: gate(asset, directory, key=value of params.validation) -> summary."""

    def call(asset: str, directory: Path, ledger: Path | None = None, **settings: Any) -> dict[str, Any]:
        params = Params.model_validate({"validation": {"min_tokens": 100, **settings}})
        return run(
            {"asset": asset, "input": directory, "ledger": ledger},
            {"output": tmp_path / "report" / asset},
            params,
            tracker,
        )

    return call


@pytest.fixture
def results(tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """The results that a gate has left."""

    def read(asset: str) -> dict[str, Any]:
        return json.loads((tmp_path / "report" / asset / "results.json").read_text(encoding="utf-8"))

    return read
