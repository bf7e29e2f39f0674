"""Tokens to train on: random ones for measurements of speed, and real text through the project's own steps."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.common import step
from components.files import atomic_directory, sha256_file
from components.tokens import DOCUMENTS, FORMAT_VERSION, INDEX, MANIFEST, SPLITS, TOKENIZER, Manifest

DOCUMENT = 1000  # tokens a random document


def random_tokens(directory: Path, vocabulary: int, train: int, validation: int = 20_000, seed: int = 1) -> Path:
    """A tokens directory of random ids by Zipf's law, because speed depends on no other property of a text."""
    draw = np.random.default_rng(seed)
    weights = 1.0 / np.arange(2, vocabulary + 1)
    with atomic_directory(directory) as folder:
        splits = {}
        for name, count in zip(SPLITS, (train, validation), strict=True):
            ids = 1 + draw.choice(vocabulary - 1, count, p=weights / weights.sum())
            ids[DOCUMENT - 1 :: DOCUMENT] = 0
            splits[name] = _write_split(folder / name, ids.astype("<u2"))
        (folder / TOKENIZER).mkdir()
        _write_tokenizer(folder / TOKENIZER / "tokenizer.json", vocabulary)
        digest = sha256_file(folder / TOKENIZER / "tokenizer.json")
        manifest = Manifest(FORMAT_VERSION, "uint16", vocabulary, 0, digest, splits)
        replace(manifest, fingerprint=manifest.compute_fingerprint()).write(folder)
    return directory


def _write_split(directory: Path, ids: np.ndarray) -> dict:
    directory.mkdir()
    shard = directory / "shard-00000.bin"
    ids.tofile(shard)
    starts = np.arange(0, len(ids), DOCUMENT)
    lengths = np.diff(np.append(starts, len(ids)))
    names = [f"random/{i}" for i in range(len(starts))]
    columns = {"id": names, "kind": ["prose"] * len(names), "source": names}
    columns |= {"start": starts, "length": lengths, "bytes": 4 * lengths}
    pq.write_table(pa.table(columns, schema=DOCUMENTS), directory / INDEX)
    counts = {"documents": len(names), "distinct_documents": len(names), "tokens": len(ids), "bytes": 4 * len(ids)}
    return counts | {
        "by_kind": {"prose": counts},
        "phases": [{"kinds": ["prose"], "tokens": len(ids), "documents": len(names)}],
        "shards": [{"file": shard.name, "tokens": len(ids), "sha256": sha256_file(shard)}],
        "documents_sha256": sha256_file(directory / INDEX),
    }


def _write_tokenizer(path: Path, vocabulary: int) -> None:
    from tokenizers import Tokenizer, models

    words = {f"<{i}>": i for i in range(vocabulary)}
    Tokenizer(models.WordLevel(words, unk_token="<0>")).save(str(path))


def library_tokens(folder: Path, vocabulary: int = 2048) -> Path:
    """Tokens of the running Python's own library: source and documentation, each passed over once."""
    return text_tokens(folder, "python", vocabulary)


def text_tokens(folder: Path, source: str | Path, vocabulary: int) -> Path:
    """Tokens of a source of text, made by our ingestion, curation and tokenization; kept in `folder` and taken from there the
    next time."""
    tokens = folder / f"tokens-{vocabulary}"
    if (tokens / MANIFEST).is_file():
        return tokens
    folder.mkdir(parents=True, exist_ok=True)
    raw, curated = folder / "raw", folder / "curated"
    sources = [{"path": str(source), "license": "PSF-2.0" if source == "python" else "unknown"}]
    step("ingestion", {"ingestion.sources": json.dumps(sources)}, output=raw)
    step("curation", {}, documents=raw, output=curated, ledger=folder / "ledger.parquet")
    sizes = {"tokenization.epochs": "{prose: 1.0, code: 1.0}", "tokenization.vocab_size": vocabulary}
    step("tokenization", sizes, documents=curated, output=tokens)
    return tokens
