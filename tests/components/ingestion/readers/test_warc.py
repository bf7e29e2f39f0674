"""Web archives: pages and extracted text with their address and date; broken archives keep what came before."""

import gzip
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from components.ingestion import ingest
from components.ingestion.readers import base
from components.params import EngineParams, IngestionParams, Params, Source
from components.tracking import Tracker
from tests.components.ingestion.readers.test_pages import STORY, page

ROOT = Path(__file__).parents[4]
DATA = Path(os.environ.get("PHIFORGE_DATA", ROOT.parent / "shared" / "data")) / "corpora" / "web"
ARCHIVE = DATA / "dolma_sample-0000.warc.gz"


def record(kind: str, block: bytes, content_type: str, url: str = "https://example.org/", **headers: str) -> bytes:
    lines = {
        "WARC-Type": kind,
        "WARC-Target-URI": url,
        "WARC-Date": "2024-04-25T16:24:44Z",
        "WARC-Record-ID": f"<urn:uuid:{zlib.crc32(block):08x}>",
        "Content-Type": content_type,
        "Content-Length": str(len(block)),
    } | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def response(body: bytes, content_type: str = "text/html", url: str = "https://example.org/", **headers: str) -> bytes:
    lines = {"Content-Type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = {name: value for name, value in lines.items() if value}
    status = lines.pop("status", "200 OK")
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    block = f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body
    return record("response", block, "application/http; msgtype=response", url)


def html(number: int) -> bytes:
    return page(f"{STORY} Number {number}.").encode()


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_a_page_comes_with_address_date_and_place(read: Callable, name: str) -> None:
    info = record("warcinfo", b"software: test", "application/warc-fields")
    request = record("request", b"GET / HTTP/1.1\r\n\r\n", "application/http; msgtype=request")
    records = [info, request, response(html(1), "text/html; charset=UTF-8", "https://example.org/1")]
    data = b"".join(map(gzip.compress, records)) if name.endswith("gz") else b"".join(records)
    (document,), quarantined = read(name, data, license="CC0-1.0")
    assert f"{STORY} Number 1." in document.text
    assert "Home" not in document.text
    assert (document.kind, document.source, document.license) == ("web", "https://example.org/1", "CC0-1.0")
    assert document.created_by == "warc-reader/2"
    offset = len(info + request)
    expected = {
        "file": name, "record": 3, "offset": offset, "url": "https://example.org/1", "date": "2024-04-25T16:24:44Z",
        "content_type": "text/html", "title": "The river", "encoding": "utf-8",
    }  # fmt: skip
    assert {key: document.metadata[key] for key in expected} == expected
    assert document.metadata["record_id"].startswith("<urn:uuid:")
    assert not quarantined


@pytest.mark.parametrize("name", ["a.wet", "a.warc.wet.gz"])
def test_extracted_text_is_taken_as_it_is(read: Callable, name: str) -> None:
    text = f"Home\nShop\n{STORY}\n"
    data = record("conversion", text.encode(), "text/plain", "http://example.org/é", **{"WARC-Truncated": "length"})
    (document,), _ = read(name, gzip.compress(data) if name.endswith("gz") else data)
    assert (document.text, document.kind, document.created_by) == (text, "web", "wet-reader/1")
    assert document.metadata["truncated"] == "length"


@pytest.mark.parametrize(
    ("headers", "encode"),
    [
        ({"Content_Encoding": "gzip"}, gzip.compress),
        ({"Content_Encoding": "deflate"}, zlib.compress),
        ({"Content_Encoding": "gzip"}, bytes),  # the crawler has taken it off
        ({"Transfer_Encoding": "chunked"}, lambda body: b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)),
        ({"Transfer_Encoding": "chunked"}, bytes),
    ],
)
def test_bodies_are_decoded(read: Callable, headers: dict, encode: Callable) -> None:
    (document,), _ = read("a.warc", response(encode(html(1)), **headers))
    assert f"{STORY} Number 1." in document.text


