"""Readers turn one file into documents. Unreadable parts are quarantined and named, never fatal, never lost.

A reader yields `Document`s and `Quarantined` entries in the order of the file, one row at a time. `formats.py` assigns a
reader to each file; its module, and the libraries that it needs, are loaded when the first file of that format is read.
"""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

from components.documents import Document
from components.errors import StepError, is_panic
from components.ingestion.files import BROKEN, SourceFile
from components.ingestion.python_library import read_module
from components.ingestion.readers.base import (
    MAX_NAME,
    MAX_REFUSED,
    MAX_ROW_METADATA,
    NUL,
    REPLACEMENT,
    WRONG_BYTES,
    Limits,
    NotText,
    Quarantined,
    Read,
    Reader,
    Refused,
    TooLong,
    is_scarcity,
    no_file,
    nul_in,
)

__all__ = ["Limits", "Quarantined", "Read", "read_file"]


def read_file(file: SourceFile, limits: Limits) -> Read:
    """Read one file. For an unreadable or truncated file, a quarantine entry follows the documents that were read. Each file
    gives at least one document or entry.

    Raises:
        StepError: this machine ran out of memory, file handles or disk space for an archive's members.
    """
    import pyarrow as pa

    name = file.name
    if reason := file.refused or no_file(file.location):
        yield Quarantined(name, 0, reason)
        return
    is_silent = file.source.path != "python"  # packages of the library may contain only other modules
    try:
        refused = 0  # in a row
        for item in _reader(file)(file, limits):
            is_silent = False
            if isinstance(item, Document):
                item = _taken(item, name, limits)
            yield item
            refused = refused + 1 if isinstance(item, Quarantined) else 0
            if refused >= MAX_REFUSED:
                yield Quarantined(
                    name, 0, f"{refused:,} consecutive rows could not be read; the rest of the file is not read"
                )
                return
        if is_silent:
            yield Quarantined(name, 0, "contains no document")
    except (NotText, Refused, TooLong) as error:
        yield Quarantined(name, 0, str(error))
    except UnicodeDecodeError as error:
        yield Quarantined(name, 0, f"is not UTF-8 (byte {error.start}: {error.reason}); convert it")
    except (SyntaxError, RecursionError) as error:
        yield Quarantined(name, 0, f"is not Python source: {error}")
    except (*BROKEN, pa.ArrowException, ValueError, MemoryError) as error:
        if is_scarcity(error):
            raise StepError(
                f"{name} cannot be read, since memory, file handles or disk space ran out ({type(error).__name__}: {error}); "
                "give the step more of them, or reduce engine.workers, and run again"
            ) from error
        yield Quarantined(name, 0, f"cannot be read to its end: {type(error).__name__}: {error}")
    except BaseException as error:
        if not is_panic(error):
            raise
        yield Quarantined(name, 0, f"cannot be read to its end: {error}")


def _taken(document: Document, name: str, limits: Limits) -> Document | Quarantined:
    """The document with U+FFFD for its NULs, or the quarantine entry if it is refused."""
    if reason := _refusal(document, limits):
        return Quarantined(name, _line(document, name), reason)
    nuls = document.text.count(NUL)
    if not nuls:
        return document
    counted = document.metadata.get(WRONG_BYTES)
    wrong = {WRONG_BYTES: nuls + (counted if isinstance(counted, int) else 0)}
    text = document.text.replace(NUL, REPLACEMENT)
    return replace(document, text=text, id="", metadata=document.metadata | wrong)


def _refusal(document: Document, limits: Limits) -> str:
    """Why a document is refused, whatever its reader; or an empty string."""
    if len(document.text) > limits.max_chars:
        return f"{len(document.text):,} characters, over ingestion.max_document_chars {limits.max_chars:,}"
    if reason := nul_in(document.text):
        return reason
    row = {name: value for name, value in document.row().items() if isinstance(value, str)}
    for name in ("source", "license", "created_by"):
        if len(row[name]) > MAX_NAME:
            return f"its {name} has {len(row[name]):,} characters, over {MAX_NAME:,}"
    if len(row["metadata"]) > MAX_ROW_METADATA:
        return f"its metadata have {len(row['metadata']):,} characters, over {MAX_ROW_METADATA:,}"
    try:
        for value in row.values():
            value.encode()
    except UnicodeEncodeError as error:
        return f"holds half a surrogate pair ({error.object[error.start]!a}): broken Unicode"
    return ""


def _line(document: Document, name: str) -> int:
    """The line, row or record of a document in its file, by its provenance; 0 = the whole file."""
    own = document.source.removeprefix(f"{name}:")
    places = [own if own != document.source else "", *map(document.metadata.get, ("line", "row", "record"))]
    return next((int(place) for place in map(str, places) if place.isdecimal()), 0)


def read_library(file: SourceFile, limits: Limits) -> Read:
    """A file of the Python library, definition by definition."""
    yield from read_module(Path(file.location))


def _reader(file: SourceFile) -> Reader:
    if file.source.path == "python":
        return read_library
    hub = import_module("components.ingestion.readers.hub")
    if hub.is_hub(str(file.location)):
        return hub.read_hub
    if file.format is None:
        raise Refused("has changed since it was listed, and no reader takes its ending")  # a pipe that has vanished
    module, function = file.format.reader.split(".")
    return getattr(import_module(f"components.ingestion.readers.{module}"), function)
