"""Rows as documents, and the reader of Parquet. A row's own kind, source and licence take precedence over the source's."""

import io
import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, TypeVar

from components.documents import KINDS, Document
from components.ingestion.files import SourceFile
from components.ingestion.parsing.parquet_footer import MAGIC
from components.ingestion.readers.base import BOMB, BOMB_BYTES, Budget, Limits, Quarantined, Read
from components.ingestion.readers.columns import TEXT, TYPES, Columns
from components.ingestion.readers.isolation import Job, parser
from components.params import Source

CREATED_BY = "file-reader/1"
TAKEN = "taken_for_text"  # in the metadata: the column used as the text, if no parameter names it
SECONDS = 10  # maximum CPU time for the footer of a Parquet file
_TRAILER = struct.Struct("<I4s")  # of a Parquet file: its footer's length
_HELD = 1 << 24  # bytes of a Parquet file's rows read at once, by its footer
_ROWS = 16  # maximum rows: an encoding may repeat a huge value in a few bytes, and the footer counts only those
_PACKING = 20  # text compresses to a third; data that compress by more than this factor may repeat such a value
_OBJECT = 64  # approximate bytes of a Python object
_DEEPEST = 50  # maximum nesting of lists and objects; deeper ones break later readers
_SAMPLED, _SAMPLED_CHARS = 100, 1_000_000  # rows, or characters of them, that decide which column has the text

Row = tuple[int, Any]  # its number, from 1, and its content
Rows = Iterator[Quarantined | Row]
Item = TypeVar("Item")


def row_documents(rows: Rows, file: SourceFile) -> Read:
    """Rows as documents. If the source names no column for the text, the first rows decide. If they leave a doubt or have no
    such column, the file is refused, and the reason names its fields and the remedy.
    """
    source = file.source
    first, rows = peeked(rows)
    columns = Columns.of(row[1] for row in first if not isinstance(row, Quarantined) and isinstance(row[1], dict))
    column = source.text_column or columns.text()
    if columns.types and column not in columns.types:
        named = json.dumps(columns.likeliest() or "NAME")
        flag = f"--set 'ingestion.sources=[{{path: {json.dumps(source.path)}, text_column: {named}}}]'"
        yield Quarantined(file.name, 0, columns.refusal(f"the source {source.path!r} ({flag})", source.text_column))
        return
    taken = {TAKEN: column} if column not in (TEXT, source.text_column) else {}
    source = source.model_copy(update={"text_column": column})
    for row in rows:
        item = row if isinstance(row, Quarantined) else row_document(row[1], file.name, row[0], source)
        if isinstance(item, Document):
            item.metadata |= taken
        yield item


def peeked(rows: Iterator[Item]) -> tuple[list[Item], Iterator[Item]]:
    """The first rows, and all rows from the start. An error among the first rows is raised again after them."""
    first: list[Item] = []
    failure: Exception | None = None
    held = 0
    try:
        while len(first) < _SAMPLED and held < _SAMPLED_CHARS and (row := next(rows, None)) is not None:
            first.append(row)
            held += _size(row)
    except Exception as error:  # noqa: BLE001 - raised again, in its place
        failure = error

    def all_rows() -> Iterator[Item]:
        yield from first
        if failure:
            raise failure
        yield from rows

    return first, all_rows()


def _size(row: Any) -> int:
    """The approximate number of characters in a row, with nested values."""
    try:
        return len(repr(row))
    except RecursionError:
        return _SAMPLED_CHARS


class RowGroup(NamedTuple):
    """The size of a row group of a Parquet file, from its footer."""

    rows: int
    unpacked: int  # bytes
    packed: int


def read_parquet(file: SourceFile, limits: Limits) -> Read:
    """The rows of a Parquet file with a string column for the text; other columns go to the metadata."""
    import pyarrow.parquet as pq

    with file.open() as stream:
        groups = _row_groups(stream)
        with pq.ParquetFile(stream) as table:
            names = table.schema_arrow.names
            column = file.source.text_column or (TEXT if TEXT in names else "")
            reason = _unfit(table.schema_arrow, column) if column else ""
            if reason:
                yield Quarantined(file.name, 0, reason)
                return
            budget = Budget(stream.seek(0, io.SEEK_END))
            yield from row_documents(_table_rows(table, groups, file.name, budget), file)


