"""Files behind URLs: listed and streamed, from memory and from a small S3 store on this machine."""

import contextlib
import gzip
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import StepError
from components.ingestion import ingest, remote
from components.ingestion.inventory import list_files, take
from components.params import EngineParams, IngestionParams, Params, Source
from components.tracking import Tracker

FILES = {
    "a.txt": b"plain text\n",
    "sub/b.jsonl.gz": gzip.compress(b'{"text": "row", "url": "https://example.org"}\n'),
    "sub/image.png": b"png",
    ".hidden/c.txt": b"hidden",
}


@pytest.fixture
def memory() -> Iterator[str]:
    system = fsspec.filesystem("memory")
    for name, data in FILES.items():
        system.pipe(f"/bucket/{name}", data)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": [f"parquet {i}" for i in range(3_000)]}), sink)
    system.pipe("/bucket/c.parquet", sink.getvalue().to_pybytes())
    yield "memory://bucket"
    system.rm("/bucket", recursive=True)


class Store(BaseHTTPRequestHandler):
    """What reading needs of S3: ListObjectsV2, HEAD, and GET with a range."""

    requests: list[str]
    knows_ranges = True
    authorizations: set[str]
    query = ""  # without which nothing is given

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.authorizations.add(self.headers.get("Authorization", ""))
        if self.query not in url.query:
            return self._send(403, b"", {})
        name = unquote(url.path).removeprefix("/bucket").lstrip("/")
        query = parse_qs(url.query)
        self.requests.append(f"{self.command} {name} {self.headers.get('Range', '')}".strip())
        if "list-type" in query:
            prefix = query.get("prefix", [""])[0]
            found = [
                f'<Contents><Key>{key}</Key><LastModified>2024-04-25T16:24:44.000Z</LastModified><ETag>"{hash(data)}"</ETag>'
                f"<Size>{len(data)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
                for key, data in FILES.items()
                if key.startswith(prefix)
            ]
            body = (
                '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name>'
                f"<KeyCount>{len(found)}</KeyCount><IsTruncated>false</IsTruncated>{''.join(found)}</ListBucketResult>"
            ).encode()
            return self._send(200, body, {"Content-Type": "application/xml"})
        if name not in FILES:
            return self._send(404, b"", {})
        data, status, facts = FILES[name], 200, {"ETag": f'"{hash(FILES[name])}"', "Accept-Ranges": "bytes"}
        if self.knows_ranges and (match := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))):
            start, end = int(match[1]), int(match[2] or len(data) - 1)
            facts["Content-Range"] = f"bytes {start}-{min(end, len(data) - 1)}/{len(data)}"
            data, status = data[start : end + 1], 206
        return self._send(status, data, facts)

    do_HEAD = do_GET

    def _send(self, status: int, body: bytes, facts: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**facts, "Last-Modified": "Thu, 25 Apr 2024 16:24:44 GMT"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            with contextlib.suppress(ConnectionError):  # who asks may leave before the end
                self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Store]]:
    handler = type("OwnStore", (Store,), {"requests": [], "authorizations": set()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # which knows another test's store
    handler.address = f"http://127.0.0.1:{server.server_port}"
    yield handler
    server.shutdown()
    server.server_close()


def test_every_readable_file_by_its_url(memory: str, read_path: Callable) -> None:
    documents, quarantined = read_path(memory, license="MIT")
    assert not quarantined
    texts = {document.source: document.text for document in documents}
    assert texts["memory:///bucket/a.txt"] == "plain text\n"
    assert texts["https://example.org"] == "row"
    assert texts["memory:///bucket/c.parquet:3000"] == "parquet 2999"
    assert len(texts) == 3_002
    assert {document.license for document in documents} == {"MIT"}
    row = next(document for document in documents if document.text == "row")
    assert row.metadata["file"] == "memory:///bucket/sub/b.jsonl.gz"


def test_what_no_reader_takes_is_counted_and_a_change_is_seen(memory: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PHIFORGE_HOME", str(tmp_path))
    given = Params(ingestion=IngestionParams(sources=[Source(path=memory)]))
    before = take(given)
    assert before["sources"][0]["not_read"] == [
        {
            "reason": "files that end in .png, which no reader takes",
            "count": 1,
            "first": ["memory:///bucket/sub/image.png"],
        },
        {"reason": "hidden files and folders", "count": 1, "first": ["memory:///bucket/.hidden/c.txt"]},
    ]
    assert take(given) == before
    fsspec.filesystem("memory").pipe("/bucket/a.txt", b"other text\n")
    assert take(given) != before


def test_the_step_reads_them_whatever_the_engine(memory: str, tmp_path: Path) -> None:
    for kind in ("serial", "threads"):
        given = Params(
            ingestion=IngestionParams(sources=[Source(path=memory)]), engine=EngineParams(kind=kind, workers=2)
        )
        assert ingest.run({}, {"output": tmp_path / kind}, given, Tracker())["documents"] == 3_002
    name = "part-00000.parquet"
    assert (tmp_path / "serial" / name).read_bytes() == (tmp_path / "threads" / name).read_bytes()


def test_s3(store: type[Store], read_path: Callable) -> None:
    documents, quarantined = read_path("s3://bucket")
    assert {document.source: document.text for document in documents} == {
        "s3://bucket/a.txt": "plain text\n",
        "https://example.org": "row",
    }
    assert not quarantined
    assert not [request for request in store.requests if "image.png" in request or "hidden" in request]
    assert any(request.startswith("GET a.txt bytes=0-") for request in store.requests)


def test_a_single_file_by_https(store: type[Store], read_path: Callable) -> None:
    (document,), _ = read_path(f"{store.address}/bucket/sub/b.jsonl.gz")
    assert (document.text, document.metadata["file"]) == ("row", f"{store.address}/bucket/sub/b.jsonl.gz")


NAMELESS = {
    "GPL-3": b"GNU GENERAL PUBLIC LICENSE\n" * 5_000,
    "sub/changelog.Debian.amd64.gz": gzip.compress(b"libriver (1.0) unstable\n"),
    "sub/COPYING.gz": gzip.compress(b"You may copy this.\n"),
    "bin/run": b"#!/bin/sh\necho hello\n",
    "blob": bytes(range(256)) * 20_000,
    "empty": b"",
    "torn.gz": b"\x1f\x8b\x08\0torn",
}
READ = {"GPL-3": "prose", "sub/changelog.Debian.amd64.gz": "prose", "sub/COPYING.gz": "prose", "bin/run": "code"}


@pytest.fixture
def moto_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address in moto's S3 server, which has the files of NAMELESS."""
    import boto3
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    client.create_bucket(Bucket="nameless")
    for name, data in NAMELESS.items():
        client.put_object(Bucket="nameless", Key=name, Body=data)
    yield "s3://nameless"
    server.stop()


def test_the_first_bytes_decide_where_names_in_s3_tell_no_format(moto_s3: str, read_path: Callable) -> None:
    files, unread = list_files(Source(path=moto_s3))
    assert {file.name.removeprefix(f"{moto_s3}/"): file.kind for file in files} == READ
    assert [(row["reason"], row["count"]) for row in unread.rows()] == [
        ("files without an ending and without text", 2),
        ("files that end in .gz, which no reader takes", 1),
    ]
    documents, quarantined = read_path(moto_s3)
    assert {document.source for document in documents} == {file.name for file in files}
    assert not quarantined


@pytest.mark.parametrize("ranges", [True, False])
def test_little_more_than_the_first_bytes_of_a_web_address_are_requested(
    store: type[Store], monkeypatch: pytest.MonkeyPatch, ranges: bool
) -> None:
    store.knows_ranges = ranges
    for name, data in NAMELESS.items():
        monkeypatch.setitem(FILES, name, data)
        files, unread = list_files(Source(path=f"{store.address}/bucket/{name}"))
        assert [file.kind for file in files] == ([READ[name]] if name in READ else [])
        assert len(unread.rows()) == (name not in READ)
    asked = [re.match(r"GET GPL-3 bytes=(\d+)-(\d+)", request) for request in store.requests]
    assert all(int(match[2]) < 20_000 for match in asked if match)
    assert any(asked)


def many_rows() -> bytes:
    """More than fsspec asks of a server at once."""
    return b"".join(b'{"text": "%d %s"}\n' % (number, b"x" * 1_000) for number in range(7_000))


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_server_without_ranges_is_read_from_the_start(
    store: type[Store], read_path: Callable, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    data = gzip.compress(many_rows(), 0) if ending else many_rows()
    monkeypatch.setitem(FILES, f"many.jsonl{ending}", data)
    store.knows_ranges = False
    documents, quarantined = read_path(f"{store.address}/bucket/many.jsonl{ending}")
    assert [int(document.text.split()[0]) for document in documents] == list(range(7_000))
    assert not quarantined


def test_parquet_behind_a_server_without_ranges_says_what_helps(
    store: type[Store], read_path: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": [f"{i}" * 9 for i in range(100_000)]}), sink)
    monkeypatch.setitem(FILES, "a.parquet", sink.getvalue().to_pybytes())
    store.knows_ranges = False
    with pytest.raises(StepError, match=r"a.parquet: its server sends files from their start only .*; copy the file"):
        read_path(f"{store.address}/bucket/a.parquet")


SIGNED = "X-Amz-Credential=me%2Ftoday&X-Amz-Signature=SECRET"


def test_a_signed_address_of_the_environment_is_requested_and_never_written(
    store: type[Store], read_path: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store.query = SIGNED
    monkeypatch.setitem(FILES, "a.jsonl", b'{"text": "one", "url": "https://example.org"}\nno JSON\n')
    for name, texts in (("a.jsonl", ["one"]), ("sub/b.jsonl.gz", ["row"]), ("a.txt", ["plain text\n"])):
        monkeypatch.setenv("SIGNED_URL", f"{store.address.replace('//', '//me:word@')}/bucket/{name}?{SIGNED}")
        documents, quarantined = read_path(f"{store.address}/bucket/{name}", url_env="SIGNED_URL")
        assert [document.text for document in documents] == texts
        assert "X-Amz" not in f"{documents} {quarantined}"
        assert "word" not in f"{documents} {quarantined}"
    assert documents[0].source == f"{store.address}/bucket/a.txt"
    assert store.authorizations == {"Basic bWU6d29yZA=="}
    (file,) = list_files(Source(path=f"{store.address}/bucket/a.txt", url_env="SIGNED_URL"))[0]
    assert "X-Amz" not in f"{file.name} {file.location} {file.version}"


@pytest.mark.parametrize(
    "given", ["", "https://elsewhere.example/a.txt?sig=abc", "https://host.example:port/a?sig=abc"]
)
def test_a_variable_that_does_not_hold_the_address_is_refused_unquoted(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("SIGNED_URL", given)
    with pytest.raises(
        StepError, match=r"url_env names SIGNED_URL, (which is not set|whose value is not the address)"
    ) as said:
        list_files(Source(path="https://host.example/a.txt", url_env="SIGNED_URL"))
    assert "abc" not in str(said.value)


@pytest.mark.parametrize("when", ["listed", "read"])
def test_a_signed_address_stays_out_of_messages(
    store: type[Store], read_path: Callable, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    listed = remote.list_remote

    def then_expire(url: str) -> list:
        found = listed(url)
        store.query = "expired"
        return found

    monkeypatch.setattr("components.ingestion.inventory.list_remote", then_expire)
    store.query = "expired" if when == "listed" else ""
    monkeypatch.setenv("SIGNED_URL", f"{store.address}/bucket/a.txt?{SIGNED}")
    try:
        said = str(read_path(f"{store.address}/bucket/a.txt", url_env="SIGNED_URL")[1])
    except StepError as error:
        said = str(error)
    assert re.search(r"bucket/a.txt\b.*(cannot be (listed|read)|FileNotFoundError)", said)
    assert "X-Amz" not in said


def test_two_colons_in_a_name_are_not_a_chain(
    memory: str, read_path: Callable, store: type[Store], monkeypatch
) -> None:
    fsspec.filesystem("memory").pipe("/bucket/a::b.txt", b"colons\n")
    assert "memory:///bucket/a::b.txt" in {document.source for document in read_path(memory)[0]}
    monkeypatch.setitem(FILES, "a::b.txt", b"colons\n")
    assert "s3://bucket/a::b.txt" in {document.source for document in read_path("s3://bucket")[0]}


@pytest.mark.parametrize("name", ["a.txt", "sub/b.jsonl.gz"])
def test_a_file_that_is_shorter_than_it_was_listed_fails_the_run(
    memory: str, read_path: Callable, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    listed = remote.list_remote

    def then_shrink(url: str) -> list:
        found = listed(url)
        system = fsspec.filesystem("memory")
        system.pipe(f"/bucket/{name}", system.cat(f"/bucket/{name}")[:6])
        return found

    monkeypatch.setattr("components.ingestion.inventory.list_remote", then_shrink)
    with pytest.raises(StepError, match=rf"{name} cannot be read now \(EOFError: it ends after .* bytes\); run again"):
        read_path(memory)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://nothing/here", "nothing was found at memory://nothing/here"),
        ("nosuch://x/y", "nosuch://x/y cannot be listed .*Protocol not known"),
        ("gs://x/y", "gs://x/y cannot be listed .*install"),
        ("http://127.0.0.1:9/a.txt", "http://127.0.0.1:9/a.txt cannot be listed .*Cannot connect"),
    ],
)
def test_what_cannot_be_listed_is_named(url: str, message: str) -> None:
    with pytest.raises(StepError, match=message):
        list_files(Source(path=url))


def test_a_remote_file_that_vanishes_is_quarantined(memory: str, read_path: Callable, monkeypatch) -> None:
    listed = remote.list_remote

    def then_remove(url: str) -> list:
        found = listed(url)
        fsspec.filesystem("memory").rm("/bucket/a.txt")
        return found

    monkeypatch.setattr("components.ingestion.inventory.list_remote", then_remove)
    documents, (quarantined,) = read_path(memory)
    assert len(documents) == 3_001
    assert (quarantined.file, "FileNotFoundError" in quarantined.reason) == ("memory:///bucket/a.txt", True)


@pytest.mark.parametrize("name", ["a.txt", "sub/b.jsonl.gz", "c.parquet"])
def test_a_lost_connection_fails_the_run_and_leaves_nothing(
    memory: str, tmp_path: Path, name: str, monkeypatch
) -> None:
    """It says nothing of the file: to go on without it would give a partial output that looks whole."""
    system = fsspec.filesystem("memory")
    opened = type(system)._open

    class Lost:
        def read(self, size: int) -> bytes:
            raise TimeoutError("no answer")

        def __getattr__(self, attribute: str) -> object:
            return getattr(self.file, attribute)

    def lost(self: object, path: str, *arguments: object, **more: object) -> object:
        file = opened(self, path, *arguments, **more)
        if not path.endswith(name):
            return file
        broken = Lost()
        broken.file = file
        return broken

    monkeypatch.setattr(type(system), "_open", lost)
    given = Params(ingestion=IngestionParams(sources=[Source(path=memory)]), engine=EngineParams(kind="serial"))
    with pytest.raises(StepError, match=r"cannot be read now \(TimeoutError: no answer\); run again"):
        ingest.run({}, {"output": tmp_path / "raw"}, given, Tracker())
    assert not (tmp_path / "raw").exists()
