"""Web archives: WARC (fetched pages) and WET (text extracted by Common Crawl), by fastwarc.

Records are unpacked by Python, not by fastwarc, which takes the end of a file within a packed record for the end of the
archive. Records read before a break are kept, and the break is reported.
"""

import gzip
import io
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple, cast

from components.documents import Document
from components.errors import shortened
from components.ingestion.files import BROKEN, SourceFile
from components.ingestion.readers.base import (
    MAX_PAGE_BYTES,
    Limits,
    NotText,
    Quarantined,
    Read,
    Refused,
    count_kind,
    is_scarcity,
    named_kinds,
)
from components.ingestion.readers.decoding import decode
from components.ingestion.readers.html import page_metadata
from components.ingestion.readers.pages import read_page

CREATED_BY = "warc-reader/2"
CREATED_BY_WET = "wet-reader/1"
HTML = ("text/html", "application/xhtml+xml")
PLAIN = ("text/plain", "text/markdown", "text/x-markdown")
# From servers that do not know the type; content that begins like HTML is HTML.
UNTYPED = ("without a content type", "application/octet-stream")
FETCHED = (200, 203)  # status of a complete page
NOTES = ("metadata:", "filedesc:", "dns:", "whois:")  # crawlers' records about themselves and about names
UNENCODED = ("", "identity", "none", "chunked", "aws-chunked", "utf-8", "binary")
RECORD_END = b"\r\n\r\n"
GZIP = b"\x1f\x8b"
NEXT_IS_NO_GZIP = "Not a gzipped file"  # error of gzip after a complete record
PROBED = 1 << 20  # bytes
LAST_CHUNK = b"\r\n0\r\n\r\n"
FACTS = {"date": "WARC-Date", "record_id": "WARC-Record-ID", "truncated": "WARC-Truncated"}
_CHUNK = re.compile(rb"[ \t]*([0-9a-fA-F]{1,32})[ \t]*(?:;[^\r\n]*)?\r?\n")  # a chunk's size, and perhaps extensions
_CHUNK_END = re.compile(rb"\r?\n")
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_HTML = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
Record = Any  # fastwarc.warc.WarcRecord, imported only to read archives; or an ArcRecord


def read_warc(file: SourceFile, limits: Limits) -> Read:
    """Each page of an archive as a document of kind web, with its address as source."""
    others: Counter[str] = Counter()
    with file.open() as packed:
        stream = Whole(packed)
        last = None  # delayed, since a record's checksum comes after it
        for number, record in enumerate(_records(stream), start=1):
            if last:
                yield last
            last = read_record(record, number, file, others)
        if isinstance(last, Document) and stream.is_corrupt:
            last = Quarantined(file.name, number, f"{shortened(last.source)}: its packed record is corrupt")
        if last:
            yield last
        reason = stream.reason()
    if others:
        yield not_pages(file, others)
    if reason:
        yield Quarantined(file.name, 0, reason)


def not_pages(file: SourceFile, others: Counter[str]) -> Quarantined:
    return Quarantined(file.name, 0, f"records that are not pages: {named_kinds(others)}")


