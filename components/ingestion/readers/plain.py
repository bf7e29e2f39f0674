"""Files of one text without parsing: txt, Markdown, reStructuredText, source code."""

import re

from components.documents import Document
from components.ingestion.files import SourceFile
from components.ingestion.readers.base import Limits, Quarantined, Read, read_text_bytes
from components.ingestion.readers.decoding import decode, decode_python

CREATED_BY = "file-reader/1"
MARKDOWN = (".md", ".markdown", ".mdx")
_TITLE = re.compile(r"^# +(\S[^\n]{0,300})$", re.MULTILINE)


def read_text(file: SourceFile, limits: Limits) -> Read:
    """The file as one document; for code with its programming language."""
    yield text_document(file, read_text_bytes(file, limits))


def text_document(file: SourceFile, data: bytes) -> Document | Quarantined:
    """The document of these bytes of a file."""
    language = file.read_as.language
    decoded = decode_python(data) if language == "Python" else decode(data)
    text = decoded.text
    if not text.strip():
        return Quarantined(file.name, 0, "is empty")
    facts = {
        "title": title_of(text) if file.suffix in MARKDOWN else "",
        "programming_language": language,
        **decoded.facts,
    }
    return Document(
        text=text,
        kind=file.kind,
        source=file.name,
        license=file.source.license,
        created_by=CREATED_BY,
        metadata={name: fact for name, fact in facts.items() if fact},
    )


def title_of(markdown: str) -> str:
    """The first heading of the highest level, or an empty string."""
    found = _TITLE.search(markdown)
    return found[1].strip() if found else ""
