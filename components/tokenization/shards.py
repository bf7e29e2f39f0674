"""Writing the streams: every document is encoded once, in stored order, then copied to its places.

Reading Parquet in shuffled order would decompress a row group for every document. So the ids are first spooled to
one file in stored order; the streams, with every pass of a document, are then gathered from its memory map.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.documents import KINDS, read_batches
from components.errors import StepError
from components.files import sha256_file
from components.progress import Progress
from components.tokenization.mixture import Corpus
from components.tokenization.tokenizer import Encoder
from components.tokens import DOCUMENTS, INDEX

SHARD_TOKENS = 64_000_000  # tokens a shard, at most
BATCH_BYTES = 1_000_000  # of text encoded at once: the library's own objects take some fifty times that
GATHER_DOCUMENTS = 4_096  # index rows written at once


@dataclass(frozen=True)
class Spool:
    """Encoded documents in one file: document `row` of the corpus lies at [start[row], start[row] + length[row])."""

    path: Path
    dtype: np.dtype
    start: np.ndarray  # int64 (rows,)
    length: np.ndarray  # int64 (rows,), with the end-of-text token; 0 for a row that is not needed


def texts(directories: list[Path], wanted: np.ndarray) -> Iterator[tuple[int, str]]:
    """The (row, text) of the wanted rows of all document sets, streamed in reading order.

    Args:
        wanted: bool (rows,).
    """
    row = 0
    for directory in directories:
        for batch in read_batches(directory, columns=["text"]):
            mask = wanted[row : row + batch.num_rows]
            if mask.any():
                chosen = batch["text"].filter(pa.array(mask)).to_pylist()
                yield from zip((np.flatnonzero(mask) + row).tolist(), chosen, strict=True)
            row += batch.num_rows


def spool(
    directories: list[Path], corpus: Corpus, rows: np.ndarray, encoder: Encoder, dtype: np.dtype, path: Path
) -> Spool:
    """Encode the given rows once, each followed by the end-of-text token.

    Raises:
        StepError: the tokenizer gives its end-of-text token, or an id outside its vocabulary, within a text.
    """
    wanted = np.zeros(len(corpus), dtype=bool)
    wanted[rows] = True
    length = np.zeros(len(corpus), dtype=np.int64)
    progress = Progress(int(corpus.bytes[wanted].sum()))
    encoded_bytes = tokens = 0
    with open(path, "wb") as file:
        for batch_rows, batch in _batches(texts(directories, wanted), corpus):
            for row, ids in zip(batch_rows, encoder.encode(batch), strict=True):
                array = np.array([*ids, encoder.eos_token_id], dtype=np.int64)
                _check_ids(array, row, corpus, encoder)
                array.astype(dtype).tofile(file)
                length[row] = len(array)
            encoded_bytes += int(corpus.bytes[batch_rows].sum())
            tokens += int(length[batch_rows].sum())
            progress.update(encoded_bytes, tokens=tokens)
    start = np.cumsum(length) - length
    return Spool(path=path, dtype=dtype, start=start, length=length)


def write_split(directory: Path, order: np.ndarray, corpus: Corpus, spooled: Spool) -> dict[str, Any]:
    """Write one stream with its index of documents; returns its part of the manifest.

    Args:
        order: int64 (documents of the stream,), rows of the corpus in stream order.
    """
    directory.mkdir(parents=True)
    ids = np.asarray(np.memmap(spooled.path, dtype=spooled.dtype, mode="r"))  # a plain view slices ten times faster
    writer = ShardWriter(directory)
    with pq.ParquetWriter(directory / INDEX, DOCUMENTS, compression="zstd") as index:
        for offset in range(0, len(order), GATHER_DOCUMENTS):
            rows = order[offset : offset + GATHER_DOCUMENTS]
            index.write_table(_index_rows(rows, writer.tokens, corpus, spooled))
            ends = spooled.start[rows] + spooled.length[rows]
            for start, end in zip(spooled.start[rows].tolist(), ends.tolist(), strict=True):
                writer.write(ids[start:end])
    writer.close()
    counts = _counts(order, corpus, spooled) | {
        "shards": writer.shards,
        "documents_sha256": sha256_file(directory / INDEX),
    }
    _check_counts(counts, writer.tokens)
    return counts


class ShardWriter:
    """Cuts one stream of ids into files of at most SHARD_TOKENS, hashing what it writes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.shards: list[dict[str, Any]] = []
        self.tokens = 0
        self._file: Any = None

    def write(self, ids: np.ndarray) -> None:
        while len(ids):
            if self._file is None:
                self._open()
            part = ids[: SHARD_TOKENS - self.shards[-1]["tokens"]]
            self._file.write(part.data)
            self._hash.update(part.data)
            self.shards[-1]["tokens"] += len(part)
            self.tokens += len(part)
            ids = ids[len(part) :]
            if self.shards[-1]["tokens"] == SHARD_TOKENS:
                self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self.shards[-1]["sha256"] = self._hash.hexdigest()

    def _open(self) -> None:
        name = f"shard-{len(self.shards):05d}.bin"
        self._file = open(self.directory / name, "wb")  # noqa: SIM115 - closed when the shard is full
        self._hash = hashlib.sha256()
        self.shards.append({"file": name, "tokens": 0, "sha256": ""})


def _batches(rows: Iterator[tuple[int, str]], corpus: Corpus) -> Iterator[tuple[list[int], list[str]]]:
    """Groups of about BATCH_BYTES of text."""
    numbers: list[int] = []
    batch: list[str] = []
    size = 0
    for row, text in rows:
        numbers.append(row)
        batch.append(text)
        size += int(corpus.bytes[row])
        if size >= BATCH_BYTES:
            yield numbers, batch
            numbers, batch, size = [], [], 0
    if batch:
        yield numbers, batch


def _check_ids(ids: np.ndarray, row: int, corpus: Corpus, encoder: Encoder) -> None:
    if (ids == encoder.eos_token_id).sum() != 1 or ids.max() >= encoder.vocab_size:
        raise StepError(
            f"the tokenizer gives its end-of-text token {encoder.eos_token_id}, or an id beyond its vocabulary of "
            f"{encoder.vocab_size}, within document {corpus.ids[row].as_py()} ({corpus.sources[row].as_py()}); "
            "mark its end-of-text token as special"
        )


def _index_rows(rows: np.ndarray, first_token: int, corpus: Corpus, spooled: Spool) -> pa.Table:
    length = spooled.length[rows]
    columns = {
        "id": corpus.ids.take(pa.array(rows)),
        "kind": pa.array(KINDS).take(pa.array(corpus.kinds[rows])),
        "source": corpus.sources.take(pa.array(rows)),
        "start": first_token + np.cumsum(length) - length,
        "length": length,
        "bytes": corpus.bytes[rows],
    }
    return pa.table(columns, schema=DOCUMENTS)


def _counts(order: np.ndarray, corpus: Corpus, spooled: Spool) -> dict[str, Any]:
    """Documents, distinct documents, tokens and bytes of a stream, in all and by kind."""
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


def _check_counts(counts: dict[str, Any], written: int) -> None:
    """The law of the manifest: kinds add up to the split, shards add up to the split."""
    for figure in ("documents", "distinct_documents", "tokens", "bytes"):
        total = sum(kind[figure] for kind in counts["by_kind"].values())
        if total != counts[figure]:
            raise AssertionError(f"{figure}: the kinds add up to {total}, the split has {counts[figure]}")
    if not counts["tokens"] == written == sum(shard["tokens"] for shard in counts["shards"]):
        raise AssertionError(f"{written} tokens written, {counts['tokens']} counted, shards {counts['shards']}")
