"""A file of one text: txt, md, rst, py."""

from components.documents import Document
from components.ingestion.files import SourceFile
from components.ingestion.readers.base import Limits, Quarantined, Read, read_whole
from components.ingestion.readers.decoding import UTF8, decode, decode_python

CREATED_BY = "file-reader/1"


def read_text(file: SourceFile, limits: Limits) -> Read:
    """A txt, md, rst or py file as one document."""
    data = read_whole(file, limits.text_bytes, f"ingestion.max_document_chars {limits.max_chars:,} characters")
    is_code = file.suffix == ".py"
    text, encoding = decode_python(data) if is_code else decode(data)
    if not text.strip():
        yield Quarantined(file.name, 0, "is empty")
        return
    yield Document(
        text=text,
        kind=file.kind_or("code" if is_code else "prose"),
        source=file.name,
        license=file.source.license,
        created_by=CREATED_BY,
        metadata={} if encoding == UTF8 else {"encoding": encoding},
    )
