"""Files of many texts: JSON lines and Parquet. A row's own kind, source and licence come before the source's."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from components.documents import KINDS, Document
from components.ingestion.files import SourceFile
from components.ingestion.readers.base import Limits, Quarantined, Read
from components.params import Source

CREATED_BY = "file-reader/1"
TEXT = "text"
_HELD = 1 << 24  # bytes of a Parquet file's rows taken at once
_BLANK = 1_000_000  # lines in a row, at most
_SKIPPED = 1 << 20  # bytes of a too long line that are passed over at once


def read_jsonl(file: SourceFile, limits: Limits) -> Read:
    """One JSON object a line with at least its text; packed or not. Other keys go to the metadata."""
    with file.open() as stream:
        for number, line in enumerate(bounded_lines(stream, limits.line_bytes), start=1):
            if isinstance(line, int):
                reason = (
                    f"a line of {line:,} bytes, over the {limits.line_bytes:,} that a document and its metadata take"
                )
                yield Quarantined(file.name, number, reason)
                continue
            if not line.strip():
                continue
            try:
                row = json.loads(line)
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
        held = schema.field(column).type
        if not (pa.types.is_string(held) or pa.types.is_large_string(held) or pa.types.is_string_view(held)):
            yield Quarantined(file.name, 0, f"its column {column!r} holds {held}, not strings")
            return
        number = 0
        for group in range(table.num_row_groups):
            at_once = _rows_at_once(table.metadata.row_group(group))
            for batch in table.iter_batches(batch_size=at_once, row_groups=[group]):
                for row in batch.to_pylist():
                    number += 1
                    yield row_document(row, file.name, number, file.source)


def _rows_at_once(group: Any) -> int:
    """As many as come to _HELD bytes, by the mean of the row group; at least one."""
    return max(1, min(1_024, _HELD * group.num_rows // max(1, group.total_byte_size)))


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
    if not isinstance(text, str) or not text.strip():
        return Quarantined(name, number, f"has no {column!r}, or an empty one")
    kind = row.get("kind") if source.kind == "auto" else source.kind
    document = Document(
        text=text,
        kind=kind if isinstance(kind, str) and kind in KINDS else "prose",
        source=str(row.get("source") or row.get("url") or f"{name}:{number}"),
        license=str(row.get("license") or license or source.license),
        created_by=str(row.get("created_by") or created_by),
        metadata=json.loads(json.dumps(_extras(row, column, name, number), default=str)),
    )
    if not _is_unicode(document):
        return Quarantined(name, number, "holds half a surrogate pair: broken Unicode")
    return document


def _extras(row: dict[str, Any], column: str, name: str, number: int) -> dict[str, Any]:
    """What else a row holds; and where it stood, where its source does not say so."""
    extras = {k: v for k, v in row.items() if k not in Document.__slots__ and k != column and v is not None}
    metadata = row.get("metadata")
    if isinstance(metadata, str):
        metadata = _object(metadata)
    extras |= metadata if isinstance(metadata, dict) else {}
    return ({"file": name, "line": number} if row.get("source") or row.get("url") else {}) | extras


def _is_unicode(document: Document) -> bool:
    """Whether UTF-8 can hold every text of a document's row."""
    try:
        for value in document.row().values():
            if isinstance(value, str):
                value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return {"metadata": text}
    return value if isinstance(value, dict) else {"metadata": value}
