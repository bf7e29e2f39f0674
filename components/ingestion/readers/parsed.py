"""Files that a parser of `parsing` turns into text in a separate process: pdf, docx, tex, man pages and more."""

from typing import Any

from components.documents import Document
from components.errors import shortened
from components.ingestion.files import SourceFile
from components.ingestion.readers.base import Limits, Quarantined, Read, read_text_bytes, read_whole
from components.ingestion.readers.decoding import decode
from components.ingestion.readers.isolation import Job, parser

CREATED_BY = "{}-reader/1"
MAX_FILE_BYTES = 200_000_000  # of a document with its images
SECONDS = 60  # maximum CPU time per file; a book takes one or two
TITLE_CHARS = 300


def read_binary(file: SourceFile, limits: Limits) -> Read:
    """A file of bytes, such as a pdf, as one document."""
    data = read_whole(file, MAX_FILE_BYTES, "a document")
    yield document(file, data, Job(file.read_as.parser, SECONDS, limits.max_chars))


def read_decoded(file: SourceFile, limits: Limits) -> Read:
    """A file of text with markup, such as tex, as one document."""
    decoded = decode(read_text_bytes(file, limits)).without_nuls()
    item = document(file, decoded.text, Job(file.read_as.parser, SECONDS, limits.max_chars))
    if isinstance(item, Document):
        item.metadata |= decoded.facts
    yield item


def document(file: SourceFile, content: bytes | str, job: Job, number: int = 0) -> Document | Quarantined:
    """The document that a parser makes of a file or of one of its parts, or the quarantine entry.

    Args:
        number: of the part, from 1; 0 = the whole file.

    Raises:
        Refused: the parser refused it.
    """
    found = parser().ask(content, job)
    text = found.pop("text").strip("\n")
    if not text.strip():
        return Quarantined(file.name, number, f"has no text in its {len(content):,} bytes")
    return Document(
        text=text + "\n",
        kind=file.kind,
        source=f"{file.name}:{number}" if number else file.name,
        license=file.source.license,
        created_by=CREATED_BY.format(job.parser),
        metadata=_facts(found),
    )


def _facts(found: dict[str, Any]) -> dict[str, Any]:
    """A parser's facts on a text, without empty values; long strings are shortened."""
    short = {name: shortened(fact, TITLE_CHARS) if isinstance(fact, str) else fact for name, fact in found.items()}
    return {name: fact for name, fact in short.items() if fact}
