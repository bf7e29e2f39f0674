"""`ingestion.exclude` leaves documents out as if they had never been there: the same bytes as after their deletion."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from components.documents import document_id
from components.ingestion import ingest
from components.params import EngineParams, IngestionParams, Params, Source
from components.tracking import Tracker
from tests.documents import read_documents

LONG = "".join(f"# Chapter {n}\n\n" + f"Sentence {n} of a long text. " * 40 + "\n\n" for n in range(12))
Delete = Callable[[Path], None]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    root = tmp_path / "texts"
    (root / "old").mkdir(parents=True)
    for number in range(30):
        (root / f"{number:02}.txt").write_text(f"This is text {number}.\n")
    (root / "copy.txt").write_text("This is text 7.\n")
    (root / "old" / "x.md").write_text("# Old\n\nAn old text.\n")
    (root / "long.md").write_text(LONG)
    (root / "broken.txt").write_bytes(b"a\x00b")
    rows = [
        {"text": f"Row {n}.", "url": f"https://example.org/{n % 3}/{n}", "license": ["MIT", "GPL-3.0"][n % 2]}
        for n in range(9)
    ]
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def read(
    texts: Path, output: Path, *exclude: str, kind: str = "serial", limit: int = 0, others: tuple[Source, ...] = ()
) -> Path:
    sources = [Source(path=str(texts), license="CC0-1.0", limit=limit), *others]
    given = IngestionParams(sources=sources, exclude=list(exclude), part_chars=1000)
    ingest.run({}, {"output": output}, Params(ingestion=given, engine=EngineParams(kind=kind, workers=2)), Tracker())
    return output


def delete(*names: str) -> Delete:
    return lambda root: [(root / name).unlink() for name in names] and None


def delete_rows(wanted: Callable[[dict], bool]) -> Delete:
    def act(root: Path) -> None:
        lines = (root / "rows.jsonl").read_text().splitlines()
        (root / "rows.jsonl").write_text("".join(f"{line}\n" for line in lines if not wanted(json.loads(line))))

    return act


TEXT = document_id("This is text 7.\n")
CASES: dict[str, tuple[str, Delete]] = {
    "a document, with its exact copies": (f"document={TEXT}", delete("07.txt", "copy.txt")),
    "a long text by its own id": (f"document={document_id(LONG)}", delete("long.md")),
    "a file": ("source=12.txt", delete("12.txt")),
    "a folder": ("source=old", delete("old/x.md")),
    "rows of an address": ("source=https://example.org/1", delete_rows(lambda row: "org/1/" in row["url"])),
    "rows of a licence": ("license=gpl-3.0", delete_rows(lambda row: row["license"] == "GPL-3.0")),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["serial", "processes"])
@pytest.mark.parametrize("case", CASES)
def test_an_excluded_document_was_never_there(texts: Path, tmp_path: Path, case: str, kind: str) -> None:
    rule, remove = CASES[case]
    found, whole = read(texts, tmp_path / "found", rule, kind=kind), read(texts, tmp_path / "whole")
    remove(texts)
    expected = read(texts, tmp_path / "expected")
    if "rows" in case:  # rows carry their number in the file, which a deletion changes
        assert [(d.id, d.text) for d in read_documents(found)] == [(d.id, d.text) for d in read_documents(expected)]
    else:
        assert {p.name: p.read_bytes() for p in found.iterdir()} == {p.name: p.read_bytes() for p in expected.iterdir()}
    assert len(list(read_documents(found))) < len(list(read_documents(whole)))


def test_a_part_stands_for_its_whole_text(texts: Path, tmp_path: Path) -> None:
    part = next(d for d in read_documents(read(texts, tmp_path / "whole")) if d.source == "long.md")
    found = read(texts, tmp_path / "found", f"document={part.id}")
    assert not [d for d in read_documents(found) if d.source == "long.md"]


def test_a_source_of_the_parameters_is_left_out_as_a_whole(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "12.txt").write_text("Another text with a known name.\n")
    more = Source(path=str(tmp_path / "more"))
    found = read(texts, tmp_path / "found", f"source={more.path}", others=(more,))
    expected = read(texts, tmp_path / "expected")
    assert (found / "part-00000.parquet").read_bytes() == (expected / "part-00000.parquet").read_bytes()


def test_a_limit_counts_the_documents_that_stay(texts: Path, tmp_path: Path) -> None:
    found = [d.source for d in read_documents(read(texts, tmp_path / "found", "source=00.txt", limit=3))]
    assert found == ["01.txt", "02.txt", "03.txt"]
