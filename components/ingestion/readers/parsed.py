"""Files that a parser of `parsing` turns into text in a separate process: pdf, docx, tex, man pages and more."""

import re
from typing import Any

from components.documents import Document
from components.errors import shortened
from components.ingestion.files import SourceFile
from components.ingestion.readers.base import Limits, Quarantined, Read, read_text_bytes, read_whole
from components.ingestion.readers.decoding import Decoded, decode
from components.ingestion.readers.isolation import Job, parser
from components.ingestion.readers.plain import text_document

CREATED_BY = "{}-reader/1"
MAX_FILE_BYTES = 200_000_000  # of a document with its images
SECONDS = 60  # maximum CPU time per file; a book takes one or two
TITLE_CHARS = 300
# The first line of a manual page: a comment (`.\\"`, `'\\"`) or a request (`.TH`, `.if`, `.Dd`) of roff.
_ROFF = re.compile(r"\s*(?:\.[ \t]*[A-Za-z]{2}(?![A-Za-z])|[.']?[ \t]*\\[\"#])")


def is_manual(text: str) -> bool:
    """Whether a text is a manual page.

    >>> is_manual('.TH LS 1'), is_manual('                    GNU GENERAL PUBLIC LICENSE')
    (True, False)
    """
    return _ROFF.match(text) is not None


def read_binary(file: SourceFile, limits: Limits) -> Read:
    """A file of bytes, such as a pdf, as one document."""
    data = read_whole(file, MAX_FILE_BYTES, "a document")
    yield document(file, data, Job(file.read_as.parser, SECONDS, limits.max_chars))


def read_decoded(file: SourceFile, limits: Limits) -> Read:
    """A file of text with markup, such as tex, as one document."""
    yield parsed_text(file, decode(read_text_bytes(file, limits)).without_nuls(), limits)


def read_manual(file: SourceFile, limits: Limits) -> Read:
    """A manual page, or text whose name ends like one (`GPL-2.1`): a page starts with a request of roff."""
    data = read_text_bytes(file, limits)
    decoded = decode(data).without_nuls()
    if is_manual(decoded.text):
        yield parsed_text(file, decoded, limits)
    else:
        yield text_document(file, data)


def parsed_text(file: SourceFile, decoded: Decoded, limits: Limits) -> Document | Quarantined:
    """The document that a parser makes of a text with markup."""
    item = document(file, decoded.text, Job(file.read_as.parser, SECONDS, limits.max_chars))
    if isinstance(item, Document):
        item.metadata |= decoded.facts
    return item


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
