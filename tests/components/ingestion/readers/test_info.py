"""GNU Info files and scripts without an ending: read by what they hold."""

import gzip
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.documents import Document
from components.ingestion.files import SourceFile
from components.ingestion.formats import format_of, marked_format
from components.ingestion.inventory import list_files
from components.ingestion.readers import Limits, read_file
from components.ingestion.readers.info import plain
from components.params import Source

INFO = b"""This is river.info, produced by makeinfo version 6.8 from river.texi.

Copyright (C) The Rivers.

INFO-DIR-SECTION Water
START-INFO-DIR-ENTRY
* River: (river).      Where the water goes.
END-INFO-DIR-ENTRY

\x1f
File: river.info,  Node: Top,  Next: Springs,  Up: (dir)

Rivers
******

A river begins at a spring.

* Menu:

* Springs::   Where they begin.

\x1f\x0c
File: river.info,  Node: Springs,  Prev: Top,  Up: Top

1 Springs
*********

File: this line belongs to the text.
\x00\x08[image src="spring.png" alt="A spring"\x00\x08]\xc3\x9cberall.

\x1f
Tag Table:
Node: Top\x7f210
Node: Springs\x7f370
\x1f
End Tag Table

\x1f
Local Variables:
coding: utf-8
End:
"""
TEXT = """Copyright (C) The Rivers.

Rivers
******

A river begins at a spring.

* Menu:

* Springs::   Where they begin.

1 Springs
*********

File: this line belongs to the text.
Überall.
"""


@pytest.mark.parametrize("name", ["a.info", "a.info.gz", "a.info-1", "a.info-12.gz"])
def test_info_is_read_without_its_nodes_and_tables(read: Callable, name: str) -> None:
    (document,), quarantined = read(name, gzip.compress(INFO, mtime=0) if name.endswith(".gz") else INFO)
    assert (document.text, document.kind, quarantined) == (TEXT, "prose", [])


def test_info_without_nodes_is_a_text_and_the_table_of_a_long_one_is_none(read: Callable) -> None:
    (document,), _ = read("a.info", b"Water runs down.\n")
    assert document.text == "Water runs down.\n"
    documents, (quarantined,) = read(
        "b.info", b"This is b.info, produced by makeinfo.\n\n\x1f\nIndirect:\nb.info-1: 300\n"
    )
    assert (documents, quarantined.reason) == ([], "is empty")


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"\x1f\n", b"File: a\n", b"\x00\x08[", b"text\n"])).map(b"".join)
)
def test_no_bytes_break_it(data: bytes) -> None:
    assert plain(data) == data or len(plain(data)) <= len(data) + 1


@pytest.mark.parametrize(
    ("start", "language"),
    [
        (b"#!/bin/sh -e\n", "Shell"),
        (b"#! /usr/bin/perl -w\n", "Perl"),
        (b"#!/usr/bin/env -S python3 -u\n", "Python"),
        (b"#!/usr/bin/env COLUMNS=80 node", "JavaScript"),
        (b"#!/opt/python-3.11/bin/python3.11\r\n", "Python"),
        (b"#!/usr/bin/unheard-of\n", ""),
    ],
)
def test_a_script_without_an_ending_is_code_in_the_language_of_what_runs_it(
    tmp_path: Path, start: bytes, language: str
) -> None:
    (tmp_path / "run-it").write_bytes(start + b"\nx = 1\n")
    (tmp_path / "notes").write_bytes(b"#hash\0\1\2")
    (tmp_path / "b.dat").write_bytes(start)
    ((file,), unread) = list_files(Source(path=str(tmp_path)))
    (document,) = read_file(file, Limits(1_000))
    assert (document.kind, document.source) == ("code", "run-it")
    assert document.metadata.get("programming_language", "") == language
    assert unread.lines() == [
        "1 file that ends in .dat, which no reader takes (b.dat)",
        "1 file without an ending and without text (notes)",
    ]


@pytest.mark.parametrize("start", [b"", b"#!", b"#!\n", b"# !/bin/sh", b"\x7fELF", b"#!\xff\xff"])
def test_other_beginnings_say_nothing(start: bytes) -> None:
    assert marked_format(start) is None


