"""The tables of a document set: documents with the columns of the rules, shards, and facts.

The set is read once, in batches. The statistics are collected meanwhile, so `shards()` and `facts()` are complete only
after `rows()`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.documents import DOCUMENT, ROWS_PER_GROUP, document_id, shards
from components.errors import StepError
from components.running.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

BATCH_ROWS = 16_384  # maximum rows per call of Great Expectations, which takes about 0.1 s for any number
BATCH_BYTES = 32_000_000  # approximate limit of a batch with long documents
WHERE = ("id", "source")  # columns that identify a row to people
BAD_CHARACTERS = ("\ufffd", "\x00")
_TEXT_COLUMNS = [column.name for column in DOCUMENT if column.type == pa.string()]
_JSON_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}


@dataclass
class Shard:
    """Statistics of one Parquet file."""

    file: str
    rows_in_footer: int
    largest_row_group: int
    rows: int = 0
    bytes: int = 0
    characters: int = 0

    def row(self) -> dict[str, Any]:
        mean = round(self.characters / self.rows, 2) if self.rows else 0.0
        return {**vars(self), "mean_characters": mean}


@dataclass
class DocumentTables:
    """The tables of the document set in `directory`."""

    directory: Path
    _shards: list[Shard] = field(default_factory=list)
    _seen: set[bytes] = field(default_factory=set)  # 16 bytes per document: a few GB for a hundred million
    _repeated: Counter[str] = field(default_factory=Counter)
    _kinds: Counter[str] = field(default_factory=Counter)

    def rows(self) -> Iterator["pd.DataFrame"]:
        """Documents in order, in batches of at most BATCH_ROWS, with the added columns content_hash, metadata_type and
        bad_character_fraction.

        Raises:
            StepError: the directory contains no document set, or a shard cannot be read to its end.
        """
        paths = shards(self.directory)
        progress = Progress(sum(pq.read_metadata(path).num_rows for path in paths))
        done = 0
        for path in paths:
            with pq.ParquetFile(path) as file:
                groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
                self._shards.append(Shard(path.name, file.metadata.num_rows, max(groups, default=0)))
                for batch in _batches(path, file):
                    yield self._measure(batch)
                    done += batch.num_rows
                    progress.update(done)

    def shards(self) -> "pd.DataFrame":
        """One row per shard: file, rows, rows_in_footer, largest_row_group, bytes and characters of text."""
        import pandas as pd

        return pd.DataFrame([shard.row() for shard in self._shards])

    def facts(self) -> dict[str, Any]:
        """Facts over all shards: documents, megabytes, duplicates, documents per kind, mean length."""
        documents = sum(shard.rows for shard in self._shards)
        characters = sum(shard.characters for shard in self._shards)
        return {
            "documents": documents,
            "distinct_documents": len(self._seen),
            "duplicate_fraction": round(1 - len(self._seen) / documents, 6) if documents else 0.0,
            "megabytes": sum(shard.bytes for shard in self._shards) / 1e6,
            "mean_characters": round(characters / documents, 2) if documents else 0.0,
            **{f"{kind}_documents": count for kind, count in sorted(self._kinds.items())},
        }

    def examples(self, column: str) -> list[str]:
        """Three examples for a fact: the most frequent ids."""
        if column != "duplicate_fraction":
            return []
        most = sorted(self._repeated.items(), key=lambda item: (-item[1], item[0]))[:3]
        return [f"{name} ({count + 1} times)" for name, count in most]

    def _measure(self, batch: pa.Table) -> "pd.DataFrame":
        """Add computed columns to a batch, and its values to the statistics."""
        # Expectations ignore nulls, so a null becomes an empty text, which they refuse.
        table = pa.table(
            {name: pc.fill_null(batch[name], "") if name in _TEXT_COLUMNS else batch[name] for name in DOCUMENT.names}
        )
        characters = pc.utf8_length(table["text"])
        bad = pc.add(*(pc.count_substring(table["text"], mark) for mark in BAD_CHARACTERS))
        share = pc.divide(pc.cast(bad, pa.float64()), pc.cast(pc.max_element_wise(characters, 1), pa.float64()))
        texts, ids = table["text"].to_pylist(), table["id"].to_pylist()
        shard = self._shards[-1]
        shard.rows += table.num_rows
        shard.bytes += pc.sum(pc.binary_length(table["text"])).as_py() or 0
        shard.characters += pc.sum(characters).as_py() or 0
        self._kinds.update(table["kind"].to_pylist())
        self._count(ids)
        rows = table.drop_columns(["text"]).to_pandas()
        rows["text"] = texts
        rows["content_hash"] = [document_id(text) for text in texts]
        rows["metadata_type"] = [_json_type(value) for value in table["metadata"].to_pylist()]
        rows["bad_character_fraction"] = share.to_numpy()
        return rows

    def _count(self, ids: list[str]) -> None:
        for name in ids:
            digest = hashlib.blake2b(name.encode(), digest_size=16).digest()  # malformed ids may be long
            if digest in self._seen:
                self._repeated[name[:64]] += 1
            self._seen.add(digest)


def _batches(path: Path, file: pq.ParquetFile) -> Iterator[pa.Table]:
    """Row groups of a shard, joined up to BATCH_ROWS or BATCH_BYTES; a row group of more than ROWS_PER_GROUP rows is read in
    pieces."""
    parts: list[pa.RecordBatch] = []
    for group in range(file.num_row_groups):
        for part in _row_group(path, file, group):
            parts.append(part)
            full = sum(p.num_rows for p in parts) + ROWS_PER_GROUP > BATCH_ROWS
            if full or sum(p.nbytes for p in parts) > BATCH_BYTES:
                yield pa.Table.from_batches(parts)
                parts = []
    if parts:
        yield pa.Table.from_batches(parts)


def _row_group(path: Path, file: pq.ParquetFile, group: int) -> Iterator[pa.RecordBatch]:
    try:
        yield from file.iter_batches(ROWS_PER_GROUP, row_groups=[group], columns=DOCUMENT.names)
    except (pa.ArrowInvalid, OSError) as error:
        raise StepError(
            f"{path}: row group {group} of {file.num_row_groups} cannot be read ({error}); "
            "run the step that wrote it again"
        ) from error


def _json_type(text: str) -> str:
    """JSON type of a text: object, array, string, number, boolean, null, or not JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "not JSON"
    return _JSON_TYPES.get(type(value), "null")
