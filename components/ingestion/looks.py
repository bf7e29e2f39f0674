"""Facts from reading one file: its text and documents, languages, titles, and the parts that could not be read."""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from io import BufferedReader, RawIOBase
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from components.documents import Document
from components.errors import shortened
from components.ingestion.files import SourceFile
from components.ingestion.readers import Limits, Quarantined, read_file
from components.ingestion.readers.rows import TAKEN
from components.ingestion.sections import KINDS, headings
from components.params import Params
from components.text.languages import PEOPLE_WRITE, WINDOW, WINDOWS

STREAMED = 4_000_000  # bytes of text, or so many documents, after which reading stops if a file can be read in part
STREAMED_DOCUMENTS = 2_000
TITLES, TITLE_CHARS, SAMPLE_CHARS = 10, 80, 400
HEADED = 32_000  # characters of a longer text that are searched for headings
STRETCHES = 20  # stretches of one text whose languages are identified


class Interruptible(BufferedReader):
    """Runs Python at each read. Otherwise a C library that unpacks a file for long would never let a signal handler run."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size)


@dataclass(frozen=True)
class Watched(SourceFile):
    """A file that records how far it has been read."""

    opened: list[BinaryIO] = field(default_factory=list)

    def open_packed(self) -> BinaryIO:
        stream = Interruptible(cast(RawIOBase, super().open_packed()))  # BinaryIO has no readinto; all such streams do
        self.opened.append(stream)
        return stream

    def share_read(self) -> float:
        """Share of its bytes that were read, above 0; 1 if it was read to its end."""
        stream = self.opened[-1] if self.opened else None
        if stream is None or stream.closed or not self.size:
            return 1.0
        return min(1.0, max(stream.tell(), 1) / self.size)


@dataclass
class Look:
    """Facts from reading one file; for a file that was read in part, extrapolated to the whole."""

    file: SourceFile
    documents: float = 0
    text_bytes: float = 0
    kinds: Counter[str] = field(default_factory=Counter)  # bytes of text
    code: Counter[str] = field(default_factory=Counter)  # bytes of source code, by language
    # Of prose and pages, and the bytes that each represents.
    excerpts: list[tuple[str, float]] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    samples: list[tuple[str, str]] = field(default_factory=list)  # title and beginning of the first documents
    refused: list[Quarantined] = field(default_factory=list)
    column: str = ""  # of rows that was used as their text, if no parameter names one
    is_whole: bool = True

    def take(self, document: Document, min_chars: int) -> None:
        size = len(document.text.encode())
        self.documents += 1
        self.text_bytes += size
        self.kinds[document.kind] += size
        self.column = document.metadata.get(TAKEN, self.column)
        if document.kind == "code":
            self.code[document.metadata.get("programming_language") or "other"] += size
        elif document.kind in PEOPLE_WRITE and len(document.text) >= min_chars:
            windows = _windows(document.text)
            self.excerpts += [(window, size / len(windows)) for window in windows]
        if len(self.titles) < TITLES:
            titles = _titles_of(document)
            self.titles += titles
            self.samples.append((titles[0], shortened(document.text, SAMPLE_CHARS)))

    def extend(self, share: float) -> None:
        """Extrapolate from the share of the file that was read."""
        self.is_whole = False
        self.documents /= share
        self.text_bytes /= share


def look_at(file: SourceFile, params: Params) -> Look:
    """Read a file, or enough of it to estimate the whole."""
    found = Look(file)
    watched = Watched(**vars(file))
    with closing(read_file(watched, Limits(params.ingestion.max_document_chars))) as items:
        for item in items:
            if isinstance(item, Quarantined):
                found.refused.append(item)
            else:
                found.take(item, params.curation.language.min_chars)
            is_enough = found.text_bytes > STREAMED or found.documents + len(found.refused) > STREAMED_DOCUMENTS
            if is_enough and (share := watched.share_read()) < 1:
                found.extend(share)
                break
    return found


def _windows(text: str) -> list[str]:
    """Evenly spaced stretches of a text for identifying its languages; a short text is one stretch."""
    length = WINDOW * WINDOWS
    count = max(1, min(STRETCHES, len(text) // length))
    return [text[number * len(text) // count :][:length] for number in range(count)]


def _titles_of(document: Document) -> list[str]:
    """Names of a document for people: its title, the file of a program, or its first line; for a long one also headings."""
    title = document.metadata.get("title")
    if not title and document.kind == "code":
        title = PurePosixPath(document.source).name
    beginning = document.text[:HEADED]
    lines = (line.strip(" \t#=*-_>|~") for line in beginning.splitlines())
    title = title if isinstance(title, str) else ""
    titles = [title or next((line for line in lines if any(map(str.isalpha, line))), "")]
    if document.kind in KINDS and len(document.text) > HEADED:
        titles += [heading.title for heading in headings(beginning)[: 2 * TITLES]]
    return [shortened(title, TITLE_CHARS) for title in titles]