def chunked(body: bytes, size: int = 100, extension: bytes = b"") -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%X%s\r\n%s\r\n" % (len(part), extension, part) for part in parts)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Transfer_Encoding": "Chunked"}, chunked(html(1)) + b"0\r\nTrailer: x\r\n\r\n"),
        ({"Transfer_Encoding": "chunked"}, chunked(html(1), extension=b' ; a="b"') + b"0\r\n\r\n"),
        ({"Transfer_Encoding": "chunked"}, b"00" + chunked(html(1)) + b"000\r\n\r\n"),
        ({"Transfer_Encoding": "gzip, chunked"}, chunked(gzip.compress(html(1))) + b"0\r\n\r\n"),
        (
            {"Transfer_Encoding": "chunked", "Content_Encoding": "gzip"},
            chunked(gzip.compress(html(1)[:90]) + gzip.compress(html(1)[90:]), 7) + b"0\r\n\r\n",
        ),
        ({"Content_Encoding": "gzip"}, gzip.compress(html(1)) + b"rubbish"),
        ({"Content_Encoding": "gzip, gzip"}, gzip.compress(gzip.compress(html(1)))),
        ({"Content_Encoding": "deflate"}, zlib.compress(html(1))[2:-4]),  # without the standard's header
        ({"Content_Encoding": "zstd"}, pa.compress(html(1), "zstd", asbytes=True)),
        (
            {"Content_Encoding": "gzip\r\nContent-Encoding: br"},
            pa.compress(gzip.compress(html(1)), "brotli", asbytes=True),
        ),
        ({"Content_Encoding": "UTF-8"}, html(1)),
        *(({"Content_Encoding": left}, html(1)) for left in ("br", "zstd", "gzip", "deflate", "compress", "gzip, br")),
        *(({"content_type": odd}, html(1)) for odd in ("", "application/octet-stream")),
    ],
)
def test_odd_bodies_give_the_same_text(read: Callable, headers: dict, body: bytes) -> None:
    (expected,), _ = read("plain.warc", response(html(1)))
    (document,), quarantined = read("a.warc", response(body, **headers))
    assert (document.text, document.metadata.get("truncated"), quarantined) == (expected.text, None, [])


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip", "deflate", "compress"])
@pytest.mark.parametrize("text", [STORY, "Le café, très bon", "Вода в реке"])
def test_text_that_a_crawler_has_unpacked_is_taken_as_it_is(read: Callable, text: str, encoding: str) -> None:
    (document,), _ = read("a.warc", response(f"{text}\nand on.".encode(), "text/plain", Content_Encoding=encoding))
    assert document.text == f"{text}\nand on.\n"


@pytest.mark.parametrize(
    "text",
    [
        "10\r\nTen is the first number of this text.",
        "0\nZero is the first number of this text.",
        "0\r\nZero is the first number of this text.",
        "1984\r\nA year begins this text.\r\n",
        "cafe\nA word begins this text.\nIt goes on.",
        "5\nHello\nis what the lines before this one say.",
    ],
)
def test_a_joined_text_under_a_header_of_chunks_loses_no_line(read: Callable, text: str) -> None:
    (document,), _ = read("a.warc", response(text.encode(), "text/plain", Transfer_Encoding="chunked"))
    assert document.text == text.strip("\n") + "\n"


def test_a_head_whose_lines_end_in_lf_is_read(read: Callable) -> None:
    block = b"HTTP/1.1 200 OK\nContent-Type: text/html; charset=koi8-r\n\n" + page("Вода в реке").encode("koi8-r")
    (document,), _ = read("a.warc", record("response", block, "application/http"))
    assert "Вода в реке" in document.text


def test_notes_of_a_crawler_are_not_documents(read: Callable) -> None:
    notes = [("metadata://gnu.org/software/wget/warc/wget.log", "text/plain"), ("dns:example.org", "text/plain")]
    data = [record("resource", STORY.encode(), kind, url) for url, kind in notes]
    (document,), (quarantined,) = read("a.warc", b"".join([*data, response(html(1))]))
    assert "Number 1." in document.text
    assert quarantined.reason == "records that are not pages: 1 of dns, 1 of metadata"


def archive(*pages: tuple[str, bytes]) -> bytes:
    about = b"1 0 InternetArchive\nURL IP-address Archive-date Content-type Archive-length\n"
    records = [("filedesc://a.arc", about), *pages]
    return b"".join(
        b"%s 0.0.0.0 20010203040506 text/html %d\n%s\n" % (url.encode(), len(block), block) for url, block in records
    )


