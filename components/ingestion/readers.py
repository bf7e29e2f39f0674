"""Readers: from one file to documents. What cannot be read is quarantined and named, never fatal, never lost.

A reader yields `Document`s and `Quarantined` entries in the order of the file, a row at a time.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.documents import KINDS, Document
from components.ingestion.python_library import read_module
from components.params import Source


@dataclass(frozen=True)
class Quarantined:
    """What was not read: the file, the line or row (from 1; 0 for the whole file) and the reason."""

    file: str
    line: int
    reason: str

    def row(self) -> dict[str, Any]:
        return asdict(self)


Read = Iterator[Document | Quarantined]
Reader = Callable[[Path, str, Source], Read]

CREATED_BY = "file-reader/1"
BOM_BYTES, MAX_CHAR_BYTES = 3, 4  # of UTF-8


def read_text(path: Path, name: str, source: Source) -> Read:
    """A txt, md, rst or py file as one document."""
    text = path.read_bytes().decode("utf-8-sig")
    if "\x00" in text:
        yield Quarantined(name, 0, "holds NUL bytes: a binary file, not text")
    elif not text.strip():
        yield Quarantined(name, 0, "is empty")
    else:
        kind = "code" if path.suffix.lower() == ".py" else "prose"
        yield Document(
            text=text,
            kind=kind if source.kind == "auto" else source.kind,
            source=name,
            license=source.license,
            created_by=CREATED_BY,
        )


def read_jsonl(path: Path, name: str, source: Source) -> Read:
    """One JSON object a line with at least `text`; jsonl.gz too. Other keys go to the metadata."""
    open_file = gzip.open if path.suffix == ".gz" else open
    with open_file(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:  # also a number of too many digits, and too many brackets
                yield Quarantined(name, number, f"is not JSON ({error})")
                continue
            yield row_document(row, name, number, source)


def read_parquet(path: Path, name: str, source: Source) -> Read:
    """A Parquet file with at least a string column `text`; other columns go to the metadata."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        if "text" not in file.schema_arrow.names:
            yield Quarantined(name, 0, f"has no column 'text'; its columns: {', '.join(file.schema_arrow.names)}")
            return
        number = 0
        for batch in file.iter_batches(batch_size=1_024):
            for row in batch.to_pylist():
                number += 1
                yield row_document(row, name, number, source)


def row_document(row: Any, name: str, number: int, source: Source) -> Document | Quarantined:
    """A row of JSONL or Parquet as a document; the row's own kind, source and licence come first."""
    if not isinstance(row, dict):
        return Quarantined(name, number, f"holds a {type(row).__name__}; expected an object with 'text'")
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        return Quarantined(name, number, "has no 'text', or an empty one")
    kind = row.get("kind") if source.kind == "auto" else source.kind
    extras = {k: v for k, v in row.items() if k not in Document.__slots__ and v is not None}
    metadata = row.get("metadata")
    if isinstance(metadata, str):
        metadata = _object(metadata)
    extras |= metadata if isinstance(metadata, dict) else {}
    document = Document(
        text=text,
        kind=kind if kind in KINDS else "prose",
        source=str(row.get("source") or row.get("url") or f"{name}:{number}"),
        license=str(row.get("license") or source.license),
        created_by=str(row.get("created_by") or CREATED_BY),
        metadata=json.loads(json.dumps(extras, default=str)),
    )
    if not _is_unicode(document):
        return Quarantined(name, number, "holds half a surrogate pair: broken Unicode")
    return document


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


def read_library(path: Path, name: str, source: Source) -> Read:
    """A file of the Python library, definition by definition."""
    yield from read_module(path)


READERS: dict[str, Reader] = {
    ".txt": read_text,
    ".md": read_text,
    ".rst": read_text,
    ".py": read_text,
    ".jsonl": read_jsonl,
    ".jsonl.gz": read_jsonl,
    ".parquet": read_parquet,
}


def reader_of(path: Path) -> Reader | None:
    """The reader for a file by its name's ending, or None."""
    name = path.name.lower()
    return READERS.get(".jsonl.gz" if name.endswith(".jsonl.gz") else Path(name).suffix)


def read_file(path: Path, name: str, source: Source, max_chars: int) -> Read:
    """Read one file; an unreadable one, or one that breaks off, becomes a quarantine entry after what was read."""
    reader = read_library if source.path == "python" else reader_of(path)
    if reader is None:
        raise ValueError(f"no reader for {path}")
    import pyarrow as pa

    try:
        if reader is read_text and (size := path.stat().st_size) > BOM_BYTES + MAX_CHAR_BYTES * max_chars:
            reason = f"{size:,} bytes, more than ingestion.max_document_chars {max_chars:,} characters can take"
            yield Quarantined(name, 0, reason)  # unread, since it would have to be in memory as a whole
            return
        for item in reader(path, name, source):
            if isinstance(item, Document) and len(item.text) > max_chars:
                reason = f"{len(item.text):,} characters, over ingestion.max_document_chars {max_chars:,}"
                yield Quarantined(item.source, 0, reason)
            else:
                yield item
    except UnicodeDecodeError as error:
        yield Quarantined(name, 0, f"is not UTF-8 (byte {error.start}: {error.reason}); convert it")
    except (SyntaxError, RecursionError) as error:
        yield Quarantined(name, 0, f"is not Python source: {error}")
    except (OSError, EOFError, zlib.error, pa.ArrowException, ValueError) as error:
        yield Quarantined(name, 0, f"cannot be read to its end: {type(error).__name__}: {error}")
