"""Files of many texts: JSON lines and Parquet. A row's own kind, source and licence come before the source's."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from components.documents import KINDS, Document
from components.ingestion.files import SourceFile
from components.ingestion.readers.base import MAX_ROW_METADATA, Limits, Quarantined, Read
from components.ingestion.readers.decoding import UTF8
from components.params import Source

CREATED_BY = "file-reader/1"
TEXT = "text"
_HELD = 1 << 24  # bytes of a Parquet file's rows taken at once, by what its footer says
_ROWS = 16  # so many at most: an encoding may repeat a huge value for a few bytes, and the footer counts only those
_PACKING = 20  # text packs to a third; what packs to less than one in so many may be such a value
_DEEPEST = 50  # lists and objects within each other; more break whatever reads them next
_BOMB = 200  # a row group that packs to less than one in so many, and is larger than the next, isn't unpacked
_BOMB_BYTES = 1 << 29  # Arrow unpacks a page at once, and a page may be all of it
_BLANK = 1_000_000  # lines in a row, at most
_SKIPPED = 1 << 20  # bytes of a too long line that are passed over at once


def read_jsonl(file: SourceFile, limits: Limits) -> Read:
    """One JSON object a line with at least its text; packed or not. Other keys go to the metadata."""
    most_values = (
        limits.max_chars + MAX_ROW_METADATA
    )  # each takes dozens of bytes of memory; a text has no more of them
    with file.open() as stream:
        for number, line in enumerate(bounded_lines(stream, limits.line_bytes), start=1):
            if isinstance(line, int):
                reason = (
                    f"a line of {line:,} bytes, over the {limits.line_bytes:,} that a document and its metadata take"
                )
                yield Quarantined(file.name, number, reason)
                continue
            if number == 1 and not (encoding := json.detect_encoding(line)).startswith(UTF8):
                yield Quarantined(file.name, 0, f"seems to be {encoding}, and JSON lines are UTF-8; convert it")
                return
            if not line.strip():
                continue
            if len(line) > most_values and sum(map(line.count, (b",", b"[", b"{"))) > most_values:
                yield Quarantined(file.name, number, f"holds more than {most_values:,} commas and brackets")
                continue
            try:
                row = json.loads(str(line, "utf-8-sig"))
            except (ValueError, RecursionError) as error:  # also a number of too many digits, and too many brackets
                yield Quarantined(file.name, number, f"is not JSON ({error})")
                continue
            yield row_document(row, file.name, number, file.source)


def bounded_lines(stream: BinaryIO, most: int) -> Iterator[bytes | int]:
    """Lines of at most `most` bytes; in place of a longer one its length, none of which is kept.

    Raises:
        ValueError: a bomb of line ends, which would take minutes to count.
    """
    blank = 0
    while line := stream.readline(most + 1):
        if len(line) <= most or line.endswith(b"\n"):
            blank = blank + 1 if line.isspace() else 0
            if blank > _BLANK:
                raise ValueError(f"more than {_BLANK:,} blank lines in a row")
            yield line
            continue
        length = len(line)
        while not line.endswith(b"\n") and (line := stream.readline(_SKIPPED)):
            length += len(line)
        yield length


def read_parquet(file: SourceFile, limits: Limits) -> Read:
    """A Parquet file with at least a string column for the text; other columns go to the metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = file.source.text_column or TEXT
    with file.open() as stream, pq.ParquetFile(stream) as table:
        schema = table.schema_arrow
        if column not in schema.names:
            yield Quarantined(file.name, 0, f"has no column {column!r}; its columns: {', '.join(schema.names)}")
            return
        if (same := schema.names.count(column)) > 1:
            yield Quarantined(
                file.name, 0, f"has {same} columns named {column!r}; rename all but the one with the text"
            )
            return
        held = schema.field(column).type
        if not (pa.types.is_string(held) or pa.types.is_large_string(held) or pa.types.is_string_view(held)):
            yield Quarantined(file.name, 0, f"its column {column!r} holds {held}, not strings")
            return
        number = 0
        for group in range(table.num_row_groups):
            facts = table.metadata.row_group(group)
            packed = sum(facts.column(i).total_compressed_size for i in range(facts.num_columns))
            if facts.total_byte_size > max(_BOMB_BYTES, _BOMB * packed):
                sizes = f"{packed:,} bytes to {facts.total_byte_size:,}"
                yield Quarantined(file.name, number + 1, f"its row group would unpack from {sizes}: a bomb, not text")
                number += facts.num_rows
                continue
            at_once = _rows_at_once(facts, packed)
            for batch in table.iter_batches(batch_size=at_once, row_groups=[group]):
                for values in zip(*batch.columns, strict=True):  # one by one: a broken value costs no other row
                    number += 1
                    row = {name: _python(value) for name, value in zip(schema.names, values, strict=True)}
                    yield row_document(row, file.name, number, file.source)


def _rows_at_once(group: Any, packed: int) -> int:
    """As many as come to _HELD bytes, by the mean of the row group; one by one where it packs as no text does."""
    if group.total_byte_size > _PACKING * packed:
        return 1
    return max(1, min(_ROWS, _HELD * group.num_rows // max(1, group.total_byte_size)))


def _python(value: Any) -> Any:
    """A value of Arrow as one of Python, or what stands for one that Python does not have."""
    try:
        return value.as_py()
    except UnicodeDecodeError as error:
        return Unreadable(f"is not UTF-8 (byte {error.start}: {error.reason})")
    except (ValueError, ArithmeticError, LookupError, TypeError, NotImplementedError) as error:
        return Unreadable(f"is no {value.type} that can be read ({error})")  # a year after 9999, an unknown time zone


@dataclass(frozen=True)
class Unreadable:
    """A value that is there and cannot be read; it costs its field, or its row if it is the text."""

    reason: str

    def __str__(self) -> str:
        return f"unreadable: {self.reason}"


class TooDeep(ValueError):
    """Lists or objects within each other, more than _DEEPEST."""


def row_document(
    row: Any, name: str, number: int, source: Source, license: str = "", created_by: str = CREATED_BY
) -> Document | Quarantined:
    """A row as a document; the row's own kind, source and licence come first.

    Args:
        name: of the file, and `number` of the row in it, from 1.
        license: what holds for rows that name none, where that is not what the source says.
    """
    column = source.text_column or TEXT
    if not isinstance(row, dict):
        return Quarantined(name, number, f"holds a {type(row).__name__}; expected an object with {column!r}")
    text = row.get(column)
    if isinstance(text, Unreadable):
        return Quarantined(name, number, f"its {column!r} {text.reason}")
    if not isinstance(text, str) or not text.strip():
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
    """A value as JSON holds it: null for what is no number, a string for what is of another type.

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
    """What else a row holds; and where it stood, where its source does not say so.

    Args:
        taken: keys that the document itself holds, beside those that it always does.
    """
    taken |= {"source", "license", "created_by", "metadata"}
    extras = {key: value for key, value in row.items() if key not in taken and value is not None}
    metadata = row.get("metadata")
    if isinstance(metadata, str):
        metadata = _object(metadata)
    extras |= metadata if isinstance(metadata, dict) else {}
    where = {"file": name, "line": number} if row.get("source") or row.get("url") else {}
    return {f"source_{key}" if key in where else key: value for key, value in extras.items()} | where


def _object(text: str) -> dict[str, Any]:
    """Metadata that stand in a string of JSON; as the string where it is none, or none that can be read."""
    try:
        value = _json(json.loads(text))
    except (ValueError, RecursionError):  # also too many digits, or too deep
        return {"metadata": text}
    return value if isinstance(value, dict) else {"metadata": value}
