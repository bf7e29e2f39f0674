"""A tokens directory of a few thousand learnable tokens, and parameters that train on it in a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.files import sha256_file
from components.params import Params
from components.tokens import DOCUMENTS, Manifest
from components.tracking import Tracker
from components.training import train

VOCABULARY = 61


class Recorder(Tracker):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[int | None, dict[str, float]]] = []
        self.models: list[tuple[Path, str]] = []

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        self.told.append((step, dict(values)))

    def model(self, checkpoint: Path, name: str, metadata: dict[str, Any]) -> None:
        assert (checkpoint / "model.safetensors").is_file()
        self.models.append((checkpoint, name))


def write_split(directory: Path, documents: list[np.ndarray], kinds: tuple[str, ...]) -> dict[str, Any]:
    directory.mkdir(parents=True)
    stream, lengths = np.concatenate(documents).astype("<u2"), np.array([len(d) for d in documents])
    stream.tofile(directory / "shard-00000.bin")
    names = [f"book/{i}" for i in range(len(documents))]
    columns = {
        "id": names,
        "kind": [kinds[i % len(kinds)] for i in range(len(names))],
        "source": names,
        "start": np.cumsum(lengths) - lengths,
        "length": lengths,
        "bytes": 4 * lengths,
    }
    pq.write_table(pa.table(columns, schema=DOCUMENTS), directory / "documents.parquet")
    counts = {"documents": len(names), "tokens": len(stream), "bytes": 4 * len(stream)}
    shard = {"file": "shard-00000.bin", "tokens": len(stream), "sha256": sha256_file(directory / "shard-00000.bin")}
    return counts | {
        "documents_sha256": sha256_file(directory / "documents.parquet"),
        "shards": [shard],
        "by_kind": {kind: counts for kind in kinds},
    }


@pytest.fixture(scope="session")
def make_tokens() -> Callable[..., Path]:
    """make_tokens(directory, train=4000, validation=600, vocabulary=61, kinds=("prose",)): documents of 50 ids, each a walk
    of a fixed stride with the end token behind it; four bytes per token; the kinds take turns."""

    def make(
        directory: Path,
        train: int = 4000,
        validation: int = 600,
        vocabulary: int = VOCABULARY,
        kinds: tuple[str, ...] = ("prose",),
    ) -> Path:
        from tokenizers import Tokenizer, models

        def documents(count: int, seed: int) -> list[np.ndarray]:
            draw = np.random.default_rng(seed)
            starts, strides = draw.integers(1, 60, count // 50 + 1), draw.integers(1, 4, count // 50 + 1)
            walks = [1 + (a + b * np.arange(49)) % 60 for a, b in zip(starts, strides, strict=True)]
            stream = [np.append(walk, 0) for walk in walks]
            return [*stream[: count // 50], *([stream[-1][: count % 50]] if count % 50 else [])]

        splits = {
            "train": write_split(directory / "train", documents(train, 1), kinds),
            "validation": write_split(directory / "validation", documents(validation, 2), kinds),
        }
        (directory / "tokenizer").mkdir()
        path = directory / "tokenizer" / "tokenizer.json"
        words = {"<|endoftext|>": 0} | {f"w{i}": i for i in range(1, vocabulary)}
        Tokenizer(models.WordLevel(words, unk_token="<|endoftext|>")).save(str(path))
        manifest = Manifest(1, "uint16", vocabulary, 0, sha256_file(path), splits)
        manifest = Manifest(1, "uint16", vocabulary, 0, sha256_file(path), splits, manifest.compute_fingerprint())
        manifest.write(directory)
        return directory

    return make


@pytest.fixture(scope="session")
def tokens(make_tokens: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokens(tmp_path_factory.mktemp("data") / "tokens")


@pytest.fixture
def settings() -> dict[str, Any]:
    """A nested mapping of parameters; change it before it is used."""
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "partial_rotary_factor": 0.5,
    }
    return {
        "seed": 3,
        "small": {"model": shape, "tokens": 3000, "learning_rate": 0.01},
        "training": {
            "context_length": 32,
            "batch_tokens": 256,
            "micro_batch_tokens": 128,
            "threads": 1,
            "validations": 3,
            "validation_tokens": 256,
            "precision": "float32",
        },
    }


@pytest.fixture
def call(tokens: Path, tmp_path: Path, settings: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """call(name, tokens=..., initial=..., tracker=...) trains into tmp_path/name and returns the summary."""

    def make(name: str = "model", **given: Any) -> dict[str, Any]:
        inputs = {"model": "small", "tokens": given.get("tokens", tokens), "initial": given.get("initial")}
        outputs = {"output": tmp_path / name, "curves": tmp_path / f"{name}.csv", "state": tmp_path / "states"}
        return train.run(inputs, outputs, Params.model_validate(settings), given.get("tracker", Tracker()))

    return make


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()
