"""Write the streams: copy spooled documents to their places, shard by shard.

Reading Parquet in shuffled order would decompress a row group for every document. So the ids are in a spool, and one
worker per shard reads them in windows: the documents of a window are read in stored order and written in the order of the
stream. A worker needs memory for one window, which does not depend on the size of the corpus.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.documents import KINDS
from components.engine import map_shards
from components.files import sha256_file
from components.params import EngineParams
from components.running.progress import Progress
from components.tokenization.corpus import Corpus
from components.tokenization.encode import Spool
from components.tokenization.mixture import Phase
from components.tokens import DOCUMENTS, INDEX

SHARD_TOKENS = 64_000_000  # maximum tokens per shard
WINDOW_TOKENS = 8_000_000  # maximum tokens per window, except for one longer document
INDEX_ROWS = 4_096  # rows per write of the index and per row group


@dataclass(frozen=True)
class Shard:
    """One file of a stream: its ranges of the spool, in order."""

    path: Path
    start: np.ndarray  # int64 (documents,), in the concatenated spool
    length: np.ndarray  # int64 (documents,), in tokens; the first and the last document may be cut by the border

    @property
    def tokens(self) -> int:
        return int(self.length.sum())


def write_split(
    directory: Path,
    order: np.ndarray,
    phases: tuple[Phase, ...],
    corpus: Corpus,
    spooled: Spool,
    engine: EngineParams,
) -> dict[str, Any]:
    """Write one stream with its index of documents, and return its part of the manifest.

    Args:
        order: int64 (documents of the stream,), rows of the corpus in stream order.
    """
    directory.mkdir(parents=True)
    shards = _write_shards(list(_shards(directory.resolve(), order, spooled)), spooled, engine)
    _write_index(directory / INDEX, order, corpus, spooled)
    counts = _counts(order, corpus, spooled) | {
        "shards": shards,
        "phases": [{"kinds": [*p.kinds], "tokens": p.tokens, "documents": p.documents} for p in phases],
        "documents_sha256": sha256_file(directory / INDEX),
    }
    _check_counts(counts)
    return counts


def write_shard(shard: Shard, paths: tuple[Path, ...], borders: np.ndarray, dtype: np.dtype) -> str:
    """Write one shard from the spool's files, and return its SHA-256 in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(shard.path, "wb") as file:
        for first, last in _windows(shard.length):
            window = _gather(shard.start[first:last], shard.length[first:last], paths, borders, dtype)
            file.write(window.data)
            digest.update(window.data)
    return digest.hexdigest()


def _shards(directory: Path, order: np.ndarray, spooled: Spool) -> Iterator[Shard]:
    """Cut the stream into shards of SHARD_TOKENS."""
    length = spooled.length[order]
    ends = np.cumsum(length)
    total = int(ends[-1]) if len(ends) else 0
    for number, begin in enumerate(range(0, total, SHARD_TOKENS)):
        end = min(begin + SHARD_TOKENS, total)
        first = int(np.searchsorted(ends, begin, side="right"))
        last = int(np.searchsorted(ends, end, side="left")) + 1
        start, pieces = spooled.start[order[first:last]], length[first:last].copy()
        pieces[-1] -= int(ends[last - 1]) - end
        skipped = begin - int(ends[first] - length[first])
        start[0] += skipped
        pieces[0] -= skipped
        yield Shard(directory / f"shard-{number:05d}.bin", start, pieces)


def _write_shards(shards: list[Shard], spooled: Spool, engine: EngineParams) -> list[dict[str, Any]]:
    """Write the shards in parallel, and return their entries of the manifest."""
    function = partial(write_shard, paths=spooled.paths, borders=spooled.borders, dtype=spooled.dtype)
    written: list[dict[str, Any]] = []
    progress = Progress(len(shards))
    for shard, digest in zip(shards, map_shards(function, shards, engine), strict=True):
        written.append({"file": shard.path.name, "tokens": shard.tokens, "sha256": digest})
        progress.update(len(written), tokens=sum(row["tokens"] for row in written))
    return written


