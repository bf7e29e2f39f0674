"""What the sources of a run contain: found by `components.ingestion.survey` from a sample, and shown before the run
begins."""

from dataclasses import dataclass, field

from pydantic import TypeAdapter


@dataclass(frozen=True)
class FileType:
    """The files of one ending.

    Attributes:
        name: the ending, with that of a compression; empty for files without one.
        bytes: of the files on the disk.
        text_bytes: UTF-8 of the text in them, estimated unless all were read.
        documents: texts in them, estimated like text_bytes; a long one is cut into several later.
    """

    name: str
    files: int
    bytes: int
    text_bytes: int
    documents: int

    def __add__(self, other: "FileType") -> "FileType":
        sums = (getattr(self, name) + getattr(other, name) for name in ("files", "bytes", "text_bytes", "documents"))
        return FileType(self.name, *sums)


@dataclass(frozen=True)
class Contents:
    """What the sources contain.

    Attributes:
        types: the largest first.
        is_exact: every file was read to its end, so nothing is an estimate.
        looked_at: files that were read.
        empty: files among them that gave no document.
        refused: the first items in them that could not be read, with the reason, one sentence each.
        not_read: what is skipped, a phrase per reason with count and first names, most frequent first.
        elsewhere: sources that are not inspected, since they are on another machine or in Python's library.
        columns: fields that are used as text because none was named, and their sources.
        titles: of some documents.
        languages: ISO 639 code and share of the bytes of prose and pages, largest first.
        code: programming language and share of the bytes of source code, largest first.
        refusal: why this cannot be trained on, with the fix; or an empty string.
    """

    types: list[FileType] = field(default_factory=list)
    is_exact: bool = True
    looked_at: int = 0
    empty: int = 0
    refused: list[str] = field(default_factory=list)
    not_read: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    languages: list[tuple[str, float]] = field(default_factory=list)
    code: list[tuple[str, float]] = field(default_factory=list)
    refusal: str = ""

    @property
    def total(self) -> FileType:
        """All files together."""
        return sum(self.types, FileType("", 0, 0, 0, 0))


AS_JSON = TypeAdapter(Contents)  # reads and writes it


def counted(count: int, noun: str) -> str:
    """A count and its noun.

    >>> counted(1, "file"), counted(1200, "file")
    ('1 file', '1,200 files')
    """
    return f"{count:,} {noun}" + "s" * (count != 1)
