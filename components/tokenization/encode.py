"""Encode every document once, in stored order, into a spool of files that workers write in parallel.

The corpus is divided into parts by its sizes alone, so the files do not depend on the engine or the number of workers. A
worker reads its part in batches and returns only the lengths of the documents.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.engine import map_shards, workers
from components.errors import StepError
from components.params import EngineParams
from components.running.progress import Progress
from components.tokenization.corpus import Corpus, RowGroup
from components.tokenization.tokenizer import Encoder, all_cores, one_core

PART_BYTES = 2_000_000  # minimum bytes of text per part
PARTS = 1024  # maximum number of files, without those of a single row group
BATCH_BYTES = 1_000_000  # of text per batch; the objects of the library need about fifty times as many
ROWS_AT_ONCE = 256  # texts per read from Parquet


@dataclass(frozen=True)
class Part:
    """The work of one worker: row groups of one file, the wanted rows, and the output file for the ids."""

    groups: tuple[RowGroup, ...]
    wanted: np.ndarray  # bool (rows of the groups,)
    output: Path


@dataclass(frozen=True)
class Spool:
    """Encoded documents: document `row` of the corpus is at [start[row], start[row] + length[row]) of the concatenated
    files, within one file."""

    paths: tuple[Path, ...]
    borders: np.ndarray  # int64 (files + 1,), first token of each file, and the end
    dtype: np.dtype
    start: np.ndarray  # int64 (rows,)
    length: np.ndarray  # int64 (rows,), with the end-of-text token; 0 for a row that was not encoded


def spool(
    corpus: Corpus, wanted: np.ndarray, tokenizer: Path, dtype: np.dtype, directory: Path, engine: EngineParams
) -> Spool:
    """Encode the wanted rows once, each followed by the end-of-text token.

    Args:
        wanted: bool (rows,).
        tokenizer: directory of the tokenizer.
        directory: for the files.

    Raises:
        StepError: the tokenizer returns its end-of-text token, or an id outside its vocabulary, within a text.
    """
    parts = list(_parts(corpus, wanted, directory))
    length = np.zeros(len(corpus), dtype=np.int64)
    progress = Progress(int(corpus.bytes[wanted].sum()))
    encoded_bytes = tokens = 0
    borders = [0]
    alone = engine.kind == "serial" or min(workers(engine), len(parts)) == 1
    function = partial(encode_part, tokenizer=tokenizer.resolve(), dtype=dtype, threads=alone)
    with all_cores() if alone else one_core():
        for part, lengths in zip(parts, map_shards(function, parts, engine), strict=True):
            rows = slice(part.groups[0].first, part.groups[-1].first + part.groups[-1].rows)
            length[rows] = lengths
            encoded_bytes += int(corpus.bytes[rows][part.wanted].sum())
            tokens += int(lengths.sum())
            borders.append(tokens)
            progress.update(encoded_bytes, tokens=tokens)
    return Spool(
        paths=tuple(part.output for part in parts),
        borders=np.array(borders, dtype=np.int64),
        dtype=dtype,
        start=np.cumsum(length) - length,
        length=length,
    )


def encode_part(part: Part, tokenizer: Path, dtype: np.dtype, threads: bool = False) -> np.ndarray:
    """Write the ids of a part's wanted rows to its file; returns the length of each row, int64 (rows of the groups,).

    Args:
        threads: whether the tokenizers library uses every core, as for a single worker.
    """
    encoder = _encoder(tokenizer, (tokenizer / "tokenizer.json").stat().st_mtime_ns)
    lengths = np.zeros(len(part.wanted), dtype=np.int64)
    with all_cores() if threads else one_core(), open(part.output, "wb") as file:
        for rows, batch in _batches(part):
            encoded = encoder.encode(batch["text"])
            lengths[rows] = [len(ids) + 1 for ids in encoded]
            ends = np.cumsum(lengths[rows])
            flat = np.full(int(ends[-1]), encoder.eos_token_id, dtype=np.int64)
            for end, ids in zip(ends.tolist(), encoded, strict=True):
                flat[end - 1 - len(ids) : end - 1] = ids
            _check_ids(flat, ends, batch, encoder)
            file.write(flat.astype(dtype).data)
    return lengths


@lru_cache(maxsize=1)
def _encoder(directory: Path, written: int) -> Encoder:
    """The tokenizer, read once per process; `written` distinguishes tokenizers at the same path."""
    return Encoder(directory)


def _parts(corpus: Corpus, wanted: np.ndarray, directory: Path) -> Iterator[Part]:
    """Parts: consecutive row groups of one file with about the intended amount of wanted text."""
    enough = max(PART_BYTES, int(corpus.bytes[wanted].sum()) // PARTS)
    groups: list[RowGroup] = []
    size = number = 0

    def part() -> Part:
        rows = slice(groups[0].first, groups[-1].first + groups[-1].rows)
        return Part(tuple(groups), wanted[rows], directory.resolve() / f"part-{number:05d}.bin")

    for group in corpus.groups:
        if groups and (size >= enough or group.path != groups[0].path):
            yield part()
            groups, size, number = [], 0, number + 1
        rows = slice(group.first, group.first + group.rows)
        groups.append(group)
        size += int(corpus.bytes[rows][wanted[rows]].sum())
    if groups:
        yield part()


def _batches(part: Part) -> Iterator[tuple[np.ndarray, dict[str, list[str]]]]:
    """Wanted rows of a part, by number within it, with about BATCH_BYTES of text each."""
    columns = ["id", "source", "text"]
    row = size = 0
    rows: list[np.ndarray] = []
    batch: dict[str, list[str]] = {name: [] for name in columns}
    with pq.ParquetFile(part.groups[0].path) as file:
        read = partial(file.iter_batches, batch_size=ROWS_AT_ONCE, columns=columns)
        for table in chain.from_iterable(read(row_groups=[group.number]) for group in part.groups):
            mask = part.wanted[row : row + table.num_rows]
            rows.append(np.flatnonzero(mask) + row)
            row += table.num_rows
            chosen = table.filter(pa.array(mask))
            for name in columns:
                batch[name] += chosen[name].to_pylist()
            size += chosen["text"].nbytes
            if size >= BATCH_BYTES:
                yield np.concatenate(rows), batch
                rows, batch, size = [], {name: [] for name in columns}, 0
    if batch["text"]:
        yield np.concatenate(rows), batch


def _check_ids(flat: np.ndarray, ends: np.ndarray, batch: dict[str, list[str]], encoder: Encoder) -> None:
    """Check that the end-of-text token is only at the end of each document, and that no id is beyond the vocabulary."""
    wrong = flat >= encoder.vocab_size
    wrong |= flat == encoder.eos_token_id
    wrong[ends - 1] = False
    if wrong.any():
        document = int(np.searchsorted(ends, np.argmax(wrong), side="right"))
        raise StepError(
            f"the tokenizer gives its end-of-text token {encoder.eos_token_id}, or an id beyond its vocabulary of "
            f"{encoder.vocab_size}, within document {batch['id'][document]} ({batch['source'][document]}); "
            "mark its end-of-text token as special"
        )