@pytest.mark.parametrize("name", ["a.information", "a.inf", "a.info-", "a.info-1234"])
def test_other_endings_are_not_info(name: str) -> None:
    assert format_of(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "README.Debian",
        "NEWS.Debian.gz",
        "changelog.gz",
        "changelog.Debian.gz",
        "README.source",
        "README.1st",
        "README.de",
        "TODO.Debian",
        "METADATA",
        "PKG-INFO",
        "INSTALL",
        "pkg-1.0.dist-info/METADATA",
        "changelog.Debian.amd64.gz",
        "NEWS.arm64",
    ],
)
def test_texts_of_packages_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "all" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(b"A text.\n", mtime=0) if name.endswith(".gz") else b"A text.\n")
    (file,), unread = list_files(Source(path=str(tmp_path / "all")))
    (document,) = read_file(file, Limits(1_000))
    assert (document.text, document.kind, unread.lines()) == ("A text.\n", "prose", [])


@pytest.mark.parametrize("name", ["README.png", "notes.de", "changelog.7z", "README.Debian.7z", "LICENSE"])
def test_other_names_are_not_texts_of_packages(name: str) -> None:
    assert format_of(name) is None


@pytest.mark.parametrize(
    "before", [b"", b"\n <!-- a note -->\n", b"\xef\xbb\xbf<?xml version='1.0'?>\n<!DOCTYPE html>"]
)
def test_a_page_without_an_ending_is_read_as_a_page(tmp_path: Path, before: bytes) -> None:
    river = b"A river begins at a spring, and grows. " * 9
    (tmp_path / "about").write_bytes(before + b"<html><body><main><p>" + river + b"</p></main></body></html>")
    ((file,), _) = list_files(Source(path=str(tmp_path)))
    (document,) = read_file(file, Limits(1_000))
    assert document.text == river.decode().strip() + "\n"


LICENSE = b"                    GNU GENERAL PUBLIC LICENSE\n\n 1. Source code.\n"
PAGE = b'.\\" A comment\n.TH LS 1\n.SH NAME\nls \\- list files\n'


@pytest.mark.parametrize(
    ("name", "content", "reader"),
    [
        ("GPL-3", LICENSE, "file-reader/1"),
        ("LICENSE", LICENSE, "file-reader/1"),
        ("Artistic", b'\n\n\t\t The "Artistic License"\n', "file-reader/1"),
        ("GFDL-1.2", LICENSE, "file-reader/1"),
        ("LGPL-2.1", LICENSE, "file-reader/1"),
        ("MPL-2.0", LICENSE, "file-reader/1"),
        ("notes-1.10", LICENSE, "file-reader/1"),
        ("chapter.3p", b"'tis the season.\n", "file-reader/1"),
        ("page.7", b"... and so on.\n", "file-reader/1"),
        ("latin.2", "Straße und Größe, süß wie Öl.\n".encode("latin-1"), "file-reader/1"),
        ("wide", "Fünf Bücher".encode("utf-16"), "file-reader/1"),
        ("COPYING.gz", gzip.compress(LICENSE, mtime=0), "file-reader/1"),
        ("ls.1", PAGE, "man-reader/1"),
        ("ls.1.gz", gzip.compress(PAGE, mtime=0), "man-reader/1"),
        ("ls", PAGE, "man-reader/1"),
        ("ls.0", b"\n'\\\" t\n" + PAGE, "man-reader/1"),
        ("old.1", b'\\"Without a dot\n' + PAGE, "man-reader/1"),
        ("limits.amd64.gz", gzip.compress(LICENSE, mtime=0), "file-reader/1"),
        ("program.amd64", b"\x7fELF\2\1\1" + bytes(90), "files that end in .amd64, which no reader takes"),
        ("blob", bytes(range(256)) * 20, "files without an ending and without text"),
        ("empty", b"", "files without an ending and without text"),
        ("escapes", b"\x1b[2J\x07\x08" * 50, "files without an ending and without text"),
        ("data.0", b"\0\1\2", "files that end in .0, which no reader takes"),
        ("broken.gz", b"\x1f\x8b\x08\0broken", "files that end in .gz, which no reader takes"),
        ("text.ark", LICENSE, "files that end in .ark, which no reader takes"),
    ],
)
def test_the_content_decides_where_the_name_tells_no_format(
    tmp_path: Path, name: str, content: bytes, reader: str
) -> None:
    (tmp_path / "files").mkdir()
    path = tmp_path / "files" / name
    path.write_bytes(content)
    files, unread = list_files(Source(path=str(path.parent)))
    found = [document.created_by for file in files for document in read_file(file, Limits(10_000))]
    assert (found or [row["reason"] for row in unread.rows()]) == [reader]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(path, name)
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        archive.add(path, name)
    for packed in ("all.zip", "all.tar"):  # its members likewise
        file = SourceFile(tmp_path / packed, packed, Source(path=packed), (tmp_path / packed).stat().st_size)
        [one] = read_file(file, Limits(10_000))
        assert (one.created_by if isinstance(one, Document) else "not read") == (reader if found else "not read")
