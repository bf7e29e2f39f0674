"""The quarantine counts every refused row, and neither its file nor memory grows with their number."""

import gzip
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.documents import Document, DocumentWriter
from components.ingestion import ingest, quarantine, readers
from components.ingestion.inventory import list_files
from components.ingestion.quarantine import REASONS, SINGLE, Quarantine
from components.params import EngineParams, IngestionParams, Params, Source
from components.tracking import Tracker

rows = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from(["is not JSON (char {})", "'x' is {}", "has {} bytes", "is empty"])
    ),
    max_size=60,
).map(lambda found: sorted(found, key=lambda row: row[0]))  # file after file


def written(path: Path, refused: list[dict]) -> tuple[Quarantine, list[dict]]:
    with Quarantine(path) as held:
        for row in refused:
            held.write(row)
    return held, [json.loads(line) for line in path.read_text().splitlines()]


@given(rows)
def test_the_rows_written_count_all_that_were_refused(tmp_path_factory, refused: list[tuple[str, str]]) -> None:
    given_rows = [
        {"file": file, "line": number, "reason": reason.format(number * 7)}
        for number, (file, reason) in enumerate(refused, start=1)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quarantine, "SINGLE", 3)
        patch.setattr(quarantine, "REASONS", 2)
        held, lines = written(tmp_path_factory.mktemp("held") / "q.jsonl", given_rows)
    assert held.rows == len(given_rows) == sum(line.get("rows", 1) for line in lines)
    for file in "ab":
        own = [line for line in lines if line["file"] == file]
        given_lines = [row["line"] for row in given_rows if row["file"] == file]
        assert sum(line.get("rows", 1) for line in own) == len(given_lines)
        assert [line["line"] for line in own if "rows" not in line] == given_lines[:3]
        assert len(own) <= 3 + 3  # two reasons, and one row for the others
        more = [line for line in own if "rows" in line]
        assert not more or max(line["last"] for line in more) == given_lines[-1]


def test_a_summarising_row_says_how_many_from_where_to_where(tmp_path: Path) -> None:
    refused = [{"file": "a", "line": n, "reason": f"is not JSON (char {n})"} for n in range(1, SINGLE + 4)]
    _, lines = written(tmp_path / "q.jsonl", [*refused, {"file": "a", "line": 0, "reason": "breaks off"}])
    assert len(lines) == SINGLE + 2
    assert lines[-2:] == [
        {"file": "a", "line": 0, "reason": "breaks off"},
        {
            "file": "a", "line": SINGLE + 1, "last": SINGLE + 3, "rows": 3,
            "reason": "3 more rows, from 1,001 to 1,003; the first: is not JSON (char 1001)",
        },
    ]  # fmt: skip


def test_reasons_that_all_differ_do_not_pile_up(tmp_path: Path) -> None:
    words = [{"file": "a", "line": n + 1, "reason": "x" * (n % 900)} for n in range(SINGLE + 200)]
    held, lines = written(tmp_path / "q.jsonl", words)
    assert (held.rows, len(lines)) == (SINGLE + 200, SINGLE + REASONS + 1)
    assert max(len(line["reason"]) for line in lines) < 1_200


