"""The Document: the one kind of row that flows from source to tokens, and its Parquet reading and writing.

A document set is a directory of `part-00000.parquet` shards with the schema DOCUMENT. Shards are read and written a
batch at a time, so memory does not grow with the set. Documents that a later run adds are in separate shards,
`part-i00001-00000.parquet`: the set grows by increments, and the first has number 0. What a step drops goes to a ledger
(schema LEDGER): rows in = rows kept + rows in the ledger, always.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import StepError
from components.files import atomic_file, not_a_file
from components.foreign.addresses import all_without_secrets, without_secrets
from components.foreign.confined import inside

KINDS = ("web", "prose", "code", "textbook", "exercise")
GENERATED = frozenset({"textbook", "exercise"})  # kinds that the pipeline generates; the others are people's text
REWRITE = "rephrased_"  # begins the `format`, in the metadata, of a document that is a rewrite of its `seed_document`
PART_OF = "part_of"  # in the metadata of a part of a long text: which part of which text it is

DOCUMENT = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # sha256 of the text, first 32 hex digits
        pa.field("text", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # one of KINDS
        pa.field("source", pa.string(), nullable=False),  # URL, path or dotted name
        pa.field("license", pa.string(), nullable=False),  # SPDX identifier, or "unknown"
        pa.field("created_by", pa.string(), nullable=False),  # reader, crawler, or teacher and prompt id
        pa.field("educational_value", pa.float32()),  # 0 to 5; null until scored
        pa.field("quality", pa.float32()),  # 0 to 1; null until scored
        pa.field("metadata", pa.string(), nullable=False),  # a JSON object
    ]
)

LEDGER = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("step", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("value", pa.float64()),  # the value that failed the rule
        pa.field("threshold", pa.float64()),
        pa.field("detail", pa.string(), nullable=False),  # explanation of the verdict for people
        pa.field("source", pa.string(), nullable=False),
    ]
)

ROWS_PER_GROUP = 2_048  # bounds the memory of a reader; about 4 MB of text
CHARACTERS_PER_GROUP = 16_000_000  # bounds it too, where documents are long


def document_id(text: str) -> str:
    """Content hash of a text: equal texts have equal ids, whatever their source."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(slots=True)
class Document:
    """One row. `id` follows from `text` unless given. Addresses in `source` and `metadata` are stored without
    secrets."""

    text: str
    kind: str
    source: str
    license: str
    created_by: str
    educational_value: float | None = None
    quality: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    id: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is not one of {', '.join(KINDS)} (document from {self.source})")
        self.id = self.id or document_id(self.text)
        self.source = without_secrets(self.source)

    def row(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "text": self.text,
            "kind": self.kind,
            "source": self.source,
            "license": self.license,
            "created_by": self.created_by,
            "educational_value": self.educational_value,
            "quality": self.quality,
            "metadata": json.dumps(all_without_secrets(self.metadata), sort_keys=True, ensure_ascii=False),
        }


@dataclass(slots=True, frozen=True)
class Drop:
    """One ledger row: the document, the rule that it failed and the value."""

    id: str
    step: str
    rule: str
    value: float | None
    threshold: float | None
    detail: str
    source: str

    def row(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in LEDGER.names}