def fetched(body: bytes, head: bytes = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n") -> bytes:
    return head + b"\r\n" + body


@pytest.mark.parametrize("name", ["a.arc", "a.arc.gz"])
def test_an_archive_from_before_warc_is_read(read: Callable, name: str) -> None:
    pages = [
        ("http://example.org/1", fetched(html(1))),
        ("http://example.org/a b", fetched(gzip.compress(html(2)), fetched(b"")[:-2] + b"Content-Encoding: gzip\r\n")),
        ("http://example.org/3", fetched(b"x", b"HTTP/1.0 404 Not Found\r\n")),
        ("dns:example.org", b"20010203040506\nexample.org. A 0.0.0.0\n"),
        ("http://example.org/large", fetched(b"x" * 10_000_001)),
        ("http://example.org/4", fetched(html(4))),
    ]
    data = archive(*pages)
    documents, quarantined = read(name, gzip.compress(data) if name.endswith("gz") else data)
    assert [document.source for document in documents] == [url for url, _ in pages if url[-1] in "1b4"]
    assert [f"Number {number}." in document.text for number, document in zip((1, 2, 4), documents, strict=True)] == [
        True
    ] * 3
    assert (documents[0].kind, documents[0].metadata["date"]) == ("web", "2001-02-03")
    assert data[documents[2].metadata["offset"] :].startswith(pages[-1][1])
    assert [entry.line for entry in quarantined] == [6, 0]
    assert quarantined[1].reason == "records that are not pages: 1 of dns, 1 of status 404"


@pytest.mark.parametrize(
    ("data", "read_of_it", "reason"),
    [
        (b"", 0, "is empty"),
        (b"Ar\x1a\x02 an archive of another kind", 0, "does not begin a record of ARC"),
        (archive(("http://example.org/1", fetched(html(1)))) + b"rubbish\n", 1, "does not begin a record of ARC"),
        (
            archive(("http://example.org/1", fetched(html(1))), ("http://example.org/2", fetched(html(2))))[:-9],
            1,
            "ends after",
        ),
    ],
)
def test_what_is_not_an_arc_is_named(read: Callable, data: bytes, read_of_it: int, reason: str) -> None:
    documents, quarantined = read("a.arc", data)
    assert len(documents) == read_of_it
    assert reason in quarantined[-1].reason


@pytest.mark.parametrize("left", [150, 207, 208, 209, 210])
def test_a_chunked_body_that_breaks_off_is_kept_and_marked(read: Callable, left: int) -> None:
    body = (STORY * 3).encode()
    (document,), _ = read("a.warc", response(chunked(body)[:left], "text/plain", Transfer_Encoding="chunked"))
    assert body.decode().startswith(document.text.strip("\n"))
    assert len(document.text) > left - 15  # no more than the chunks' sizes are gone
    assert document.metadata["truncated"] is True


@pytest.mark.parametrize("size", [b"f" * 32, b"7fffffffffffffff"])
def test_a_chunk_that_says_it_is_larger_than_anything(read: Callable, size: bytes) -> None:
    (document,), _ = read("a.warc", response(size + b"\r\n" + html(1), Transfer_Encoding="chunked"))
    assert document.text.startswith("# The river\n\n")
    assert document.metadata["truncated"] is True


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ({"Transfer_Encoding": "chunked"}, b"1F4\r\n" + html(1) * 2, "a chunk of its body, of 500 bytes, has no end"),
        ({"Transfer_Encoding": "chunked"}, b"FFFF\r\n" + html(1) + b"\r\n0\r\n\r\n", "a chunk of its body, of "),
        (
            {"Content_Encoding": "gzip"},
            gzip.compress(html(1)) + gzip.compress(html(2))[:-9],
            "its gzip body breaks off",
        ),
        ({"Content_Encoding": "deflate"}, zlib.compress(html(1))[2:-9], "its deflate body breaks off"),
        ({"Content_Encoding": "deflate"}, b"\0nothing packed", "its deflate body cannot be unpacked (Error -3"),
        ({"Content_Encoding": "br"}, b"\0nothing packed", "its br body cannot be unpacked"),
        (
            {"Content_Encoding": "zstd"},
            pa.compress(html(1), "zstd", asbytes=True)[:-9],
            "its zstd body cannot be unpacked",
        ),
        ({"Content_Encoding": "compress"}, b"\x1f\x9d\x90junk", "its compress body cannot be unpacked (no reader"),
    ],
)
def test_bodies_that_cannot_be_decoded_are_named(read: Callable, headers: dict, body: bytes, reason: str) -> None:
    (document,), (quarantined,) = read(
        "a.warc", response(body, url="https://example.org/1", **headers) + response(html(2))
    )
    assert "Number 2." in document.text
    assert quarantined.line == 1
    assert quarantined.reason.startswith(f"https://example.org/1: {reason}")


