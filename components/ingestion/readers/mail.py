"""Mails: one message per file (eml), or many in one file (mbox)."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from components.documents import Document
from components.ingestion.files import SourceFile
from components.ingestion.readers.base import Limits, Quarantined, Read, Refused, count_kind, named_kinds, read_whole
from components.ingestion.readers.isolation import Job
from components.ingestion.readers.parsed import SECONDS, document
from components.ingestion.readers.parts import Part, bounded_lines

MAX_MESSAGE_BYTES = 50_000_000  # with its attachments; providers take 25 MB
START = b"From "  # the start of each message of a mailbox; within a message it is quoted
_QUOTED = re.compile(rb"^>From ")


def read_message(file: SourceFile, limits: Limits) -> Read:
    """A message as one document."""
    yield from _documents(file, [(0, read_whole(file, MAX_MESSAGE_BYTES, "a message"))], limits)


def read_mailbox(file: SourceFile, limits: Limits) -> Read:
    """Each message of a mailbox as a document."""
    yield from _documents(file, enumerate(messages(file), start=1), limits)


def messages(file: SourceFile) -> Iterator[bytes | int]:
    """The messages of a mailbox; for a message that is too long, its length.

    Raises:
        Refused: the mailbox does not begin with a message.
    """
    message = Part(MAX_MESSAGE_BYTES)
    is_after_blank = True
    with file.open() as stream:
        for line in bounded_lines(stream, MAX_MESSAGE_BYTES):
            text = b"" if isinstance(line, int) else line
            if is_after_blank and text.startswith(START):
                if message.size:
                    yield message.take()
                message.add(text)
            elif message.size:
                message.add(line if isinstance(line, int) else _QUOTED.sub(START, line))
            elif text.strip():
                raise Refused("is not a mailbox: it does not begin with 'From '")
            is_after_blank = text.isspace()
    if message.size:
        yield message.take()


def _documents(file: SourceFile, numbered: Iterable[tuple[int, bytes | int]], limits: Limits) -> Read:
    attachments: Counter[str] = Counter()
    for number, data in numbered:
        if isinstance(data, int):
            yield Quarantined(file.name, number, f"a message of {data:,} bytes, over {MAX_MESSAGE_BYTES:,}")
            continue
        try:
            item = document(file, data, Job("mail", SECONDS, limits.max_chars), number)
        except Refused as error:
            item = Quarantined(file.name, number, str(error))
        if isinstance(item, Document):
            for kind, count in item.metadata.get("attachments", {}).items():
                count_kind(attachments, kind, count)
        yield item
    if attachments:
        yield Quarantined(file.name, 0, f"attachments, which are not read: {named_kinds(attachments)}")