class DocumentWriter:
    """Writes documents to `directory` as shards of at most `rows_per_shard` rows. Use as a context manager."""

    def __init__(self, directory: Path, rows_per_shard: int = 20_000) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.rows_per_shard = rows_per_shard
        self.rows = 0
        self._buffer: list[dict[str, Any]] = []
        self._characters = 0
        self._shard: pq.ParquetWriter | None = None
        self._rows_in_shard = 0
        self._shards = 0

    def write(self, document: Document) -> None:
        row = document.row()
        self._buffer.append(row)
        self._characters += len(row["text"]) + len(row["metadata"])
        self.rows += 1
        room = min(ROWS_PER_GROUP, self.rows_per_shard - self._rows_in_shard)
        if len(self._buffer) >= room or self._characters >= CHARACTERS_PER_GROUP:
            self._flush()

    def write_table(self, table: pa.Table) -> None:
        """Write a table that already has the schema DOCUMENT, after the rows of earlier `write` calls."""
        self._flush()
        table = table.cast(DOCUMENT)
        self.rows += table.num_rows
        offset = 0
        while offset < table.num_rows:
            size = min(ROWS_PER_GROUP, self.rows_per_shard - self._rows_in_shard, table.num_rows - offset)
            self._append(table.slice(offset, size))
            offset += size

    def __enter__(self) -> "DocumentWriter":
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if failed:  # nothing more is written, and an error while closing must not hide the reason
            with suppress(pa.ArrowException, OSError, ValueError):
                self._close_shard()
            return
        self._flush()
        if not self._shards:
            self._append(DOCUMENT.empty_table())  # an empty set is still a readable set
        self._close_shard()

    def _flush(self) -> None:
        if self._buffer:
            self._append(pa.Table.from_pylist(self._buffer, schema=DOCUMENT))
            self._buffer, self._characters = [], 0

    def _append(self, table: pa.Table) -> None:
        if self._shard is None:
            path = self.directory / shard_name(self._shards)
            self._shard = pq.ParquetWriter(path, DOCUMENT, compression="zstd")
            self._shards += 1
        self._shard.write_table(table)
        self._rows_in_shard += table.num_rows
        if self._rows_in_shard >= self.rows_per_shard:
            self._close_shard()

    def _close_shard(self) -> None:
        if self._shard is not None:
            self._shard.close()
            self._shard = None
            self._rows_in_shard = 0


def shards(directory: Path) -> list[Path]:
    """The shards of a document set in order.

    Raises:
        StepError: the directory is missing or has no shard, or a shard is a link that leads out of it or does not have
            the schema DOCUMENT.
    """
    directory = Path(directory)
    paths = sorted(directory.glob("part-*.parquet"))
    if not paths:
        state = "has no part-*.parquet" if directory.is_dir() else "does not exist"
        raise StepError(f"{directory} {state}; expected a document set, as components.ingestion writes it")
    for path in paths:
        inside(directory, path.name, str(directory))
        check_schema(path)
    return paths


def shard_name(number: int, increment: int = 0) -> str:
    """The file name of a shard; those of later increments sort after those of earlier ones."""
    return f"part-i{increment:05d}-{number:05d}.parquet" if increment else f"part-{number:05d}.parquet"


def increments(directory: Path) -> dict[int, list[Path]]:
    """The shards of a document set by the increment that added them, in order.

    Raises:
        StepError: as `shards`.
    """
    found: dict[int, list[Path]] = {}
    for path in shards(directory):
        named = re.match(r"part-i(\d+)-", path.name)
        found.setdefault(int(named[1]) if named else 0, []).append(path)
    return found


def add_increment(
    directory: Path, increment: int, source: Path, put: Callable[[Path, Path], Any] = shutil.copyfile
) -> None:
    """Add the shards of a set to another one, as an increment; of a later increment only those with rows."""
    for number, path in enumerate(shards(source)):
        if not increment or pq.read_metadata(path).num_rows:
            put(path, directory / shard_name(number, increment))


def check_schema(path: Path, schema: pa.Schema = DOCUMENT, name: str = "document") -> None:
    """Refuse a Parquet file without the columns of a schema, naming those that differ. Further columns are ignored."""
    try:
        if reason := not_a_file(path):
            raise OSError(reason)
        found = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise StepError(f"{path} is not a readable Parquet file ({error}); run the step that wrote it again") from error
    wrong = [
        f"{want.name}: expected {want.type}, found {found.field(want.name).type if want.name in found.names else 'no such column'}"
        for want in schema
        if want.name not in found.names or found.field(want.name).type != want.type
    ]
    if wrong:
        raise StepError(f"{path} does not have the {name} schema ({'; '.join(wrong)})")


