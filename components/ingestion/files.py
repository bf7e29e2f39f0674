"""A file to read: on this machine, behind an fsspec URL, or a data set of the Hugging Face hub."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from components.foreign.addresses import is_web
from components.foreign.confined import open_inside
from components.ingestion.formats import TEXT, Format, format_of, suffixes
from components.params import Source

BROKEN = (EOFError, zlib.error, lzma.LZMAError, OSError)  # raised for a truncated file, with any compression
UNPACKERS: dict[str, Callable[[BinaryIO], io.BufferedIOBase]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


@dataclass(frozen=True)
class SourceFile:
    """One file to read: its location, its name in documents, and its source."""

    location: Path | str  # a string is an fsspec URL, or a data set of the hub (hf://)
    name: str  # of a local file the path relative to its source, with forward slashes; else the URL
    source: Source
    size: int  # bytes; 0 = unknown
    version: str = ""  # the store's version, which changes with the file; empty = its content must be hashed
    refused: str = ""  # why it is not read, if its location decides that
    folder: Path | None = None  # which no link may leave when it is read; None = links may lead anywhere
    by_content: Format | None = None  # format by its first bytes, if its name tells none
    ahead: int = 0  # bytes requested from a remote store beyond those that are read; 0 = its file system's default

    @property
    def format(self) -> Format | None:
        """Its format; None if no reader takes it, and for a data set of the hub."""
        return format_of(self.name) or self.by_content

    @property
    def read_as(self) -> Format:
        """The format to read it in; text for a data set of the hub."""
        return self.format or TEXT

    @property
    def suffix(self) -> str:
        """The ending of its format, in lower case, without that of a compression: `.jsonl` of `a.jsonl.gz`."""
        return suffixes(self.name)[0]

    @property
    def compression(self) -> str:
        """The ending of its compression, or an empty string."""
        return suffixes(self.name)[1]

    @property
    def kind(self) -> str:
        """The kind of its documents: that of its source, else the usual one of its format."""
        return self.read_as.kind if self.source.kind == "auto" else self.source.kind

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The file's bytes, decompressed while they are read.

        Raises:
            OSError: it does not exist (any more), or cannot be read.
        """
        with self.open_packed() as packed, unpacked(packed, self.compression) as stream:
            yield stream

    def open_packed(self) -> BinaryIO:
        """The file's bytes, still compressed."""
        if isinstance(self.location, Path):
            return open_inside(self.location, self.folder)
        from components.ingestion.remote import open_remote, requested

        return open_remote(
            self.location, self.size, requested(self.source) if is_web(self.location) else "", self.ahead
        )


def unpacked(file: BinaryIO, compression: str) -> BinaryIO:
    """A stream of the content of a compressed file. It returns everything readable before it raises for a truncated file."""
    if compression in UNPACKERS:
        return cast(BinaryIO, UNPACKERS[compression](file))  # the type stubs do not know this
    if compression == ".zst":
        import pyarrow as pa

        return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"))
    return file