def test_kinds_without_number_take_one_short_entry(read: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "COUNTED", 50)
    odd = [response(b"x", f"application/x-{number:04}{'y' * 200}") for number in range(100)]
    _, (quarantined,) = read("a.warc", b"".join([*[response(b"x", "image/png")] * 3, *odd, response(html(1))]))
    assert quarantined.reason.startswith("records that are not pages: 1 application/x-0000yyy")
    assert quarantined.reason.endswith("3 image/png, 81 of other kinds")
    assert len(quarantined.reason) < 20 * 90


def test_reasons_are_short_whatever_an_archive_says(read: Callable) -> None:
    long = "https://example.org/" + "x" * 5_000
    lines = response(html(1)).replace(b"\r\n", b"\n")
    data = response(b"<p>", url=long) + record(STORY * 99, b"x", "text/plain") + ARCHIVED[0] + lines
    documents, quarantined = read("a.warc", data)
    assert len(documents) == 1
    assert len(quarantined) == 3
    assert max(len(entry.reason) for entry in quarantined) < 350


def test_the_charset_of_the_header_counts(read: Callable) -> None:
    (document,), _ = read("a.warc", response(page("Вода в реке холодная").encode("koi8-r"), "text/html;charset=koi8-r"))
    assert "Вода в реке холодная" in document.text


def test_what_is_not_a_page_is_counted_and_named(read: Callable) -> None:
    data = [
        response(b"\x89PNG", "image/png"),
        response(b"\x89PNG", "image/png"),
        response(html(1), status="404 Not Found"),
        response(html(2)),
        response(b"<html></html>", url="https://example.org/empty"),
        response(b"not\0gzip", Content_Encoding="gzip", url="https://example.org/bad"),
        response(gzip.compress(b"\0" * 30_000_000), Content_Encoding="gzip", url="https://example.org/bomb"),
        response(b"<div>" * 100_000, url="https://example.org/deep"),
        record("response", b"no http at all", "application/http"),
        response(html(3)),
    ]
    documents, quarantined = read("a.warc", b"".join(data))
    assert [document.metadata["record"] for document in documents] == [4, 10]
    reasons = {entry.line: entry.reason for entry in quarantined}
    assert set(reasons) == {5, 6, 7, 8, 0}
    assert "https://example.org/empty: has no main text" in reasons[5]
    assert "https://example.org/bad: " in reasons[6]
    assert "https://example.org/bomb: unpacks to over" in reasons[7]
    assert "nests tags" in reasons[8]
    assert reasons[0] == "records that are not pages: 2 image/png, 1 of status 404, 1 of status unknown"


ARCHIVED = [response(html(number), url=f"https://example.org/{number}") for number in range(8)]


