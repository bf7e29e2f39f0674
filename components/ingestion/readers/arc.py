"""Web archives in ARC, the Internet Archive's format before WARC: a header line and a block for each fetched page.

https://archive.org/web/researcher/ArcFileFormat.php
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, BinaryIO

from components.errors import shortened
from components.ingestion.files import SourceFile
from components.ingestion.readers.base import Limits, Quarantined, Read
from components.ingestion.readers.warc import not_pages, read_record

MAX_LINE = 20_000
ABOUT = b"filedesc:"  # the first record of an archive
# Address, host, date, content type and more, bytes.
_LINE = re.compile(rb"(.+) (\S+) (\d{8,14}) (\S.*) (\d{1,18})\r?\n")
_SKIPPED = 1 << 20  # bytes at once


@dataclass
class ArcRecord:
    """A record with the interface of fastwarc's records that is used here."""

    record_type: Any
    headers: dict[str, str]
    content_length: int
    stream_pos: int
    stream: BinaryIO
    taken: int = 0

    @property
    def reader(self) -> "ArcRecord":
        return self

    def read(self, size: int) -> bytes:
        data = self.stream.read(min(size, self.content_length - self.taken))
        self.taken += len(data)
        return data


def read_arc(file: SourceFile, limits: Limits) -> Read:
    """Each page of an archive as a document of kind web, with its address as source."""
    from fastwarc.warc import WarcRecordType

    others: Counter[str] = Counter()
    number, position = 0, 0
    reason = "is empty"
    with file.open() as stream:
        while line := stream.readline(MAX_LINE):
            position += len(line)
            if not line.strip():  # after each block
                continue
            match = _LINE.fullmatch(line)
            if not match or not (number or line.startswith(ABOUT)):
                reason = f"{shortened(repr(line), 80)} does not begin a record of ARC; what was read before is kept"
                break
            number, reason = number + 1, ""
            url, date, more = (match[group].decode("latin-1") for group in (1, 3, 4))
            headers = {
                "WARC-Target-URI": url,
                "WARC-Date": f"{date[:4]}-{date[4:6]}-{date[6:8]}",
                "Content-Type": "application/http" if url.startswith("http") else more.split(" ")[0],
            }
            record = ArcRecord(WarcRecordType.response, headers, int(match[5]), position, stream)
            if not line.startswith(ABOUT) and (item := read_record(record, number, file, others)):
                yield item
            while record.read(_SKIPPED):
                continue
            position += record.taken
    if others:
        yield not_pages(file, others)
    if reason:
        yield Quarantined(file.name, 0, reason)
