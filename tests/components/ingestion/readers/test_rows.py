"""Rows of any format: tables, JSON, and which of their columns holds the text."""

import gzip
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from components.ingestion import ingest
from components.ingestion.readers import Limits
from components.ingestion.readers.columns import Columns
from components.ingestion.readers.rows import peeked
from components.params import EngineParams, IngestionParams, Params, Source
from components.tracking import Tracker
from tests.components.ingestion.readers.samples import ROWS, SENTENCE

LONG = SENTENCE * 5


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", f'n,text\n1,"{SENTENCE}"\n2,It is deep.\n'),
        ("b.csv", f"n;text\n1;{SENTENCE}\n2;It is deep.\n"),
        ("c.csv", f'\ufeffn\ttext\r\n1\t"{SENTENCE}"\r\n2\tIt is deep.\r\n'),
        ("d.tsv", f"n\ttext\n1\t{SENTENCE}\n2\tIt is deep.\n"),
        ("e.json", json.dumps(ROWS)),
        ("f.json", json.dumps(ROWS, indent=2)),
        ("g.json", json.dumps({"version": 1, "rows": ROWS})),
        ("h.ndjson", "\n".join(map(json.dumps, ROWS))),
        ("i.jsonlines", "\n".join(map(json.dumps, ROWS))),
        ("j.jsonl", json.dumps(ROWS)),
        ("k.jsonl", json.dumps(ROWS, indent=2)),
        ("l.jsonl", json.dumps({"data": ROWS}, indent=2)),
        ("m.json", "\n".join(map(json.dumps, ROWS))),  # lines, whatever the name says
        *((f"n{end}", "".join(map(json.dumps, ROWS))) for end in (".json", ".jsonl")),
        *((f"o{end}", "\r".join(map(json.dumps, ROWS)) + "\r") for end in (".json", ".jsonl")),
        ("p.jsonl", ",\n".join(map(json.dumps, ROWS)) + ",\n"),
        ("q.jsonl", "".join(f"\x1e{json.dumps(row)}\n" for row in ROWS)),  # RFC 7464
        ("r.jsonl", "".join(f"\ufeff{json.dumps(row)}\r\n" for row in ROWS)),
        ("s.json", "\n".join(json.dumps(row | {"more": "x" * 100_000}) for row in ROWS)),
        ("s.json", "\n\n".join(json.dumps(row, indent=1) for row in ROWS)),
        ("t.csv", f'n,text\r1,"{SENTENCE}"\r2,It is deep.\r'),
    ],
)
def test_rows_of_each_format_are_documents(read: Callable, name: str, data: str) -> None:
    documents, quarantined = read(name, data.encode())
    assert [document.text for document in documents] == [SENTENCE, "It is deep."]
    assert [str(document.metadata["n"]) for document in documents] == ["1", "2"]
    assert all(document.source.startswith(f"{name}:") for document in documents)
    assert not quarantined


def test_one_object_is_one_document(read: Callable) -> None:
    (document,), _ = read("a.json", json.dumps({"text": SENTENCE, "tags": [{"a": 1}]}).encode())
    assert (document.text, document.metadata) == (SENTENCE, {"tags": [{"a": 1}]})


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8-sig"])
def test_a_table_may_be_in_another_encoding(read: Callable, encoding: str) -> None:
    text = "Das ist ein schöner Tag für alle, die über Bücher reden möchten. " * 5
    (document,), _ = read("a.csv", f"n\ttext\n1\t{text}\n".encode(encoding))
    assert document.text == text


def test_json_may_be_in_utf16(read: Callable) -> None:
    assert len(read("a.json", json.dumps(ROWS).encode("utf-16"))[0]) == 2


def test_a_cell_may_have_several_lines_and_leads_back_to_its_first(read: Callable) -> None:
    documents, _ = read("a.csv", b'text,n\n"one\ntwo",1\nthree,2\n')
    assert [(document.text, document.source) for document in documents] == [
        ("one\ntwo", "a.csv:2"),
        ("three", "a.csv:4"),
    ]


