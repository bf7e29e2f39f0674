"""Files of text and of rows: packed or not, broken in every way, never held whole when they are too large."""

import bz2
import errno
import gzip
import io
import json
import lzma
import random
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.documents import document_id
from components.errors import StepError
from components.ingestion import files
from components.ingestion.readers.base import Limits
from components.ingestion.readers.json_values import _fewest, _values
from components.ingestion.readers.parts import bounded_lines

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}
ROWS = b"".join(json.dumps({"text": f"row {i} " + "x" * (i % 90)}).encode() + b"\n" for i in range(5_000))


@pytest.mark.parametrize("ending", PACK)
def test_each_compression_is_unpacked(read: Callable, ending: str) -> None:
    (document,), _ = read(f"a.md{ending}", PACK[ending](b"# Title\n"))
    assert (document.text, document.source) == ("# Title\n", f"a.md{ending}")
    documents, quarantined = read(f"b.jsonl{ending}", PACK[ending](ROWS))
    assert (len(documents), quarantined) == (5_000, [])
    assert documents[-1].source == f"b.jsonl{ending}:5000"


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_a_truncated_file_keeps_what_came_before_and_is_named(read: Callable, ending: str) -> None:
    packed = PACK[ending](ROWS[: len(ROWS) // 2]) + PACK[ending](ROWS[len(ROWS) // 2 :])
    packed = packed[: len(packed) * 9 // 10]
    documents, quarantined = read(f"a.jsonl{ending}", packed)
    assert 2_000 < len(documents) < 5_000
    assert [document.text for document in documents] == [json.loads(x)["text"] for x in ROWS.splitlines()][
        : len(documents)
    ]
    assert "cannot be read to its end" in quarantined[-1].reason
    assert read(f"a.txt{ending}", packed)[0] == []


def test_two_packed_parts_are_one_file(read: Callable) -> None:
    assert len(read("a.jsonl.gz", gzip.compress(ROWS) + gzip.compress(ROWS))[0]) == 10_000


def test_parquet_is_not_packed_again(read: Callable) -> None:
    assert read("a.parquet.gz", gzip.compress(b"PAR1")) == ([], [])  # listed by the inventory as not read


class Endless(io.RawIOBase):
    """A line of 200 MB, then a short one, without ever being anywhere."""

    def __init__(self, size: int) -> None:
        self.left, self.tail = size, b"\nshort\n"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        data = b"x" * min(self.left, len(buffer)) if self.left else self.tail[: len(buffer)]
        self.left, self.tail = (self.left - len(data), self.tail) if self.left else (0, self.tail[len(data) :])
        buffer[: len(data)] = data
        return len(data)


def test_a_line_of_200_megabytes_is_passed_over_without_being_held() -> None:
    stream = io.BufferedReader(Endless(200_000_000))
    tracemalloc.start()
    lines = list(bounded_lines(stream, 1_000_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines == [200_000_001, b"short\n"]
    assert peak < 10_000_000


@given(st.lists(st.binary(max_size=12)), st.integers(1, 9))
def test_lines_are_bounded_and_none_is_lost(parts: list[bytes], most: int) -> None:
    data = b"\n".join(parts)
    lines = list(bounded_lines(io.BytesIO(data), most))
    expected = io.BytesIO(data).readlines()
    assert len(lines) == len(expected)
    for line, whole in zip(lines, expected, strict=True):
        assert line in (whole, len(whole))
        assert (line == whole) == (len(whole) <= most + whole.endswith(b"\n"))


def test_a_too_long_line_is_named_and_the_next_is_read(read: Callable) -> None:
    long = json.dumps({"text": "x" * (Limits(1_000).line_bytes + 1)}).encode()
    documents, (quarantined,) = read("a.jsonl", long + b'\n{"text": "after"}\n', max_chars=1_000)
    assert [document.text for document in documents] == ["after"]
    assert (quarantined.line, f"a line of {len(long) + 1:,} bytes" in quarantined.reason) == (1, True)


@pytest.mark.parametrize("start", ['["', '[["', '{"text": "'], ids=["an array", "a nested array", "an object"])
def test_json_without_an_end_is_not_held(read: Callable, start: str) -> None:
    data = gzip.compress(start.encode() + "ж".encode() * 20_000_000)
    tracemalloc.start()
    documents, (quarantined,) = read("a.json.gz", data, max_chars=1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (documents, "of more than 2,000,000 characters" in quarantined.reason) == ([], True)
    assert peak < 30_000_000


@given(st.text(max_size=50), st.booleans(), st.booleans())
def test_an_escape_counts_no_more_than_its_character(text: str, as_ascii: bool, in_array: bool) -> None:
    written = json.dumps({"text": text}, ensure_ascii=as_ascii)
    assert _fewest(written) <= len('{"text": ""}') + len(text)
    assert list(_values(io.StringIO(f"[{written}]" if in_array else written), Limits(50), "text")) == [{"text": text}]


@pytest.mark.parametrize("line", [b"\n", b" \r\n"])
def test_a_bomb_of_line_ends_is_not_counted_to_its_end(read: Callable, monkeypatch, line: bytes) -> None:
    monkeypatch.setattr("components.ingestion.readers.parts._BLANK", 1_000)
    some = b'{"text": "before"}\n' + line * 1_000 + b'{"text": "after"}\n'
    documents, (quarantined,) = read("a.jsonl.gz", gzip.compress(some + line * 1_001 + b'{"text": "lost"}\n'))
    assert [document.source for document in documents] == ["a.jsonl.gz:1", "a.jsonl.gz:1002"]
    assert "cannot be read to its end: ValueError: more than 1,000 blank lines in a row" in quarantined.reason


def test_a_bomb_of_zeros_is_not_unpacked(read: Callable) -> None:
    data = gzip.compress(b"\0" * 30_000_000)
    tracemalloc.start()
    assert "over 4,003 bytes" in read("a.txt.gz", data, max_chars=1_000)[1][0].reason
    line = read("a.jsonl.gz", data, max_chars=1_000)[1][0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "a line of 30,000,000 bytes" in line.reason
    assert peak < 10_000_000


@pytest.mark.parametrize("name", ["a.txt", "a.py", "a.md.gz"])
def test_nul_bytes_are_named(read: Callable, name: str) -> None:
    data = b"text\n\x00more"
    documents, (quarantined,) = read(name, gzip.compress(data) if name.endswith("gz") else data)
    assert not documents
    assert "holds a NUL (character 5)" in quarantined.reason


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("a.jsonl", b'{"text": "a\x00b"}', "holds a NUL (character 1)"),
        ("b.jsonl", b'{"text": "' + b"\xff\xfe" * 9 + b'"}', "is not JSON"),
        ("c.jsonl", b"\xff\xfe", "is not JSON"),
    ],
)
def test_rows_with_nul_bytes_or_no_utf8_are_named(read: Callable, name: str, line: bytes, reason: str) -> None:
    documents, (quarantined,) = read(name, b'{"text": "before"}\n' + line + b'\n{"text": "after"}\n')
    assert [document.text for document in documents] == ["before", "after"]
    assert (quarantined.line, reason in quarantined.reason) == (2, True)


@pytest.mark.parametrize(
    ("data", "texts", "facts"),
    [
        (
            b'{"text": "one wr\xffng byte of many that are right"}',
            ["one wr\ufffdng byte of many that are right"],
            {"wrong_bytes": 1},
        ),
        (b'{"text": "caf\xe9"}', ["caf\ufffd"], {"wrong_bytes": 1}),
        ('{"text": "caf\xe9"}'.encode(), ["caf\xe9"], {}),
    ],
)
def test_a_wrong_byte_in_a_line_of_json_is_counted(read: Callable, data: bytes, texts: list[str], facts: dict) -> None:
    rows = b'{"text": "before"}\n' + data + b'\n{"text": "after"}\n'
    documents, quarantined = read("a.jsonl", rows)
    assert ([document.text for document in documents], quarantined) == (["before", *texts, "after"], [])
    assert [document.metadata for document in documents] == [{}, facts, {}]


@pytest.mark.parametrize("share", [1, 9])
def test_wrong_bytes_in_an_array_of_json_cost_their_row_alone(read: Callable, share: int) -> None:
    rows = [
        b'{"text": "before"}',
        b'{"text": "' + b"\xff" * share + b'a text of fifty letters that are right, or nearly so"}',
        b'{"text": "after"}',
    ]
    documents, quarantined = read("a.json", b"[" + b",".join(rows) + b"]")
    assert [document.text[:6] for document in documents] == ["before", *["\ufffda tex"] * (share == 1), "after"]
    assert [document.metadata for document in documents] == [{}, *[{"wrong_bytes": 1}] * (share == 1), {}]
    assert [(entry.line, "are not utf-8" in entry.reason) for entry in quarantined] == [(2, True)] * (share > 1)


@pytest.mark.parametrize("start", ["\n", "\n \n\r\n", "\ufeff\n\n"])
@pytest.mark.parametrize(
    "data", ['{\n"text": "a",\n"n": 1\n}\n', '{"text": "a"}\n', '[\n{"text": "a"}\n]', '{"text": "a"} {"text": "b"}']
)
def test_blank_lines_before_json_change_nothing(read: Callable, start: str, data: str) -> None:
    wanted = [document.text for document in read("a.jsonl", data.encode())[0]]
    documents, quarantined = read("b.jsonl", (start + data).encode())
    assert ([document.text for document in documents], quarantined) == (wanted, [])
    assert wanted[0] == "a"


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        (
            "a.txt",
            b"a text\0 of many letters, one of which is none at all\n",
            "a text\ufffd of many letters, one of which is none at all\n",
        ),
        (
            "a.tex",
            b"a text\0 of many letters, one of which is none at all\n",
            "a text\ufffd of many letters, one of which is none at all\n",
        ),
        (
            "a.jsonl",
            b'{"text": "a text\\u0000 of many letters, one of which is none at all"}',
            "a text\ufffd of many letters, one of which is none at all",
        ),
    ],
)
def test_a_nul_among_many_letters_is_a_wrong_byte(read: Callable, name: str, data: bytes, text: str) -> None:
    (document,), quarantined = read(name, data)
    assert (document.text, document.metadata["wrong_bytes"], quarantined) == (text, 1, [])
    assert document.id == document_id(text)


def test_other_encodings_are_found_and_recorded(read: Callable) -> None:
    text = "Das ist ein schöner Tag für alle, die über Bücher reden möchten. " * 5
    (document,), _ = read("a.txt", text.encode("cp1252"))
    assert (document.text, document.metadata) == (text, {"encoding": "cp1252"})
    (document,), _ = read("b.txt", text.encode("utf-16"))
    assert (document.text, document.metadata) == (text, {"encoding": "utf-16"})
    (document,), _ = read("c.py", f"# -*- coding: latin-1 -*-\ns = '{text}'\n".encode("latin-1"))
    assert text in document.text


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.txt", b"text \xc3\x28\x81\x01", "byte 5: invalid continuation byte"),
        ("a.py", b"x = 1\ns = '\xe9'\n", "byte 11"),
        ("b.py", b"# coding: no-such-thing\n", "no-such-thing"),
        *((f"{codec}.py", f"# coding: {codec}\n".encode(), f"'{codec}'") for codec in ("rot13", "zlib", "undefined")),
        *(
            (f"{codec}.py", f"# coding: {codec}\n'\\ud800 +2AA-'\n".encode(), r"half a surrogate pair ('\ud800')")
            for codec in ("utf-7", "unicode_escape", "raw_unicode_escape")
        ),
        ("b.txt", b"\xef\xbb\xbftext" + b"\xff" * 9, "starts as utf-8, but 9 characters are not"),
    ],
)
def test_bytes_that_are_not_text_are_named_with_their_offset(
    read: Callable, name: str, data: bytes, reason: str
) -> None:
    documents, (quarantined,) = read(name, data)
    assert not documents
    assert reason in quarantined.reason


def test_parquet_of_another_schema_is_named(tmp_path: Path, read_path: Callable) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    pq.write_table(pa.table({"text": [1, 2]}), folder / "a.parquet")
    pq.write_table(pa.table({"body": ["x"], "text": [b"x"]}), folder / "b.parquet")
    pq.write_table(pa.table({"body": ["one"], "n": [1]}), folder / "c.parquet")
    (folder / "d.parquet").write_bytes((folder / "c.parquet").read_bytes()[:-9])
    documents, quarantined = read_path(str(folder))
    assert [(document.text, document.metadata) for document in documents] == [
        ("x", {"body": "x"}),
        ("one", {"n": 1, "taken_for_text": "body"}),
    ]
    reasons = {entry.file: entry.reason for entry in quarantined}
    assert reasons["a.parquet"] == "its column 'text' holds int64, not strings"
    assert "cannot be read to its end" in reasons["d.parquet"]
    documents, _ = read_path(str(folder), text_column="body")
    assert [(document.text, document.metadata) for document in documents] == [
        ("x", {"text": "x"}),
        ("one", {"n": 1}),
    ]


def test_a_value_that_python_does_not_have_costs_its_field_alone(tmp_path: Path, read_path: Callable) -> None:
    years = pa.array([2**62, None], pa.int64())
    columns = {
        "text": ["one", "two"],
        "far": years.cast(pa.timestamp("us")),
        "day": pa.array([10**8, 0], pa.int32()).cast(pa.date32()),
        "zone": years.cast(pa.timestamp("us", tz="Mars/Phobos")),
        "score": [float("nan"), 1.5],
        "list": [[float("inf"), 1.0], []],
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    (one, two), quarantined = read_path(str(tmp_path / "a.parquet"))
    assert not quarantined
    assert [name for name in ("far", "day", "zone") if one.metadata.pop(name).startswith("unreadable: ")] == [
        "far",
        "day",
        "zone",
    ]
    assert one.metadata == {"list": [None, 1.0]}
    assert two.metadata == {"day": "1970-01-01", "score": 1.5, "list": []}


def test_a_string_that_is_not_utf8_costs_its_row_or_its_field_alone(tmp_path: Path, read_path: Callable) -> None:
    strings = pa.array([b"good", b"ba\xff!", b"last"]).view(pa.string())
    pq.write_table(pa.table({"text": strings, "n": [1, 2, 3]}), tmp_path / "a.parquet")
    documents, (quarantined,) = read_path(str(tmp_path / "a.parquet"))
    assert [document.text for document in documents] == ["good", "last"]
    assert (quarantined.line, quarantined.reason) == (2, "its 'text' is not UTF-8 (byte 2: invalid start byte)")
    pq.write_table(pa.table({"text": ["a", "b", "c"], "title": strings}), tmp_path / "b.parquet")
    documents, quarantined = read_path(str(tmp_path / "b.parquet"))
    assert [document.metadata["title"][:10] for document in documents] == ["good", "unreadable", "last"]
    assert not quarantined


def test_two_columns_of_the_texts_name_are_named(tmp_path: Path, read_path: Callable) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, names=["text", "text"]), tmp_path / "a.parquet")
    documents, (quarantined,) = read_path(str(tmp_path / "a.parquet"))
    assert not documents
    assert quarantined.reason == "has 2 columns named 'text'; rename all but the one with the text"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell the peak otherwise")
