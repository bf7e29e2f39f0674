"""A file to read, wherever it lies: on this machine, behind an fsspec URL, or a data set of the Hugging Face hub."""

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

BROKEN = (EOFError, zlib.error, lzma.LZMAError, OSError)  # what a file that breaks off raises, whatever packed it
UNPACKERS: dict[str, Callable[[BinaryIO], io.BufferedIOBase]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


@dataclass(frozen=True)
class SourceFile:
    """One file to read: where it is, how its documents name it, and the source that it belongs to."""

    location: Path | str  # a string is an fsspec URL, or a data set of the hub (hf://)
    name: str  # of a local file relative to its source, with forward slashes; else the URL
    source: Source
    size: int  # bytes; 0 where it is not known
    version: str = ""  # what changes when the file does, where its store says so; else its content must be hashed
    refused: str = ""  # why it is not read, as its place alone says
    folder: Path | None = None  # that no link may lead out of when it is read; None where links may lead anywhere
    script: Format | None = None  # how it is read where its name says nothing, but its first line what runs it

    @property
    def format(self) -> Format | None:
        """How it is read; None where no reader takes it, and for a data set of the hub."""
        return format_of(self.name) or self.script

    @property
    def read_as(self) -> Format:
        """How it is read; a data set of the hub as text."""
        return self.format or TEXT

    @property
    def suffix(self) -> str:
        """The ending that says the format, in lower case, without that of a compression: `.jsonl` of `a.jsonl.gz`."""
        return suffixes(self.name)[0]

    @property
    def compression(self) -> str:
        """The ending that says the compression, or an empty string."""
        return suffixes(self.name)[1]

    @property
    def kind(self) -> str:
        """The kind of its documents: what its source says, else what is usual for its format."""
        return self.read_as.kind if self.source.kind == "auto" else self.source.kind

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The file's bytes, unpacked as they are read.

        Raises:
            OSError: it is not there (any more), or cannot be read.
        """
        with self.open_packed() as packed, unpacked(packed, self.compression) as stream:
            yield stream

    def open_packed(self) -> BinaryIO:
        """The file's bytes as they are."""
        if isinstance(self.location, Path):
            return open_inside(self.location, self.folder)
        from components.ingestion.remote import open_remote, requested

        return open_remote(self.location, self.size, requested(self.source) if is_web(self.location) else "")


def unpacked(file: BinaryIO, compression: str) -> BinaryIO:
    """A stream of what a packed file holds. It gives all that can be unpacked before it says that the file breaks off."""
    if compression in UNPACKERS:
        return cast(BinaryIO, UNPACKERS[compression](file))  # which the stubs do not say that they are
    if compression == ".zst":
        import pyarrow as pa

        return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"))
    return file
