"""The corpus without its text: places, kinds and sizes of the documents, and hashes of their ids.

It needs 49 bytes of memory per document. Ids and sources, which only the index of the streams needs, are in a mapped
file, so the system may remove them from memory at any time.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.documents import KINDS, PART_OF, shard_batches, shards
from components.errors import StepError

COLUMNS = ["id", "text", "kind", "source"]
SEED = "seed_document"  # in a document's metadata: id of the document from which it was written, and which it may quote
LANGUAGE = "language"  # in a document's metadata, if curation detected it
ENGLISH = ("en", "und")  # the code for an unknown language
# Metadata with an origin, or a language other than English.
NOTABLE = f'"{SEED}"|"{PART_OF}"|"{LANGUAGE}": "(?:[^e]|e[^n])'
NAMES = pa.schema([pa.field("id", pa.large_string()), pa.field("source", pa.large_string())])


@dataclass(frozen=True)
class RowGroup:
    """A part of a Parquet file that can be read alone; `first` is the number of its first row in the corpus."""

    path: Path
    number: int
    first: int
    rows: int


@dataclass(frozen=True)
class Corpus:
    """The rows of all document sets in reading order, without their text."""

    ids: pa.ChunkedArray
    sources: pa.ChunkedArray
    keys: np.ndarray  # uint64 (rows, 2), hash of the id
    origins: np.ndarray  # uint64 (rows, 2), hash of the group; groups are held out as a whole
    kinds: np.ndarray  # int8 (rows,), index into KINDS
    bytes: np.ndarray  # int64 (rows,), of UTF-8
    first: np.ndarray  # bool (rows,), False if an earlier row has the same id
    groups: tuple[RowGroup, ...] = ()
    foreign: Mapping[str, int] = field(default_factory=dict)  # bytes by language, without English

    def __len__(self) -> int:
        return len(self.kinds)


def read_corpus(directories: list[Path], names: Path) -> Corpus:
    """Read ids, kinds, sources and sizes of all document sets, in order.

    Args:
        names: file for ids and sources; it must stay while the corpus is in use.

    Raises:
        StepError: a directory contains no document set, a value is missing, a text is empty, a kind is unknown, or
            there are no documents.
    """
    keys, origins, kinds, sizes = [], [], [], []
    groups: list[RowGroup] = []
    foreign: Counter[str] = Counter()
    with _names_file(names) as write:
        for directory in directories:
            for path in shards(directory):
                with pq.ParquetFile(path) as file:
                    groups += _groups(path, file.metadata, groups[-1].first + groups[-1].rows if groups else 0)
                for batch in shard_batches(path, [*COLUMNS, "metadata"]):
                    size = _sizes(batch, path)
                    ids = batch["id"].to_pylist()
                    keys.append(keys_of(ids))
                    names_of_origins, languages = _origins(ids, batch["metadata"])
                    origins.append(keys_of(names_of_origins))
                    for row, language in languages.items():
                        foreign[language] += int(size[row])
                    kinds.append(_kind_codes(batch["kind"], path))
                    sizes.append(size)
                    write(batch)
    if not sum(map(len, sizes)):
        raise StepError(
            f"no document in {', '.join(map(str, directories))}; earlier steps dropped everything: add text to ingestion.sources"
        )
    table = pa.ipc.open_file(pa.memory_map(str(names))).read_all()
    all_keys = np.concatenate(keys)
    return Corpus(
        ids=table["id"],
        sources=table["source"],
        keys=all_keys,
        origins=_through_parts(all_keys, np.concatenate(origins)),
        kinds=np.concatenate(kinds),
        bytes=np.concatenate(sizes),
        first=first_of(all_keys),
        groups=tuple(groups),
        foreign=dict(foreign.most_common()),
    )


def keys_of(ids: Iterable[str]) -> np.ndarray:
    """A 128-bit hash of each id, uint64 (ids, 2)."""
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=16).digest() for name in ids)
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


def _origins(ids: list[str], metadata: pa.Array) -> tuple[list[str], dict[int, str]]:
    """The group of each document (the document from which it was written, the section of a long text, or itself), and by row
    the languages other than English."""
    origins, languages = list(ids), {}
    for row in np.flatnonzero(pc.fill_null(pc.match_substring_regex(metadata, NOTABLE), False)).tolist():
        own = json.loads(metadata[row].as_py())
        if own.get(SEED):
            origins[row] = own[SEED]
        elif isinstance(place := own.get(PART_OF), dict):
            origins[row] = f"{place.get('document')}#{place.get('section')}"
        if own.get(LANGUAGE, "en") not in ENGLISH:
            languages[row] = str(own[LANGUAGE])
    return origins, languages


def _through_parts(keys: np.ndarray, origins: np.ndarray) -> np.ndarray:
    """Origins, with that of the part for documents that were written from a part of a text."""
    led = np.flatnonzero((keys != origins).any(axis=1))
    order = led[np.argsort(keys[led, 0], kind="stable")]
    if not len(order):
        return origins
    places = np.minimum(np.searchsorted(keys[order, 0], origins[led, 0]), len(order) - 1)
    found = (keys[order[places]] == origins[led]).all(axis=1)
    through = origins.copy()
    through[led[found]] = origins[order[places[found]]]
    return through


def first_of(keys: np.ndarray) -> np.ndarray:
    """True at the first row of each key; bool (rows,). Sorting temporarily needs 16 bytes per row."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: among equal keys the earliest row is first
    again = np.zeros(len(keys), dtype=bool)
    again[1:] = (keys[order[1:]] == keys[order[:-1]]).all(axis=1)
    first = np.empty(len(keys), dtype=bool)
    first[order] = ~again
    return first