@pytest.mark.parametrize("share", [0.99, 0.8, 0.47, 0.2])
@pytest.mark.parametrize("packed", [True, False])
def test_a_truncated_archive_keeps_its_whole_records(read: Callable, share: float, packed: bool) -> None:
    parts = [gzip.compress(part) for part in ARCHIVED] if packed else ARCHIVED
    size = int(sum(map(len, parts)) * share)
    whole = sum(sum(map(len, parts[: n + 1])) <= size for n in range(len(parts)))
    documents, quarantined = read("a.warc.gz" if packed else "a.warc", b"".join(parts)[:size])
    # Of the record that breaks off, all may have been there but its end: then it is whole.
    assert [f"Number {n}." in document.text for n, document in enumerate(documents)] in (
        [True] * whole,
        [True] * (whole + 1),
    )
    assert "breaks off" in quarantined[-1].reason
    assert quarantined[-1].file.startswith("a.warc")


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_every_cut_in_a_header_is_seen(read: Callable, cut: int) -> None:
    packed = [gzip.compress(part) for part in ARCHIVED[:2]]
    documents, quarantined = read("a.warc.gz", packed[0] + packed[1][:cut])
    assert len(documents) == 1
    assert "breaks off" in quarantined[-1].reason
    documents, quarantined = read("a.warc", ARCHIVED[0] + ARCHIVED[1][:cut])
    assert len(documents) == 1
    assert "breaks off" in quarantined[-1].reason


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive at all\n" * 50,
        b"WARC/1.0\r\nContent-Length: -5\r\n\r\n",
        b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 99999999999999\r\n\r\nx",
        b"\0" * 5_000,
        b"WARC/1.0\r\n" + b"X-Header: y\r\n" * 100_000,
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_what_is_not_an_archive_is_named(read: Callable, data: bytes, pack: Callable) -> None:
    documents, quarantined = read("a.warc.gz" if pack is gzip.compress else "a.warc", pack(data))
    assert not documents
    assert quarantined


def test_rubbish_between_records_ends_the_archive_by_name(read: Callable) -> None:
    documents, quarantined = read("a.warc", ARCHIVED[0] + b"rubbish\n" * 20 + ARCHIVED[1])
    assert len(documents) == 1
    assert "breaks off" in quarantined[-1].reason


def test_a_corrupt_byte_costs_what_follows_and_is_named(read: Callable) -> None:
    parts = [gzip.compress(part) for part in ARCHIVED]
    broken = bytearray(parts[3])
    broken[len(broken) // 2] ^= 0xFF
    documents, quarantined = read("a.warc.gz", b"".join(parts[:3]) + bytes(broken) + b"".join(parts[4:]))
    assert [document.source for document in documents] == [f"https://example.org/{n}" for n in range(3)]
    assert "breaks off" in quarantined[-1].reason


def test_a_record_whose_checksum_does_not_fit_is_not_taken(read: Callable) -> None:
    parts = [bytearray(gzip.compress(part)) for part in ARCHIVED]
    parts[3][-8] ^= 0xFF
    documents, quarantined = read("a.warc.gz", b"".join(parts))
    assert [document.source for document in documents] == [f"https://example.org/{n}" for n in range(3)]
    assert quarantined[0].reason == "https://example.org/3: its packed record is corrupt"
    assert "CRC check failed" in quarantined[1].reason


@pytest.mark.skipif(not ARCHIVE.is_file(), reason="the archive of the development data is not there")
def test_a_crawl_of_wget(read_path: Callable) -> None:
    documents, quarantined = read_path(str(ARCHIVE))
    assert len(documents) == 22
    assert [entry.reason for entry in quarantined] == ["records that are not pages: 2 of metadata"]
    assert all(document.source.startswith("https://") for document in documents)
    assert not any("<div" in document.text for document in documents)
    assert json.dumps(documents[0].metadata)


def test_the_engine_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "BATCH_BYTES", 1_000)  # many units of work
    (tmp_path / "t").mkdir()
    for number in range(6):
        (tmp_path / "t" / f"{number}.html").write_bytes(html(number) if number % 3 else b"<p>")
        packed = b"".join(gzip.compress(part) for part in ARCHIVED)
        (tmp_path / "t" / f"{number}.warc.gz").write_bytes(packed[: len(packed) - 300 * number])
    for kind in ("serial", "processes"):
        sources = [Source(path=str(tmp_path / "t"))]
        given = Params(ingestion=IngestionParams(sources=sources), engine=EngineParams(kind=kind, workers=2))
        ingest.run({}, {"output": tmp_path / kind}, given, Tracker())
    for path in (tmp_path / "serial").iterdir():
        assert path.read_bytes() == (tmp_path / "processes" / path.name).read_bytes()
