"""Zip and tar: members are read as files are; nothing climbs, nothing grows without end, nothing is lost without a word."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from components.ingestion import readers
from tests.components.ingestion.readers.samples import MARKDOWN, SAMPLES, SENTENCE, tarred, zipped

MEMBERS = {
    "notes/a.md": MARKDOWN,
    "notes/rows.jsonl.gz": gzip.compress(b'{"text": "a row"}\n'),
    "deep.pdf": SAMPLES["a.pdf"],
    "columns.parquet": SAMPLES["a.parquet"],
    "image.png": b"png",
    ".hidden.txt": b"hidden",
    "__MACOSX/a.md": b"notes",
    "empty.txt": b"",
}


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.bz2", "txz"])
def test_members_are_read_as_files_are_and_what_is_not_is_named(read: Callable, ending: str) -> None:
    mode = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "txz": "w:xz"}.get(ending)
    data = tarred(MEMBERS, mode) if mode else zipped(MEMBERS)
    documents, quarantined = read(f"a.{ending}", data, license="MIT")
    assert [document.source for document in documents] == [
        f"a.{ending}/{name}"
        for name in ("notes/a.md", "notes/rows.jsonl.gz:1", "deep.pdf", "columns.parquet:1", "columns.parquet:2")
    ]
    assert {document.license for document in documents} == {"MIT"}
    assert [(entry.file, entry.reason) for entry in quarantined] == [
        (f"a.{ending}/empty.txt", "is empty"),
        (
            f"a.{ending}",
            "members that are not read: 1 file that ends in .png, which no reader takes, 1 folder of notes of macOS, "
            "1 hidden file or folder",
        ),
    ]


@pytest.mark.parametrize("name", ["../../out.txt", "/etc/out.txt", "a/../../out.txt", "..\\out.txt"])
def test_a_name_that_climbs_is_not_followed(read: Callable, name: str, tmp_path: Path) -> None:
    for ending, data in (("zip", zipped({name: "out"})), ("tar", tarred({name: b"out"}))):
        documents, (quarantined,) = read(f"a.{ending}", data)
        assert not documents
        assert "1 file whose name leads out of the archive" in quarantined.reason
    assert not list(tmp_path.rglob("out.txt"))


def test_links_and_devices_are_named(read: Callable) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind in (("a.txt", tarfile.SYMTYPE), ("b.txt", tarfile.LNKTYPE), ("c.txt", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    documents, (quarantined,) = read("a.tar", buffer.getvalue())
    assert not documents
    assert quarantined.reason == "members that are not read: 2 links, 1 pipes and devices"


def test_archives_within_archives_end_somewhere(read: Callable) -> None:
    data = zipped({"a.md": MARKDOWN})
    for depth in range(3):
        documents, quarantined = read("a.zip", data)
        if depth < 2:
            assert ([SENTENCE in document.text for document in documents], quarantined) == ([True], [])
        data = zipped({"inner.zip": data})
    assert not documents
    assert (quarantined[0].file, "more than 2 deep" in quarantined[0].reason) == ("a.zip/inner.zip/inner.zip", True)


def overlapping(members: int, size: int) -> bytes:
    """A zip whose members are all the same bytes."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.txt", b"a" * size)
        first = archive.infolist()[0]
        for _ in range(1, members):
            info = zipfile.ZipInfo("0.txt")
            for field in (
                "compress_type",
                "CRC",
                "compress_size",
                "file_size",
                "header_offset",
                "create_version",
                "flag_bits",
            ):
                setattr(info, field, getattr(first, field))
            archive.filelist.append(info)
    return data.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        zipped({"a.txt": b"\0" * 3_000_000, "b.md": MARKDOWN}),
        zipped({"inner.zip": zipped({f"{i}.txt": b" " * 400_000 for i in range(9)})}),
        overlapping(50, 100_000),
    ],
    ids=["ratio", "nested", "overlapping"],
)
def test_a_zip_that_is_a_bomb_is_left(read: Callable, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.ingestion.readers.base.BOMB_BYTES", 1_000_000)
    documents, quarantined = read("a.zip", data, max_chars=100_000)
    assert sum(len(document.text) for document in documents) < 1_500_000
    assert "to more than 1,000,000: a decompression bomb; the rest is not read" in quarantined[-1].reason


def test_a_tar_that_is_a_bomb_is_left_though_nothing_of_it_is_taken(
    read: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.ingestion.readers.base.BOMB_BYTES", 1_000_000)
    documents, quarantined = read("a.tgz", tarred({"a.png": b"\0" * 5_000_000, "b.md": MARKDOWN}, "w:gz"))
    assert not documents
    assert "a decompression bomb; the rest is not read" in quarantined[-2].reason


def test_a_tar_with_a_huge_name_is_left(read: Callable) -> None:
    long = tarred({"a.md": MARKDOWN, "b" * 2_000_000: b""})
    (document,), (quarantined,) = read("a.tar", long)
    assert SENTENCE in document.text
    assert "ends after 1 members (a header of" in quarantined.reason


def test_a_zip_with_a_huge_name_is_read_without_that_member(read: Callable) -> None:
    (document,), (quarantined,) = read("a.zip", zipped({"b" * 20_000 + ".md": MARKDOWN, "a.md": MARKDOWN}))
    assert document.source == "a.zip/a.md"
    assert quarantined.reason == "members that are not read: 1 file whose name has more than 10,000 characters"


def test_an_archive_of_nothing_but_refused_members_is_not_read_on(
    read: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MAX_REFUSED", 5)
    documents, quarantined = read("a.zip", zipped({f"{i}.txt": b"" for i in range(9)}))
    assert not documents
    assert [entry.file for entry in quarantined] == [*(f"a.zip/{i}.txt" for i in range(5)), "a.zip"]
    assert quarantined[-1].reason == "5 consecutive rows could not be read; the rest of the file is not read"


@pytest.mark.parametrize("at", [512, 1_024, 1_536])
def test_a_broken_header_is_not_an_end(read: Callable, at: int) -> None:
    data = bytearray(tarred({f"{i}.txt": b"text" for i in range(5)}))
    data[at * 2 + 150] ^= 0xFF
    documents, quarantined = read("a.tar", bytes(data))
    assert len(documents) + sum("text" in entry.reason for entry in quarantined) < 5
    assert "ends after" in quarantined[-1].reason


@pytest.mark.parametrize(("end", "reason"), [(-10_240 + 2_560, ""), (1_024, "no mark of its end"), (700, "ends after")])
def test_a_tar_that_breaks_off_is_named(read: Callable, end: int, reason: str) -> None:
    data = tarred({"a.txt": b"text", "b.txt": b"text"})
    documents, quarantined = read("a.tar", data[:end])
    assert len(documents) == (1 if reason else 2)
    assert [reason in entry.reason for entry in quarantined] == [True] * bool(reason)


def test_encrypted_members_are_named(read: Callable) -> None:
    data = bytearray(zipped({"a.txt": "secret", "b.md": MARKDOWN}))
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        place = data.index(mark)
        data[place + (6 if mark[2] == 3 else 8)] |= 1
    (document,), (quarantined,) = read("a.zip", bytes(data))
    assert SENTENCE in document.text
    assert quarantined.reason == "members that are not read: 1 encrypted files"


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_what_is_not_an_archive_is_named(read: Callable, name: str) -> None:
    documents, (quarantined,) = read(name, b"PK")
    assert not documents
    assert (quarantined.file, quarantined.line) == (name, 0)


def test_a_corrupt_member_costs_no_other(read: Callable) -> None:
    data = bytearray(zipped({"a.txt": json.dumps(list(range(500))), "b.md": MARKDOWN}))
    data[60] ^= 0xFF
    (document,), (quarantined,) = read("a.zip", bytes(data))
    assert SENTENCE in document.text
    assert (quarantined.file, "cannot be unpacked" in quarantined.reason) == ("a.zip/a.txt", True)