@pytest.mark.parametrize("dictionary", [True, False])
def test_a_huge_value_that_packs_to_nothing_is_read_row_by_row(tmp_path: Path, dictionary: bool) -> None:
    """In a process of its own, whose peak is told."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 200), ["a" * 2_000_000])
    table = pa.table({"text": texts if dictionary else texts[:20].cast(pa.string())})
    with pq.ParquetWriter(
        tmp_path / "a.parquet", table.schema, use_dictionary=dictionary, compression="zstd", store_schema=False
    ) as file:
        for _ in range(200 // len(table)):
            file.write_table(table)
    code = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from components.ingestion.inventory import list_files\n"
        "from components.ingestion.readers import Limits, read_file\n"
        "from components.params import Source\n"
        "(file,) = list_files(Source(path=sys.argv[1]))[0]\n"
        "print(sum(len(item.text) for item in read_file(file, Limits(10_000_000))))\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.parquet")],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=True,
    )
    characters, peak = map(int, done.stdout.split())
    assert characters == 200 * 2_000_000
    assert peak < 400_000  # kB


def test_a_row_group_that_is_a_bomb_is_not_unpacked(tmp_path: Path, read_path: Callable, monkeypatch) -> None:
    monkeypatch.setattr("components.ingestion.readers.rows.BOMB_BYTES", 1_000_000)
    with pq.ParquetWriter(
        tmp_path / "a.parquet", pa.schema({"text": pa.string()}), compression="zstd", use_dictionary=False
    ) as file:
        file.write_table(pa.table({"text": ["a" * 100_000] * 100}))
        file.write_table(pa.table({"text": ["after"]}))
    (document,), (quarantined,) = read_path(str(tmp_path / "a.parquet"))
    assert (document.text, document.source) == ("after", "a.parquet:101")
    assert (quarantined.line, "a decompression bomb" in quarantined.reason) == (1, True)


def test_a_row_keeps_all_its_fields(read: Callable) -> None:
    row = {"text": "t", "id": "<urn:1>", "quality": 0.4, "educational_value": 3, "kind": "news", "n": None}
    own = {"source": "https://example.org", "line": 7, "file": "their.txt", "metadata": {"a": 1}}
    (one, two), _ = read("a.jsonl", json.dumps(row).encode() + b"\n" + json.dumps(row | own).encode())
    assert one.metadata == {"id": "<urn:1>", "quality": 0.4, "educational_value": 3, "kind": "news"}
    assert (one.kind, one.quality, one.educational_value) == ("prose", None, None)
    assert two.metadata == one.metadata | {
        "a": 1, "file": "a.jsonl", "line": 2, "source_file": "their.txt", "source_line": 7
    }  # fmt: skip


def test_what_is_quarantined_of_a_row_leads_to_its_line(read: Callable) -> None:
    rows = [{"text": "a"}, {"text": "b" * 1_001}, {"text": "c" * 1_001, "url": "https://example.org"}, {"text": "d\0"}]
    (document,), quarantined = read("a.jsonl", "\n".join(map(json.dumps, rows)).encode(), max_chars=1_000)
    assert document.text == "a"
    assert [(entry.file, entry.line, entry.reason.partition(",")[0]) for entry in quarantined] == [
        ("a.jsonl", 2, "1"),
        ("a.jsonl", 3, "1"),
        ("a.jsonl", 4, "holds a NUL (character 1): binary data"),
    ]


@pytest.mark.parametrize("metadata", ["[" * 200_000, "9" * 5_000, "[" * 60 + "]" * 60])
def test_metadata_that_cannot_be_read_stay_a_string(read: Callable, metadata: str) -> None:
    rows = [{"text": "before"}, {"text": "t", "metadata": metadata}, {"text": "after"}]
    documents, quarantined = read("a.jsonl", "\n".join(map(json.dumps, rows)).encode())
    assert [document.text for document in documents] == ["before", "t", "after"]
    assert documents[1].metadata == {"metadata": metadata}
    assert not quarantined


def test_a_row_that_nests_too_deep_costs_no_other_row(read: Callable) -> None:
    lines = [f'{{"text": "{depth}", "n": {"[" * depth}{"]" * depth}}}' for depth in (50, 51, 900, 5_000)]
    (document,), quarantined = read("a.jsonl", "\n".join(lines).encode())
    assert document.text == "50"
    assert [entry.line for entry in quarantined] == [2, 3, 4]
    assert "nests lists or objects more than 50 deep" in quarantined[0].reason


def test_metadata_are_json(read: Callable) -> None:
    (document,), _ = read("a.jsonl", b'{"text": "t", "a": [NaN, 1e999], "metadata": "{\\"b\\": [Infinity]}"}')
    assert json.dumps(document.metadata, allow_nan=False) == '{"a": [null, null], "b": [null]}'


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_lines_of_another_encoding_are_named_as_a_whole(read: Callable, encoding: str) -> None:
    documents, (quarantined,) = read("a.jsonl", ('{"text": "a"}\n' * 3).encode(encoding))
    assert not documents
    assert (
        quarantined.line,
        f"seems to be {encoding}, and JSON lines are UTF-8; convert it" in quarantined.reason,
    ) == (
        0,
        True,
    )


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        pa.ArrowMemoryError("realloc"),
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENOMEM, "Cannot"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ],
)
def test_memory_and_handles_that_run_out_end_the_step(read: Callable, monkeypatch, error: Exception) -> None:
    def fail(file: object) -> None:
        raise error

    monkeypatch.setattr("components.ingestion.files.SourceFile.open_packed", fail)
    with pytest.raises(
        StepError, match=r"a\.jsonl cannot be read, since memory, file handles or disk space ran out .* run again"
    ):
        read("a.jsonl", ROWS)


def test_the_text_may_stand_under_another_key(read: Callable) -> None:
    documents, quarantined = read("a.jsonl", b'{"content": "c", "text": "t"}\n{"text": "t"}\n', text_column="content")
    assert [document.text for document in documents] == ["c"]
    assert [entry.reason for entry in quarantined] == ["has no 'content', or an empty one"]


def test_a_row_leads_back_to_its_line_when_its_source_does_not(read: Callable) -> None:
    documents, _ = read("a.jsonl", b'{"text": "a"}\n{"text": "b", "url": "https://example.org", "license": "MIT"}\n')
    assert [document.source for document in documents] == ["a.jsonl:1", "https://example.org"]
    assert documents[1].metadata == {"url": "https://example.org", "file": "a.jsonl", "line": 2}
    assert documents[1].license == "MIT"


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.parquet", "a.html", "a.warc.gz", "a.jsonl.zst"])
def test_a_file_that_vanishes_is_named(read_path: Callable, tmp_path: Path, name: str, monkeypatch) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / name).write_bytes(b"x")
    opened = files.open_inside

    def vanished(path: Path, folder: Path | None) -> BinaryIO:
        path.unlink()
        return opened(path, folder)

    monkeypatch.setattr(files, "open_inside", vanished)
    documents, (quarantined,) = read_path(str(tmp_path / "t"))
    assert not documents
    assert (quarantined.file, "FileNotFoundError" in quarantined.reason) == (name, True)


def test_a_file_that_vanishes_while_it_is_listed_is_named(read_path: Callable, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.txt").write_text("a")
    listed = [tmp_path / "t" / name for name in ("a.txt", "b.txt")]
    monkeypatch.setattr("components.ingestion.inventory._walk", lambda root, follow, unread: listed)
    documents, (quarantined,) = read_path(str(tmp_path / "t"))
    assert [document.source for document in documents] == ["a.txt"]
    assert quarantined.file == "b.txt"


def test_a_file_that_breaks_in_the_middle_keeps_what_came_before(read: Callable, monkeypatch) -> None:
    class Failing(io.BytesIO):
        def readline(self, size: int = -1) -> bytes:
            if self.tell() > 50_000:
                raise OSError(5, "Input/output error")
            return super().readline(size)

    monkeypatch.setattr("components.ingestion.files.SourceFile.open_packed", lambda file: Failing(ROWS))
    documents, (quarantined,) = read("a.jsonl", ROWS)
    assert 500 < len(documents) < 5_000
    assert "Input/output error" in quarantined.reason


def test_a_full_disk_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    """In a process of its own, whose files may not grow beyond a few kB."""
    (tmp_path / "t").mkdir()
    words = [f"{random.Random(i).random()}" for i in range(20_000)]
    (tmp_path / "t" / "a.jsonl").write_text("".join(json.dumps({"text": word}) + "\n" for word in words))
    (tmp_path / "params.yaml").write_text(
        f"ingestion:\n  sources: [{{path: '{tmp_path / 't'}'}}]\nengine: {{kind: serial}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "components.ingestion", "--params", "params.yaml", "--output", "raw"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[4]), "PHIFORGE_HOME": str(tmp_path), "PATH": ""},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "disk full" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "raw").exists()
    assert not list(tmp_path.glob(".raw*"))