@pytest.mark.parametrize(
    ("name", "data", "kept", "reason"),
    [
        ("a.csv", b"text,n\ngood,1\na text, with a comma,2\nlast,3\n", 2, "has 3 cells, and the first row names 2"),
        ("a.csv", b'text,n\ngood,1\n"never closed,2\n' + b"x\n" * 300, 1, "an unclosed quote"),
        ("a.csv", b"text,n\ngood,1\n" + b"x" * 1_100_000, 1, "a line of more than"),
        ("a.csv", b"7,text\n1,2,3\n1,2,3\n", 0, "its second row has 3 cells, and the first row names 2 columns; add"),
        ("a.csv", b"", 0, "is empty"),
        ("a.csv", b"text,text\na,b\n", 0, "does not name each column once"),
        ("a.csv", b"x" * 300 + b"\n", 0, "does not name each column once"),
        ("a.json", b"", 0, "is empty"),
        ("a.json", b"[]x", 0, "text follows its array"),
        ("a.json", b'[{"text": "good"}, {"text": "torn', 1, "cannot be read to its end"),
        ("a.json", b'[{"text": "good"}', 1, "it ends within its array"),
        ("a.json", b'[{"text": "good"}, {"text": "' + b"x" * 1_100_000 + b'"}]', 1, "an element of more than"),
        ("a.json", b'{"text": "' + b"x" * 1_100_000 + b'"}', 0, "an element of more than"),
        ("a.json", b"[" * 100_000, 0, "nests lists or objects too deep"),
        ("a.json", b"[1, 2]", 0, "expected an object with 'text'"),
        ("a.json", b'{"text": 3}', 0, "its 'text' holds a value of type integer"),
        ("a.json", b'[{"text": "caf\xe9\xe9"}]', 0, "are not utf-8"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_of_rows_is_named(read: Callable, name: str, data: bytes, kept: int, reason: str) -> None:
    documents, quarantined = read(name, data, max_chars=1_000)
    assert [document.text for document in documents] == ["good", "last"][:kept]
    assert reason in quarantined[-1].reason


def test_a_large_array_is_never_held_whole(read: Callable, tmp_path) -> None:
    data = json.dumps([{"text": f"{i} {LONG}"} for i in range(5_000)]).encode()
    tracemalloc.start()
    documents, _ = read("a.json", data)
    del documents
    from components.ingestion.inventory import list_files
    from components.ingestion.readers import Limits, read_file

    (file,) = list_files(Source(path=str(tmp_path / "sources" / "a.json")))[0]
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    assert sum(1 for _ in read_file(file, Limits(200_000))) == 5_000
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak < 1_500_000 < len(data)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(values, max_size=8), st.sampled_from([None, 1]), st.integers(1, 40))
def test_elements_are_those_that_json_finds(rows: list, indent: int | None, chunk: int) -> None:
    import io
    from unittest.mock import patch

    from components.ingestion.readers import json_values

    with patch.object(json_values, "CHUNK", chunk):
        found = list(json_values._values(io.StringIO(json.dumps(rows, indent=indent)), Limits(10_000), "text"))
    assert found == rows


@pytest.mark.parametrize("data", ['{"text": "a", "more": %s}', '[{"text": "before"}, {"text": "a", "more": %s}]'])
def test_json_of_too_many_values_is_refused_before_it_is_held(read: Callable, data: str) -> None:
    packed = (data % ("[" + "[]," * 800_000 + "[]]")).encode()
    tracemalloc.start()
    documents, (quarantined,) = read("a.json", packed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [document.text for document in documents] == ["before"] * ("before" in data)
    assert "more than 1,200,000 " in quarantined.reason
    assert peak < 60_000_000


@pytest.mark.parametrize(
    ("rows", "column"),
    [
        ([{"body": "short", "id": "x" * 90}], "body"),
        ([{"Content": LONG, "title": SENTENCE}], "Content"),
        ([{"article": LONG, "abstract": SENTENCE}], "article"),
        ([{"essay": LONG, "author": "A. Person"}], "essay"),
        ([{"essay": LONG, "n": 1}], "essay"),
        ([{"message": "fix", "diff": LONG}], ""),
        ([{"question": SENTENCE, "answer": SENTENCE}], ""),
        ([{"name": "Ann", "town": "Bern"}], ""),
        ([{"extends": "./base", "n": 1}], ""),
        ([{"n": 1}], ""),
        ([{"sha": "0123456789abcdef" * 4, "n": "1"}], ""),
        ([{"point": "5.1 3.5 1.4 0.2 5.1 3.5 1.4 0.2", "n": "1"}], ""),
        ([{"phrase": "川の水は春には冷たい。雪解け水が山から流れてくるからです。", "n": "1"}], "phrase"),
        ([{"text": None, "body": LONG}], "text"),
        ([{"body": ""}], ""),
    ],
)
def test_the_text_is_found_where_there_is_no_doubt(rows: list[dict], column: str) -> None:
    assert Columns.of(rows).text() == column


@given(st.lists(st.dictionaries(st.text(max_size=8), values, max_size=5), max_size=5))
def test_a_column_that_is_found_holds_strings(rows: list[dict]) -> None:
    columns = Columns.of(rows)
    found = columns.text()
    assert not found or found == "text" or any(isinstance(row.get(found), str) for row in rows)
    assert "its fields: " in columns.refusal("it")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", b'{"body": "%s", "title": "t"}\n' % LONG.encode()),
        ("a.json", b'[{"body": "%s", "title": "t"}]' % LONG.encode()),
        ("a.csv", b"body,title\n%s,t\n" % LONG.replace(",", ";").encode()),
    ],
)
def test_the_column_that_is_taken_is_said(read: Callable, name: str, data: bytes) -> None:
    (document,), _ = read(name, data)
    assert document.metadata["taken_for_text"] == "body"
    (document,), _ = read(name, data, text_column="title")
    assert (document.text, "taken_for_text" in document.metadata) == ("t", False)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", b'{"question": "What is it?", "answer": "A river, is it not?"}\n' * 3),
        ("a.json", b'{"question": "What is it?", "answer": "A river, is it not?"}'),
        ("a.csv", b"question,answer\nWhat is it?,A river; is it not?\n"),
    ],
)
def test_a_doubt_names_the_fields_and_the_remedy(read: Callable, name: str, data: bytes) -> None:
    documents, (quarantined,) = read(name, data)
    assert not documents
    assert "has no field 'text'; its fields: question (string), answer (string); " in quarantined.reason
    assert "set text_column: answer for the source '" in quarantined.reason
    assert 'text_column: "answer"}]' in quarantined.reason
    assert len(read(name, data, text_column="answer")[0]) >= 1