def _row_groups(stream: BinaryIO) -> list[RowGroup]:
    """The row groups of a Parquet file; empty if it has no footer, which its reader reports.

    Raises:
        Refused: the footer breaks the parser.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - _TRAILER.size))
    trailer = stream.read(_TRAILER.size)
    length, magic = _TRAILER.unpack(trailer) if len(trailer) == _TRAILER.size else (0, b"")
    if magic != MAGIC or length > size - _TRAILER.size:
        return []
    stream.seek(size - _TRAILER.size - length)
    found = parser().ask(stream.read(length) + trailer, Job("parquet_footer", SECONDS))
    return [RowGroup(*sizes) for sizes in found["groups"]]


def _unfit(schema: Any, column: str) -> str:
    """Why a column of a Parquet file cannot be the text, or an empty string."""
    import pyarrow as pa

    if column not in schema.names:
        return f"has no column {column!r}, which text_column names; its columns: {', '.join(schema.names)}"
    if (same := schema.names.count(column)) > 1:
        return f"has {same} columns named {column!r}; rename all but the one with the text"
    held = schema.field(column).type
    held = held.value_type if pa.types.is_dictionary(held) else held
    strings = ("is_string", "is_large_string", "is_string_view")
    # Older writers do not mark strings.
    unmarked = ("is_binary", "is_large_binary", "is_binary_view", "is_fixed_size_binary")
    is_string = any(getattr(pa.types, check)(held) for check in (*strings, *unmarked))
    return "" if is_string else f"its column {column!r} holds {held}, not strings"


def _table_rows(table: Any, groups: list[RowGroup], name: str, budget: Budget) -> Rows:
    """The rows of a table.

    Raises:
        Refused: its values exceed the budget: Parquet repeats a huge value in a few bits.
    """
    number = 0
    names = table.schema_arrow.names
    for place, group in enumerate(groups):
        if group.unpacked > max(BOMB_BYTES, BOMB * group.packed):
            sizes = f"{group.packed:,} bytes to {group.unpacked:,}"
            yield Quarantined(
                name, number + 1, f"its row group would unpack from {sizes}: a decompression bomb, not text"
            )
            number += group.rows
            continue
        for batch in table.iter_batches(batch_size=_rows_at_once(group), row_groups=[place]):
            for values in zip(*batch.columns, strict=True):  # one by one: a broken value affects no other row
                number += 1
                budget.spend(sum(map(_weight, values)))
                yield number, {name: _python(value) for name, value in zip(names, values, strict=True)}


def _rows_at_once(group: RowGroup) -> int:
    """The number of rows in _HELD bytes, by the mean of the row group; 1 if it is compressed more than text can be."""
    if group.unpacked > _PACKING * group.packed:
        return 1
    return max(1, min(_ROWS, _HELD * group.rows // max(1, group.unpacked)))


def _python(value: Any) -> Any:
    """A value of Arrow as a value of Python, or `Unreadable` if that is not possible."""
    if _is_nested(value.type) and (weight := _weight(value)) > _HELD:
        return Unreadable(f"holds lists or objects of {weight:,} bytes; at most {_HELD:,} are read")
    try:
        held = value.as_py()
        return held.decode() if isinstance(held, bytes) else held
    except UnicodeDecodeError as error:
        return Unreadable(f"is not UTF-8 (byte {error.start}: {error.reason})")
    except (ValueError, ArithmeticError, LookupError, TypeError, NotImplementedError) as error:
        return Unreadable(f"is not a readable {value.type} ({error})")  # a year after 9999, an unknown time zone


def _is_nested(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_nested(kind) or pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind)


def _weight(value: Any) -> int:
    """The approximate bytes of a value as a Python object, computed without making it."""
    import pyarrow as pa

    if not value.is_valid:
        return 0
    if isinstance(value, pa.DictionaryScalar):
        return _weight(value.dictionary[value.index.as_py()])
    if isinstance(value, pa.StructScalar):
        return sum(map(_weight, value.values()))
    if isinstance(
        value, pa.ListScalar | pa.LargeListScalar | pa.FixedSizeListScalar | pa.ListViewScalar | pa.MapScalar
    ):
        return _weight_of_all(value.values)
    buffer = value.as_buffer() if hasattr(value, "as_buffer") else None
    return _OBJECT + (buffer.size if buffer else 0)


def _weight_of_all(values: Any) -> int:
    """The approximate bytes of all values of an array as Python objects."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, objects = values.type, _OBJECT * len(values)
    if pa.types.is_dictionary(kind):
        if _is_nested(kind.value_type):
            return objects * max(1, _weight_of_all(values.dictionary))
        return objects + (pc.sum(_lengths(values.dictionary).take(values.indices)).as_py() or 0)
    if pa.types.is_struct(kind):
        return objects + sum(map(_weight_of_all, values.flatten()))
    if pa.types.is_nested(kind):
        return objects + _weight_of_all(values.flatten())
    return objects + (pc.sum(_lengths(values)).as_py() or 0)