def texts(corpus: Corpus, wanted: np.ndarray) -> Iterator[tuple[int, str]]:
    """Stream row and text of the wanted rows in reading order.

    Args:
        wanted: bool (rows,).
    """
    for group in corpus.groups:
        mask = wanted[group.first : group.first + group.rows]
        if mask.any():
            with pq.ParquetFile(group.path) as file:
                row = group.first
                for batch in file.iter_batches(row_groups=[group.number], columns=["text"]):
                    here = wanted[row : row + batch.num_rows]
                    chosen = batch["text"].filter(pa.array(here)).to_pylist()
                    yield from zip((np.flatnonzero(here) + row).tolist(), chosen, strict=True)
                    row += batch.num_rows


@contextmanager
def _names_file(path: Path) -> Iterator[Any]:
    """A function that appends a batch's ids and sources to an Arrow file."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, NAMES) as writer:
        yield lambda batch: writer.write_batch(
            pa.record_batch([batch[name].cast(pa.large_string()) for name in NAMES.names], schema=NAMES)
        )


def _groups(path: Path, metadata: pq.FileMetaData, first: int) -> Iterator[RowGroup]:
    for number in range(metadata.num_row_groups):
        rows = metadata.row_group(number).num_rows
        yield RowGroup(path.resolve(), number, first, rows)
        first += rows


def _sizes(batch: pa.RecordBatch, path: Path) -> np.ndarray:
    """Bytes of each text, int64 (rows,), after a check for missing values."""
    for name in COLUMNS:
        if batch[name].null_count:
            raise StepError(
                f"{path} has {batch[name].null_count:,} documents without {name}; every document needs one: write "
                "the set with components.documents.DocumentWriter"
            )
    sizes = pc.binary_length(batch["text"]).to_numpy(zero_copy_only=False).astype(np.int64)
    empty = np.flatnonzero(sizes == 0)
    if len(empty):
        row = int(empty[0])
        raise StepError(
            f"{path} has {len(empty):,} documents with an empty text (first: {batch['id'][row]} from "
            f"{batch['source'][row]}); a model learns nothing from them: drop them in curation"
        )
    return sizes


def _kind_codes(kinds: pa.Array, path: Path) -> np.ndarray:
    codes = pc.index_in(kinds, value_set=pa.array(KINDS))
    if codes.null_count:
        unknown = pc.unique(kinds.filter(codes.is_null())).to_pylist()
        raise StepError(f"{path} has documents of kind {unknown[0]!r}; expected one of {', '.join(KINDS)}")
    return codes.to_numpy(zero_copy_only=False).astype(np.int8)
