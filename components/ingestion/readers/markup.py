"""XML: the dump of a wiki is read page by page, any other file as one text."""

import re
from collections import Counter
from collections.abc import Iterator

from components.ingestion.files import SourceFile
from components.ingestion.parsing.wiki import NOT_ARTICLES
from components.ingestion.readers.base import Limits, Quarantined, Read, Refused, count_kind, named_kinds
from components.ingestion.readers.isolation import Job
from components.ingestion.readers.parsed import SECONDS, document, read_binary
from components.ingestion.readers.parts import Part, bounded_lines

HEAD = 4_096  # bytes in which the root element begins
DUMP = b"<mediawiki"
PAGE, PAGE_END = b"<page>", b"</page>"  # only in markup: in text they are escaped
_BORDERS = re.compile(rb"(?=<page>)|(?<=</page>)")


def read_xml(file: SourceFile, limits: Limits) -> Read:
    """Each article of a MediaWiki dump as a document; another file as one document."""
    with file.open() as stream:
        is_dump = DUMP in stream.read(HEAD)
    yield from _read_dump(file, limits) if is_dump else read_binary(file, limits)


def _read_dump(file: SourceFile, limits: Limits) -> Read:
    others: Counter[str] = Counter()
    for number, data in enumerate(_pages(file, limits.line_bytes), start=1):
        if isinstance(data, int):
            yield Quarantined(file.name, number, f"a page of {data:,} bytes, over {limits.line_bytes:,}")
            continue
        try:
            yield document(file, data, Job("wiki", SECONDS, limits.max_chars), number)
        except Refused as error:
            if str(error) in NOT_ARTICLES:
                count_kind(others, str(error))
            else:
                yield Quarantined(file.name, number, str(error))
    if others:
        yield Quarantined(file.name, 0, f"pages that are not articles: {named_kinds(others)}")


def _pages(file: SourceFile, most: int) -> Iterator[bytes | int]:
    """The pages of a dump; for a page of more than `most` bytes, its length.

    Raises:
        EOFError: the dump ends within a page.
    """
    page = Part(most)
    with file.open() as stream:
        for line in bounded_lines(stream, most):
            for piece in _BORDERS.split(line) if isinstance(line, bytes) else [line]:
                if page.size or (isinstance(piece, bytes) and piece.startswith(PAGE)):
                    page.add(piece)
                if page.size and isinstance(piece, bytes) and piece.endswith(PAGE_END):
                    yield page.take()
    if page.size:
        raise EOFError("it ends within a page")