def _lengths(values: Any) -> Any:
    """Bytes of each text of an array; None if it has another type."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.cast(pc.binary_length(values), pa.int64())
    except pa.ArrowNotImplementedError:
        return pa.nulls(len(values), pa.int64())


@dataclass(frozen=True)
class Unreadable:
    """A value that exists and cannot be read; its field is left out, or its row if it is the text."""

    reason: str

    def __str__(self) -> str:
        return f"unreadable: {self.reason}"


class TooDeep(ValueError):
    """Lists or objects are nested more than _DEEPEST deep."""


def row_document(
    row: Any, name: str, number: int, source: Source, license: str = "", created_by: str = CREATED_BY
) -> Document | Quarantined:
    """A row as a document; the row's own kind, source and licence take precedence.

    Args:
        name: of the file, and `number` of the row in it, from 1.
        license: for rows that name none, if it differs from the source's.
    """
    column = source.text_column or TEXT
    if not isinstance(row, dict):
        return Quarantined(name, number, f"holds a {type(row).__name__}; expected an object with {column!r}")
    text = row.get(column)
    if isinstance(text, Unreadable):
        return Quarantined(name, number, f"its {column!r} {text.reason}")
    if text is not None and not isinstance(text, str):
        held = TYPES.get(type(text), type(text).__name__)
        remedy = "; write one row for each of its texts, or join them" if isinstance(text, list) and text else ""
        return Quarantined(name, number, f"its {column!r} holds a value of type {held}; expected a string{remedy}")
    if not text or not text.strip():
        return Quarantined(name, number, f"has no {column!r}, or an empty one")
    try:
        row = _json(row)
    except TooDeep:
        return Quarantined(name, number, f"nests lists or objects more than {_DEEPEST} deep")
    kind = row.get("kind") if source.kind == "auto" else source.kind
    kind = kind if isinstance(kind, str) and kind in KINDS else "prose"
    return Document(
        text=text,
        kind=kind,
        source=str(row.get("source") or row.get("url") or f"{name}:{number}"),
        license=str(row.get("license") or license or source.license),
        created_by=str(row.get("created_by") or created_by),
        metadata=_extras(row, {column, *(("kind",) if row.get("kind") == kind else ())}, name, number),
    )


def _json(value: Any, levels: int = _DEEPEST) -> Any:
    """A value that JSON can represent: null for NaN and infinity, a string for other types.

    Raises:
        TooDeep: it has more levels.
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, dict | list | tuple):
        return str(value)
    if levels < 0:
        raise TooDeep
    if isinstance(value, dict):
        return {str(key): _json(held, levels - 1) for key, held in value.items()}
    return [_json(held, levels - 1) for held in value]


def _extras(row: dict[str, Any], taken: set[str], name: str, number: int) -> dict[str, Any]:
    """The other fields of a row, and its place in the file if its source does not give it.

    Args:
        taken: keys that the document has besides those that every document has.
    """
    taken |= {"source", "license", "created_by", "metadata"}
    extras = {key: value for key, value in row.items() if key not in taken and value is not None}
    metadata = row.get("metadata")
    if isinstance(metadata, str):
        metadata = _object(metadata)
    extras |= metadata if isinstance(metadata, dict) else {}
    where = {"file": name, "line": number} if row.get("source") or row.get("url") else {}
    return {f"source_{key}" if key in (*where, TAKEN) else key: value for key, value in extras.items()} | where


def _object(text: str) -> dict[str, Any]:
    """Metadata from a string of JSON; if it is not a readable JSON object, with the string itself."""
    try:
        value = _json(json.loads(text))
    except (ValueError, RecursionError):  # also for too many digits or too deep nesting
        return {"metadata": text}
    return value if isinstance(value, dict) else {"metadata": value}