def read_batches(
    directory: Path, columns: list[str] | None = None, batch_size: int = ROWS_PER_GROUP
) -> Iterator[pa.RecordBatch]:
    """Stream a document set shard by shard, in order."""
    for path in shards(directory):
        yield from shard_batches(path, columns, batch_size)


def read_rows(directory: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Stream the rows of a document set; their metadata is JSON."""
    for batch in read_batches(directory, columns):
        yield from batch.to_pylist()


def document_of(row: dict[str, Any]) -> Document:
    """The document of a row with all columns."""
    return Document(**row | {"metadata": json.loads(row["metadata"])})


def shard_batches(
    path: Path, columns: list[str] | None = None, batch_size: int = ROWS_PER_GROUP
) -> Iterator[pa.RecordBatch]:
    """Stream a shard, at most a row group at a time: a batch of several row groups might contain thousands of books."""
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            batches = file.iter_batches(batch_size=batch_size, row_groups=[number], columns=columns)
            yield from _readable(batches, path)


def _readable(batches: Iterator[pa.RecordBatch], path: Path) -> Iterator[pa.RecordBatch]:
    """The batches; a damaged file is named."""
    while True:
        try:
            batch = next(batches)
            batch.validate(full=True)  # also that texts are UTF-8
        except StopIteration:
            return
        except (pa.ArrowException, OSError) as error:
            raise StepError(f"{path} is damaged ({error}); run the step that wrote it again") from error
        yield batch


def metadata_of(text: str, name: str) -> dict[str, Any]:
    """The metadata of a row, from their JSON.

    Args:
        name: what identifies the row, such as its id.

    Raises:
        StepError: they are not a JSON object.
    """
    try:
        found = json.loads(text)
        if isinstance(found, dict):
            return found
        reason = f"a {type(found).__name__}"
    except (TypeError, ValueError, RecursionError) as error:
        reason = str(error)
    raise StepError(f"document {name}: metadata is not a JSON object ({reason}); run the step that wrote it again")


def count_documents(directory: Path) -> int:
    """Rows of a document set, from the Parquet footers alone."""
    return sum(pq.read_metadata(path).num_rows for path in shards(directory))


class LedgerWriter:
    """Writes drops to a Parquet file, a batch at a time. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.rows = 0
        self._writer = pq.ParquetWriter(path, LEDGER, compression="zstd")
        self._buffer: list[dict[str, Any]] = []

    def write(self, drop: Drop) -> None:
        self._buffer.append(drop.row())
        self.rows += 1
        if len(self._buffer) == ROWS_PER_GROUP:
            self._flush()

    def __enter__(self) -> "LedgerWriter":
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if not failed:
            self._flush()
            self._writer.close()
            return
        with suppress(pa.ArrowException, OSError, ValueError):
            self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._buffer, schema=LEDGER))
        self._buffer = []


def write_ledger(path: Path, drops: Iterable[Drop]) -> int:
    """Write a ledger atomically and return its number of rows."""
    with atomic_file(path) as partial, LedgerWriter(partial) as writer:
        for drop in drops:
            writer.write(drop)
    return writer.rows


def join_ledgers(path: Path, ledgers: Sequence[Path]) -> None:
    """Write ledgers one after another into one."""
    with pq.ParquetWriter(path, LEDGER, compression="zstd") as writer:
        for ledger in ledgers:
            with pq.ParquetFile(ledger) as file:
                for number in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(number))


def read_ledger(path: Path) -> Iterator[Drop]:
    """Stream a ledger, in order.

    Raises:
        StepError: the file is not there or damaged, or it is not a ledger.
    """
    check_schema(path, LEDGER, "ledger")
    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(batch_size=ROWS_PER_GROUP, columns=LEDGER.names)
        for batch in _readable(batches, path):
            yield from (Drop(**row) for row in batch.to_pylist())


def check_balance(step: str, rows_in: int, kept: int, dropped: int) -> None:
    """Check that rows in = rows kept + rows in the ledger. A difference is a defect of the step, never of the data."""
    if rows_in != kept + dropped:
        raise AssertionError(f"{step}: {rows_in} rows in, but {kept} kept + {dropped} in the ledger")