def _windows(length: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges [first, last) of documents with at most WINDOW_TOKENS, or of a single longer document."""
    ends = np.cumsum(length)
    first = 0
    while first < len(length):
        limit = ends[first] - length[first] + WINDOW_TOKENS
        last = max(first + 1, int(np.searchsorted(ends, limit, side="right")))
        yield first, last
        first = last


def _gather(
    start: np.ndarray, length: np.ndarray, paths: tuple[Path, ...], borders: np.ndarray, dtype: np.dtype
) -> np.ndarray:
    """Concatenated ranges of the spool, read in stored order; each file is opened once."""
    window = np.empty(int(length.sum()), dtype=dtype)
    places = np.cumsum(length) - length
    order = np.argsort(start, kind="stable")
    files = np.searchsorted(borders, start[order], side="right") - 1
    for run in np.split(order, np.flatnonzero(np.diff(files)) + 1):
        number = int(np.searchsorted(borders, start[run[0]], side="right")) - 1
        offsets = ((start[run] - borders[number]) * dtype.itemsize).tolist()
        target = window.data.cast("B")
        # Plain reads, because mapped pages would count as memory of this process.
        with open(paths[number], "rb", buffering=0) as file:
            begins, sizes = (places[run] * dtype.itemsize).tolist(), (length[run] * dtype.itemsize).tolist()
            for offset, begin, size in zip(offsets, begins, sizes, strict=True):
                file.seek(offset)
                _read_into(file, target[begin : begin + size])
    return window


def _read_into(file: Any, target: memoryview) -> None:
    """Fill `target`, with several system calls if one reads less."""
    while target:
        read = file.readinto(target)
        if not read:
            raise AssertionError(f"{file.name} ends {len(target)} bytes early")
        target = target[read:]


def _write_index(path: Path, order: np.ndarray, corpus: Corpus, spooled: Spool) -> None:
    first_token = 0
    with pq.ParquetWriter(path, DOCUMENTS, compression="zstd") as index:
        for offset in range(0, len(order), INDEX_ROWS):
            rows = order[offset : offset + INDEX_ROWS]
            index.write_table(_index_rows(rows, first_token, corpus, spooled))
            first_token += int(spooled.length[rows].sum())


def _index_rows(rows: np.ndarray, first_token: int, corpus: Corpus, spooled: Spool) -> pa.Table:
    length = spooled.length[rows]
    columns = {
        "id": corpus.ids.take(pa.array(rows)).cast(pa.string()),
        "kind": pa.array(KINDS).take(pa.array(corpus.kinds[rows])),
        "source": corpus.sources.take(pa.array(rows)).cast(pa.string()),
        "start": first_token + np.cumsum(length) - length,
        "length": length,
        "bytes": corpus.bytes[rows],
    }
    return pa.table(columns, schema=DOCUMENTS)


def _counts(order: np.ndarray, corpus: Corpus, spooled: Spool) -> dict[str, Any]:
    """Documents, distinct documents, tokens and bytes of a stream, overall and by kind."""
    distinct = np.unique(order)

    def count(stream: np.ndarray, once: np.ndarray) -> dict[str, int]:
        return {
            "documents": len(stream),
            "distinct_documents": len(once),
            "tokens": int(spooled.length[stream].sum()),
            "bytes": int(corpus.bytes[stream].sum()),
        }

    kinds = [code for code in range(len(KINDS)) if (corpus.kinds[order] == code).any()]
    by_kind = {
        KINDS[code]: count(order[corpus.kinds[order] == code], distinct[corpus.kinds[distinct] == code])
        for code in kinds
    }
    return count(order, distinct) | {"by_kind": by_kind}


def _check_counts(counts: dict[str, Any]) -> None:
    """Check that the sums over kinds, shards and phases are those of the split."""
    for figure in ("documents", "distinct_documents", "tokens", "bytes"):
        total = sum(kind[figure] for kind in counts["by_kind"].values())
        if total != counts[figure]:
            raise AssertionError(f"{figure}: the kinds add up to {total}, the split has {counts[figure]}")
    for pieces in ("shards", "phases"):
        total = sum(piece["tokens"] for piece in counts[pieces])
        if total != counts["tokens"]:
            raise AssertionError(f"{total} tokens in {pieces}, {counts['tokens']} in the split: {counts[pieces]}")