def test_a_file_without_the_column_that_is_named_is_one_entry(read: Callable) -> None:
    documents, (quarantined,) = read("a.jsonl", b'{"text": "a"}\n' * 9, text_column="body")
    assert not documents
    assert "has no strings in 'body', which text_column names; its fields: text (string); " in quarantined.reason


def test_rows_before_a_break_are_kept_though_they_say_the_column(read: Callable) -> None:
    import gzip

    packed = gzip.compress(b"".join(b'{"body": "%d %s"}\n' % (i, LONG.encode()) for i in range(50)))
    documents, (quarantined,) = read("a.jsonl.gz", packed[: len(packed) * 8 // 10])
    assert 0 < len(documents) < 50
    assert "cannot be read to its end" in quarantined.reason


def test_rows_of_few_strings_are_not_held_by_the_hundred() -> None:
    asked = iter([(number, {"n": [[]] * 400_000}) for number in range(1, 100)])
    first, rows = peeked(asked)
    assert len(first) == 1
    assert sum(1 for _ in rows) == 99


def test_the_summary_says_which_column_was_taken(tmp_path) -> None:
    (tmp_path / "t").mkdir()
    rows = "".join(json.dumps({"body": f"{i} {SENTENCE}"}) + "\n" for i in range(3))
    (tmp_path / "t" / "a.jsonl").write_text(rows)
    given_params = Params(
        ingestion=IngestionParams(sources=[Source(path=str(tmp_path / "t"))]), engine=EngineParams(kind="serial")
    )
    summary = ingest.run({}, {"output": tmp_path / "raw"}, given_params, Tracker())
    assert summary["text_columns"] == [{"source": str(tmp_path / "t"), "column": "body", "documents": 3}]
    (tmp_path / "t" / "a.jsonl").write_text('{"name": "Ann", "town": "Bern"}\n')
    with pytest.raises(StepError, match=r"its fields: name .*set text_column: name for the source"):
        ingest.run({}, {"output": tmp_path / "raw"}, given_params, Tracker())


def test_lengths_are_of_text_alone() -> None:
    assert Columns.of([{"url": "https://example.org", "a": " b c ", "d": "word"}]).lengths == Counter({"a": 3, "d": 1})


def test_a_wrong_byte_in_a_table_costs_itself_alone(read: Callable) -> None:
    rows = ["Voilà une phrase française, élevée."] * 9
    data = "\n".join(["text", *(f'"{row}"' for row in rows)]).encode()
    documents, _ = read("a.csv", data[:-1] + b'\xff"\n"' + rows[0].encode() + b'"')
    assert [document.text for document in documents] == [*rows[:-1], rows[0] + "\ufffd", rows[0]]
    assert [document.metadata.get("wrong_bytes") for document in documents] == [*[None] * 8, 1, None]


def test_rows_in_another_encoding_than_the_beginning_of_their_table_are_named(read: Callable, monkeypatch) -> None:
    monkeypatch.setattr("components.ingestion.readers.tables.PROBED", 20)
    data = b"text,n\ngood and plain,1\n" + "Öl für große Räder,1\n".encode("cp1252")
    (document,), (quarantined,) = read("a.csv", data)
    assert (document.text, quarantined.line) == ("good and plain", 3)
    assert "4 of its 19 characters are not utf-8; convert" in quarantined.reason


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            '{"text": ["one", "two"]}',
            "its 'text' holds a value of type list; expected a string; write one row for each",
        ),
        ('{"text": 5}', "its 'text' holds a value of type integer; expected a string"),
        ('{"text": {"en": "one"}}', "its 'text' holds a value of type object; expected a string"),
        (
            '{"text": "one", "n": 1, "text": "two"}',
            "its 'text' appears 2 times; rename all but the one with the text",
        ),
        ('{"text": null}', "has no 'text', or an empty one"),
        ('{"text": "one"} rubbish', "is not JSON (Extra data"),
        ('{"text": "one"}, {"text": "tw', "is not JSON (Extra data"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_row_without_one_text_says_why(read: Callable, name: str, row: str, reason: str) -> None:
    good = json.dumps({"text": "good"})
    rows = f"{good}\n{row}\n{good}\n" if name == "a.jsonl" or "JSON" in reason else f"[{good},{row},{good}]"
    documents, (quarantined,) = read("a.jsonl" if "JSON" in reason else name, rows.encode())
    assert [document.text for document in documents] == ["good", "good"]
    assert (quarantined.line, quarantined.reason[: len(reason)]) == (2, reason)


def test_a_number_of_too_many_digits_costs_its_line(read: Callable) -> None:
    documents, (quarantined,) = read("a.jsonl", b'{"text": "one", "n": ' + b"7" * 5000 + b'}\n{"text": "two"}\n')
    assert [document.text for document in documents] == ["two"]
    assert quarantined.reason == "holds a whole number of more than 4,300 digits; write it as a string"


def test_several_rows_of_a_line_are_read(read: Callable) -> None:
    rows = [json.dumps({"text": text, "of": {"text": 1}}) for text in ("one", "two\ttabs", "three")]
    data = f"{rows[0]}\n{rows[1].replace(chr(92) + 't', chr(9))} {rows[2]}\n"
    documents, quarantined = read("a.jsonl", data.encode())
    assert ([document.text for document in documents], quarantined) == (["one", "two\ttabs", "three"], [])
    assert [document.source for document in documents] == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:2"]


def test_a_sequence_of_any_length_is_read_an_element_at_a_time(read: Callable) -> None:
    texts = [f"{number} {SENTENCE * 9}" for number in range(2_000)]
    data = "\r".join(json.dumps({"text": text}) for text in texts).encode()
    documents, quarantined = read("a.jsonl", data, max_chars=1_000)
    assert [document.text for document in documents] == texts
    assert not quarantined


def test_what_is_compressed_and_does_not_say_so_is_named(read: Callable) -> None:
    documents, (quarantined,) = read("a.jsonl", gzip.compress(b'{"text": "one"}'))
    assert (documents, quarantined.reason) == ([], "is compressed by gzip; add .gz to its name")


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int8(), pa.binary())]
)
def test_bytes_of_parquet_are_text_where_they_are_utf8(tmp_path: Path, read_path: Callable, kind: pa.DataType) -> None:
    values = [SENTENCE.encode(), "élan".encode(), b"caf\xe9", None]
    column = (
        pa.array(values, pa.binary()).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(values, kind)
    )
    pq.write_table(pa.table({"text": column, "n": column}), tmp_path / "a.parquet")
    documents, quarantined = read_path(str(tmp_path / "a.parquet"))
    assert [(document.text, document.metadata["n"]) for document in documents] == [
        (SENTENCE, SENTENCE),
        ("élan", "élan"),
    ]
    assert [entry.reason for entry in quarantined] == [
        "its 'text' is not UTF-8 (byte 3: unexpected end of data)",
        "has no 'text', or an empty one",
    ]


