"""The interface of every reader: it takes a file and limits, and yields documents and quarantine entries."""

import errno
import math
import os
import stat
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.documents import Document
from components.errors import shortened
from components.files import NO_ROOM
from components.foreign.addresses import all_without_secrets
from components.ingestion.files import SourceFile
from components.ingestion.unread import numbered

BOM_BYTES, MAX_CHAR_BYTES = 3, 4  # of UTF-8
ESCAPED_CHAR_BYTES = 12  # of JSON: a pair of surrogates, six bytes each
MAX_ROW_METADATA = 1_000_000  # bytes of a line besides its text, and characters of a document's metadata
MAX_NAME = 10_000  # characters of a document's source, its licence and its maker, which later steps repeat
MAX_REFUSED = 100_000  # consecutive refused rows after which reading a file stops
ELSEWHERE = "leads out of its source's folder; set follow_links: true for the source if you trust it"
MAX_LINE_BYTES = 256_000_000  # of JSON, whatever the longest document
MAX_VALUES = 4_000_000  # of JSON at once, whatever the longest document
SCARCE = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, *NO_ROOM)  # this machine's shortages, not faults of the file
BOMB = 200  # data compressed by more than this factor, and larger than BOMB_BYTES, are not unpacked
BOMB_BYTES = 1 << 29  # Arrow unpacks a page of Parquet at once, and a page may be all of it
NAMED, KIND_CHARS = 20, 80  # kinds of parts that are not read: maximum number named, and characters of each
COUNTED = 10_000  # maximum of these kinds that are counted separately
OTHER_KINDS = "of other kinds"
NUL, REPLACEMENT = "\0", "\ufffd"
WRONG_BYTES = "wrong_bytes"  # in the metadata: number of U+FFFD that replace wrong bytes
MOST_WRONG = 0.02  # maximum share of the characters of a text
MAX_PAGE_BYTES = 10_000_000  # of one page's HTML; Common Crawl cuts off at 5 MiB


@dataclass(frozen=True)
class Quarantined:
    """A part that was not read: the file, the line, row or record (from 1; 0 = the whole file) and the reason."""

    file: str
    line: int
    reason: str

    def row(self) -> dict[str, Any]:
        return all_without_secrets(asdict(self))


Read = Generator[Document | Quarantined, None, None]


class Budget:
    """The bytes that an archive may unpack to, a multiple of its size; more means a decompression bomb."""

    def __init__(self, packed: float) -> None:
        self._packed = packed
        self._most = self._left = max(BOMB_BYTES, BOMB * packed)

    @property
    def is_spent(self) -> bool:
        return self._left < 0

    def spend(self, size: int) -> None:
        """Count bytes that were unpacked.

        Raises:
            Refused: the total exceeds the limit.
        """
        self._left -= size
        if self.is_spent:
            raise Refused(str(self))

    def __str__(self) -> str:
        return f"would unpack from {self._packed:,} bytes to more than {self._most:,}: a decompression bomb"


UNLIMITED = Budget(math.inf)  # for files outside archives


@dataclass(frozen=True)
class Limits:
    """The amounts that a reader may hold in memory, which follow from the longest document."""

    max_chars: int
    depth: int = 0  # number of archives around the file
    budget: Budget = UNLIMITED  # of the outermost archive

    @property
    def text_bytes(self) -> int:
        """Maximum bytes of a file of one text; a longer text is too long for a document."""
        return BOM_BYTES + MAX_CHAR_BYTES * self.max_chars

    @property
    def line_bytes(self) -> int:
        """Maximum bytes of a line of JSON; a longer line has a text that is too long, or is not a document."""
        return min(ESCAPED_CHAR_BYTES * self.max_chars + MAX_ROW_METADATA, MAX_LINE_BYTES)

    @property
    def row_chars(self) -> int:
        """Maximum characters of a row after decoding escapes; a longer row has too long a text, or is not a document."""
        return self.max_chars + MAX_ROW_METADATA

    @property
    def values(self) -> int:
        """Maximum values of JSON at once: a text has no more commas, and each value takes dozens of bytes of memory."""
        return min(self.max_chars + MAX_ROW_METADATA, MAX_VALUES)


Reader = Callable[[SourceFile, Limits], Read]


class TooLong(ValueError):
    """A file of one document that is longer than a document may be."""


class Refused(ValueError):
    """A file, or a part of one, that a parser refused; the message has the reason."""


class NotText(ValueError):
    """Bytes that are not text in any encoding."""


def nul_in(text: str) -> str:
    """Why a text with NULs is refused, or an empty string. A few NULs are treated like other wrong bytes."""
    is_binary = text.count(NUL) > MOST_WRONG * len(text)
    return f"holds a NUL (character {text.find(NUL):,}): binary data, not text" if is_binary else ""


def is_scarcity(error: BaseException) -> bool:
    """Whether memory, file handles or disk space ran out. That is not the file's fault, so it must not be quarantined."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in SCARCE)


def no_file(location: Path | str) -> str:
    """Why a local path is not a file, or an empty string. Opening a pipe would wait forever."""
    if not isinstance(location, Path):
        return ""
    try:
        mode = location.stat().st_mode
    except OSError as error:  # if it is not a link, it has vanished, which its reader reports
        return f"is a broken link ({error.strerror})" if os.path.islink(location) else ""
    return "" if stat.S_ISREG(mode) else "is a pipe, a socket or a device, not a file"


def read_whole(file: SourceFile, most: int, parameter: str) -> bytes:
    """All bytes of a file, decompressed; at most `most`, so that neither a huge file nor a bomb of zeros fills the memory.

    Raises:
        TooLong: the file has more; `parameter` names the limit.
    """
    limit = f"more than {parameter} can take"
    if not file.compression and file.size > most:
        raise TooLong(f"{file.size:,} bytes, {limit}")  # unread
    with file.open() as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise TooLong(f"over {most:,} bytes, {limit}")
    return data


def read_text_bytes(file: SourceFile, limits: Limits) -> bytes:
    """All bytes of a file of one text.

    Raises:
        TooLong: the file has more than a document may have.
    """
    return read_whole(file, limits.text_bytes, f"ingestion.max_document_chars {limits.max_chars:,} characters")


def count_kind(others: Counter[str], kind: str, count: int = 1) -> None:
    """Count parts of a file that are not read; the number of kinds is limited, whatever their names in the file."""
    kind = shortened(kind, KIND_CHARS)
    others[kind if kind in others or len(others) < COUNTED else OTHER_KINDS] += count


def named_kinds(others: Counter[str]) -> str:
    """The most frequent kinds by name, and the number of parts of other kinds."""
    named = sorted((kind for kind in others if kind != OTHER_KINDS), key=lambda kind: (-others[kind], kind))[:NAMED]
    rest = others.total() - sum(others[kind] for kind in named)
    return ", ".join(
        [numbered(others[kind], kind) for kind in sorted(named)] + [f"{rest:,} {OTHER_KINDS}"] * bool(rest)
    )