def ingested(source: Path, output: Path, kind: str = "serial") -> tuple[dict, list[dict]]:
    params = Params(
        ingestion=IngestionParams(sources=[Source(path=str(source))]), engine=EngineParams(kind=kind, workers=2)
    )
    summary = ingest.run({}, {"output": output}, params, Tracker())
    return summary, [json.loads(line) for line in (output / "quarantine.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("limit", [0, 2])
def test_documents_and_quarantined_rows_are_all_rows(limit: int, tmp_path: Path) -> None:
    source = tmp_path / "sources" / "a.jsonl"
    source.parent.mkdir()
    source.write_text('{"text": "first"}\n' + "0\n" * 1_500 + '{"text": "last"}\n' + "0\n" * 7)
    given_source = Source(path=str(source), limit=limit)
    params = Params(ingestion=IngestionParams(sources=[given_source]), engine=EngineParams(kind="serial"))
    summary = ingest.run({}, {"output": tmp_path / "raw"}, params, Tracker())
    lines = [json.loads(line) for line in (tmp_path / "raw" / "quarantine.jsonl").read_text().splitlines()]
    refused = 1_500 if limit else 1_507  # a limit that is met reads no further
    assert (summary["documents"], summary["quarantined"]) == (2, refused)
    assert sum(line.get("rows", 1) for line in lines) == refused
    assert len(lines) == SINGLE + 1


BOMB = """
import resource, sys
from pathlib import Path
from tests.components.ingestion.test_quarantine import ingested
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
summary, _ = ingested(Path(sys.argv[1]), Path(sys.argv[2]))
print(summary["documents"], summary["quarantined"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def bomb(path: Path, line: bytes, rows: int) -> Path:
    path.parent.mkdir()
    with gzip.open(path, "wb") as packed:
        packed.write(b'{"text": "first"}\n')
        for _ in range(rows // 10_000):
            packed.write(line * 10_000)
    return path


def test_a_bomb_of_refused_rows_takes_bounded_memory(root: Path, tmp_path: Path) -> None:
    source = bomb(tmp_path / "sources" / "bomb.jsonl.gz", b"0\n", 200_000)
    command = [sys.executable, "-c", BOMB, str(source), str(tmp_path / "raw")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    documents, refused, grown = map(int, done.stdout.splitlines()[-1].split())
    assert (documents, refused) == (1, readers.MAX_REFUSED + 1)
    assert grown < 100_000  # kB
    assert (tmp_path / "raw" / "quarantine.jsonl").stat().st_size < 500_000


@pytest.mark.parametrize("line", [b"0\n", b"x\n", b'{"text": ""}\n', b"[[]]\n"])
def test_a_file_that_yields_nothing_but_refused_rows_is_not_read_on(line: bytes, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(readers, "MAX_REFUSED", 5_000)
    source = bomb(tmp_path / "sources" / "bomb.jsonl.gz", line, 20_000)
    summary, lines = ingested(source, tmp_path / "raw")
    assert (summary["documents"], summary["quarantined"]) == (1, 5_001)
    assert (len(lines), sum(row.get("rows", 1) for row in lines)) == (SINGLE + 2, 5_001)
    assert lines[-2]["reason"] == "5,000 consecutive rows could not be read; the rest of the file is not read"


def test_a_worker_hands_over_neither_a_million_rows_nor_a_million_tiny_documents(tmp_path: Path) -> None:
    for line in (b"0\n", b'{"text": "a"}\n'):
        path = tmp_path / "a.jsonl.gz"
        path.write_bytes(gzip.compress(line * 40_000))
        files, _ = list_files(Source(path=str(path)))
        assert ingest.read_batch(files, IngestionParams(max_document_chars=10_000, part_chars=0)) is None


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "a", "source": "s" * 20_000}, "its source has 20,000 characters, over 10,000"),
        ({"text": "a", "license": "s" * 20_000}, "its license has 20,000 characters"),
        ({"text": "a", "more": "s" * 1_000_001}, "its metadata have 1,000,"),
        ({"text": "a", "more": [[]] * 800_000}, "holds more than 1,200,000 commas and brackets"),
    ],
)
def test_what_a_row_holds_beside_its_text_is_bounded(row: dict, words: str, read: Callable) -> None:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    documents, (refused,) = read("a.jsonl", json.dumps(row).encode() + b'\n{"text": "after"}\n')
    assert [document.text for document in documents] == ["after"]
    assert words in refused.reason
    assert time.process_time() - started < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_a_writer_holds_few_documents_of_much_metadata(tmp_path: Path) -> None:
    with DocumentWriter(tmp_path / "documents") as writer:
        for number in range(40):
            writer.write(Document(f"text {number}", "prose", "s", "MIT", "me", metadata={"more": "x" * 900_000}))
            assert len(writer._buffer) < 20