OPEN = "has an unclosed quote"


@pytest.mark.parametrize(
    ("table", "texts", "refused"),
    [
        ('1\t"a\n2\tb\n3\tc\n', ['"a', "b", "c"], []),  # never closed
        ('1\t"a\n2\tb\n3\t"c\n4\td\n', ['"a', "b", '"c', "d"], []),  # closed by another stray one
        ('1\t"a\n2\tb\n3\t"c d"\n', ['"a', "b", "c d"], []),
        ('1\t5" pipe\n2\t7" pipe\n3\n4\td\n', ['5" pipe', '7" pipe', "d"], ["has no 'text'"]),
        ('1\t"first\nsecond"\n2\tb\n', ["first\nsecond", "b"], []),  # on two lines
        ('1\t"first\n\nmore\n"\n2\tb\n', ["first\n\nmore\n", "b"], []),
        ('1\t"a ""b""\tc"\n2\tb\n', ['a "b"\tc', "b"], []),  # a tab within
        ('"1\n2\tb\n3\tc\n', ["b", "c"], [OPEN]),
        ('1\t"a\n' + "".join(f"{n}\tb\n" for n in range(2, 2_500)), ['"a', *["b"] * 2_498], []),
        ('x"\t"a\n' * 30_000, ['"a'] * 30_000, []),  # minutes, if each quote were followed to the end
    ],
)
def test_a_stray_quote_in_a_table_with_tabs_takes_no_other_row(
    read: Callable, table: str, texts: list[str], refused: list[str]
) -> None:
    for end in ("\n", "\r\n"):
        whole = ("n\ttext\n" + table).replace("\n", end)
        documents, quarantined = read("a.tsv", whole.encode())
        assert [document.text.replace("\r\n", "\n") for document in documents] == texts
        assert len(quarantined) == len(refused)
        assert all(reason in entry.reason for entry, reason in zip(quarantined, refused, strict=True))
    documents, _ = read("b.tsv", ("n\ttext\n" + table).removesuffix("\n").encode())
    assert [document.text for document in documents] == texts
