"""The contents of a run's sources, which `components.ingestion.survey` estimates from a sample before the run."""

from dataclasses import dataclass, field

from pydantic import TypeAdapter


@dataclass(frozen=True)
class FileType:
    """The files with one ending.

    Attributes:
        name: the ending, including that of a compression; empty for files without an ending.
        bytes: size of the files on the disk.
        text_bytes: UTF-8 bytes of their text, estimated unless all files were read.
        documents: number of their texts, estimated like text_bytes; long texts are cut into several later.
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
    """The contents of the sources.

    Attributes:
        types: files by ending, the largest first.
        is_exact: whether every file was read to its end, so that all numbers are exact.
        looked_at: number of files that were read.
        empty: number of those files without a document.
        refused: the first items that could not be read, one sentence per item with the reason.
        not_read: skipped files, one phrase per reason with count and first names, most frequent first.
        elsewhere: sources that are not inspected, because they are on another machine or in Python's library.
        columns: fields that are used as text because no field was named, and their sources.
        titles: of some documents.
        samples: title and beginning of some documents.
        languages: ISO 639 code and share of the bytes of prose and pages, largest first.
        code: programming language and share of the bytes of source code, largest first.
        refusal: reason why training on this is impossible, with the fix; empty if it is possible.
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
    samples: list[tuple[str, str]] = field(default_factory=list)
    languages: list[tuple[str, float]] = field(default_factory=list)
    code: list[tuple[str, float]] = field(default_factory=list)
    refusal: str = ""

    @property
    def total(self) -> FileType:
        """All files together."""
        return sum(self.types, FileType("", 0, 0, 0, 0))


AS_JSON = TypeAdapter(Contents)


def counted(count: int, noun: str) -> str:
    """A count and its noun.

    >>> counted(1, "file"), counted(1200, "file")
    ('1 file', '1,200 files')
    """
    return f"{count:,} {noun}" + "s" * (count != 1)