class Whole:
    """The stream that fastwarc reads an archive from: it ends at a break and remembers the error.

    An exception would make fastwarc drop the record before the break as well, since it reads ahead.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._position = 0
        self._end = b""
        self._error: Exception | None = None
        self.is_corrupt = False  # the last unpacked bytes may be wrong

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._stream.read1(size) if hasattr(self._stream, "read1") else self._stream.read(size)
        except BROKEN as error:
            if is_scarcity(error):
                raise
            self._error = error
            wrong = isinstance(error, (zlib.error, lzma.LZMAError, gzip.BadGzipFile))
            self.is_corrupt = wrong and not str(error).startswith(NEXT_IS_NO_GZIP)
            return b""
        self._position += len(data)
        self._end = (self._end + data[-len(RECORD_END) :])[-len(RECORD_END) :]
        return data

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        """Does nothing: the file is closed by the code that opened it."""

    def fail(self, error: Exception) -> None:
        """Remember why fastwarc stopped; the file may be corrupt, which shows a little later."""
        position = self._position
        while self._error is None and self._position < position + PROBED and self.read(1 << 16):
            continue
        self._position = position
        self._error = self._error or error

    def reason(self) -> str:
        """Why the archive is incomplete, or an empty string."""
        where = f"after {self._position:,} bytes of unpacked records"
        if self._error:
            said = shortened(f"{type(self._error).__name__}: {self._error}")
            return f"breaks off {where} ({said}); what was read before is kept"
        if not self._position:
            return "is empty"
        return "" if self._end == RECORD_END else f"breaks off {where}, within a record; what was read before is kept"


def _records(stream: Whole) -> Iterator[Record]:
    from fastwarc.warc import ArchiveIterator

    try:
        # Its stubs require `seek`, which it calls only on a stream where it must go back.
        yield from ArchiveIterator(cast(BinaryIO, stream), parse_http=False, stream_detect=False)
    except OSError as error:
        stream.fail(error)  # not a WARC, or not from here on


def read_record(record: Record, number: int, file: SourceFile, others: Counter[str]) -> Document | Quarantined | None:
    """The document of one record, or its quarantine entry; None for a record that is not a page, counted in `others`."""
    from fastwarc.warc import WarcRecordType as Type

    if record.record_type not in (Type.response, Type.resource, Type.conversion):
        if record.record_type not in (Type.request, Type.warcinfo, Type.metadata):
            count_kind(others, f"of type {record.headers.get('WARC-Type') or 'unknown'}")
        return None
    url = (record.headers.get("WARC-Target-URI") or "").strip("<>")
    if url.startswith(NOTES):
        count_kind(others, f"of {url.partition(':')[0]}")
        return None
    short = shortened(url)
    length = record.content_length
    if length > MAX_PAGE_BYTES:
        return Quarantined(file.name, number, f"{short}: a record of {length:,} bytes, over {MAX_PAGE_BYTES:,}")
    offset = record.stream_pos
    block = record.reader.read(length)
    if len(block) < length:
        return Quarantined(file.name, number, f"{short}: ends after {len(block):,} of {length:,} bytes")
    where = {"file": file.name, "record": number, "offset": offset, "url": url}
    where |= {name: record.headers.get(header) for name, header in FACTS.items() if record.headers.get(header)}
    try:
        body, content_type, charset, is_whole = _payload(record, block)
        if content_type in HTML:
            page = read_page(body, charset, file.source.html_extractor, file.source.html_markdown)
            text, license, facts = page.text, page.license, page_metadata(page)
        elif content_type in PLAIN:
            decoded = decode(body, filter(None, [charset]), cut_off=True)
            text, license, facts = decoded.text, "", {"encoding": decoded.encoding, **decoded.facts}
        else:
            count_kind(others, content_type)
            return None
    except (NotText, Refused, *BROKEN) as error:
        if is_scarcity(error):
            raise
        return Quarantined(file.name, number, f"{short}: {shortened(str(error))}")
    if not is_whole:
        where.setdefault("truncated", True)
    if not text.strip():
        return Quarantined(file.name, number, f"{short}: has no main text in its {len(body):,} bytes")
    return Document(
        text=text.strip("\n") + "\n",
        kind=file.kind,
        source=url or f"{file.name}:{number}",
        license=license or file.source.license,
        created_by=CREATED_BY_WET if record.record_type == Type.conversion else CREATED_BY,
        metadata=where | {"content_type": content_type} | facts,
    )


class Payload(NamedTuple):
    body: bytes
    content_type: str
    charset: str
    is_whole: bool  # whether the body is


def _payload(record: Record, block: bytes) -> Payload:
    """The content of a record, or of the HTTP response in it.

    A response that is not a page has a description in place of a content type.

    Raises:
        OSError: the encoding of the body does not match its header.
    """
    declared = record.headers.get("Content-Type") or ""
    if not declared.lower().startswith("application/http"):
        return Payload(block, *_content_type(declared), True)
    from fastwarc.warc import HeaderMap

    headers = HeaderMap()
    head, blank, rest = block.partition(b"\n\n")
    if blank and b"\r\n" not in head:  # line ends of some servers
        block = head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + rest
    body = block[headers.parse(io.BytesIO(block), True) :]
    if headers.status_code not in FETCHED:
        return Payload(body, f"of status {headers.status_code or 'unknown'}", "", True)
    content_type, charset = _content_type(_header(headers, b"Content-Type"))
    is_whole = True
    if content_type in (*HTML, *PLAIN, *UNTYPED):
        body, is_whole = _decoded(body, headers)
    if content_type in UNTYPED and _HTML.match(body):
        content_type = HTML[0]
    return Payload(body, content_type, charset, is_whole)


def _header(headers: Any, name: bytes) -> str:
    return (headers.get_bytes(name) or b"").decode("latin-1").strip()


def _content_type(header: str) -> tuple[str, str]:
    """`text/html` and `utf-8` of `Text/HTML; charset=UTF-8`."""
    name, _, rest = header.partition(";")
    found = _CHARSET.search(rest)
    return name.strip().lower() or UNTYPED[0], found[1] if found else ""


def _decoded(body: bytes, headers: Any) -> tuple[bytes, bool]:
    """A body without its transfer and content encoding, and whether it is complete.

    Crawlers may have removed either encoding and kept its header; a body that is already text is not changed.
    """
    is_whole = True
    lines = [line for name in (b"Content-Encoding", b"Transfer-Encoding") for line in headers.get_bytes_multiple(name)]
    for encoding in reversed([name.strip() for name in b",".join(lines).decode("latin-1").lower().split(",")]):
        if encoding == "chunked":
            body, is_whole = _joined(body)
        elif encoding not in UNENCODED and not _is_text(body):
            body = _unpacked(body, encoding)
    if len(body) > MAX_PAGE_BYTES:
        raise OSError(f"unpacks to over {MAX_PAGE_BYTES:,} bytes")
    return body, is_whole


def _is_text(body: bytes) -> bool:
    """Whether a body is no longer compressed."""
    return not _BINARY.search(body) and (body.lstrip().startswith(b"<") or decode(body, cut_off=True).wrong == 0)


def _joined(body: bytes) -> tuple[bytes, bool]:
    """The joined chunks of a chunked body, as far as they exist; and whether the last one is there.

    A body that does not begin with a chunk is complete: the crawler has joined it. A number in the first line is text, not a
    chunk's size, if the chunk does not end correctly; in a page it would not be text. fastwarc does not support chunk
    extensions, and leaves sizes in a truncated body.

    Raises:
        OSError: the first line of a page is a chunk's size, but no chunk of that size follows; or the last size is too large.
    """
    chunks: list[bytes] = []
    position = 0
    is_text = (first := _CHUNK.match(body)) is not None and not body[first.end() :].lstrip().startswith(b"<")
    while size := _CHUNK.match(body, position):
        length = min(int(size[1], 16), len(body))
        if not length:
            is_end = bool(chunks) or not body[size.end() :].strip()
            return (b"".join(chunks), True) if is_end else (body, True)
        chunks.append(body[size.end() : size.end() + length])
        position = size.end() + length
        end = _CHUNK_END.match(body, position)
        if not end:
            break
        position = end.end()
    is_wrong = position > len(body) and body.endswith(LAST_CHUNK)  # the size is wrong: the end is there
    if len(chunks) == 1 and is_text and not _BINARY.search(body):
        return body, position <= len(body)
    if is_wrong or (len(chunks) == 1 and position < len(body)):
        raise OSError(f"a chunk of its body, of {length:,} bytes, has no end")
    return (b"".join(chunks), False) if chunks else (body, True)


def _unpacked(body: bytes, encoding: str) -> bytes:
    """The decompressed body: one or several gzip members, zlib, deflate without a header (used by some servers), Brotli or
    Zstandard.

    Raises:
        OSError, zlib.error: it has another format, or is truncated.
    """
    from fastwarc.stream_io import BrotliReader, ZstdReader

    try:
        if reader := {"br": BrotliReader, "zstd": ZstdReader}.get(encoding):
            return reader(io.BytesIO(body)).read(MAX_PAGE_BYTES + 1)
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise OSError("no reader takes it")
        if body.startswith(GZIP):
            return _members(body)
        try:
            return _inflated(body, zlib.MAX_WBITS)
        except zlib.error:
            if encoding != "deflate":
                raise
            return _inflated(body, -zlib.MAX_WBITS)
    except EOFError as error:
        raise OSError(f"its {encoding} body breaks off") from error
    except (OSError, zlib.error) as error:
        raise OSError(f"its {shortened(encoding, 20)} body cannot be unpacked ({error})") from error


def _members(body: bytes) -> bytes:
    stream, parts, length = gzip.GzipFile(fileobj=io.BytesIO(body)), [], 0
    try:
        while length <= MAX_PAGE_BYTES and (part := stream.read1(1 << 16)):
            parts.append(part)
            length += len(part)
    except gzip.BadGzipFile as error:
        if not str(error).startswith(NEXT_IS_NO_GZIP):  # garbage after a complete member is ignored
            raise
    return b"".join(parts)


def _inflated(body: bytes, window: int) -> bytes:
    unpacker = zlib.decompressobj(window)
    data = unpacker.decompress(body, MAX_PAGE_BYTES + 1)
    if not unpacker.eof and len(data) <= MAX_PAGE_BYTES:
        raise EOFError
    return data
