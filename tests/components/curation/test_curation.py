"""Curation: what stays is clean and single, what goes stands in the ledger with its figure."""

import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.curation import curate
from components.curation.rules import alpha_fraction, duplicate_line_fraction, first_failure
from components.curation.text import normalise
from components.documents import Document, DocumentWriter, document_id, read_documents
from components.errors import StepError
from components.params import CurationParams, EngineParams, Params
from components.tracking import Tracker

GOOD = "This is a sentence that teaches a reader something about the world, slowly and clearly, with an example.\n"


def curated(folder: Path, documents: list[Document], kind: str = "serial") -> tuple[dict, list[Document], list[dict]]:
    with DocumentWriter(folder / "raw", rows_per_shard=7) as writer:
        for document in documents:
            writer.write(document)
    params = Params(engine=EngineParams(kind=kind, workers=2))
    outputs = {"output": folder / "curated", "ledger": folder / "ledger.parquet"}
    summary = curate.run({"documents": folder / "raw"}, outputs, params, Tracker())
    return summary, list(read_documents(folder / "curated")), pq.read_table(folder / "ledger.parquet").to_pylist()


def document(text: str, kind: str = "prose", source: str = "s") -> Document:
    return Document(text, kind, source, "MIT", "test")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.just(GOOD), st.just(GOOD + "\r\n")
        ),
        max_size=25,
    )
)
def test_the_ledger_balances_and_what_stays_is_single(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [document(text) for text in [GOOD, *texts]]
        summary, kept, ledger = curated(Path(folder), rows)
        assert len(rows) == len(kept) + len(ledger) == summary["documents_in"]
        assert len({d.id for d in kept}) == len(kept)
        assert all(d.id == document_id(d.text) and d.text == normalise(d.text) for d in kept)
        assert {row["id"] for row in ledger} <= {d.id for d in rows}


def test_the_first_of_equal_texts_stays(tmp_path: Path) -> None:
    _, kept, ledger = curated(
        tmp_path, [document(GOOD, source="first"), document(GOOD.replace("\n", "\r\n"), source="second")]
    )
    assert [d.source for d in kept] == ["first"]
    assert [(row["rule"], row["source"]) for row in ledger] == [("exact_duplicate", "second")]


def test_a_changed_text_leads_back_to_its_raw_document(tmp_path: Path) -> None:
    raw = document(GOOD + "\r\n\r\n")
    _, kept, _ = curated(tmp_path, [raw])
    assert kept[0].metadata["raw_id"] == raw.id != kept[0].id


@pytest.mark.parametrize(
    ("text", "kind", "rule"),
    [
        ("short", "prose", "min_chars"),
        (GOOD * 1000, "prose", "max_chars"),
        ("1234567890 " * 20, "prose", "min_alpha_fraction"),
        ("0x00, " * 50, "code", "min_alpha_fraction"),
        ("word " * 100, "code", "max_line_chars"),
        ("the same line here\n" * 8, "prose", "max_duplicate_line_fraction"),
        ("return value\n" * 10, "code", None),
        (GOOD, "prose", None),
    ],
)
def test_rules(text: str, kind: str, rule: str | None) -> None:
    failure = first_failure(normalise(text), kind, CurationParams())
    assert (failure.rule if failure else None) == rule
    if failure:
        assert failure.value != failure.threshold


def test_the_engine_changes_nothing(tmp_path: Path) -> None:
    rows = [document(f"{i % 40} {GOOD}", source=str(i)) for i in range(60)]
    curated(tmp_path / "a", rows)
    curated(tmp_path / "b", rows, "processes")
    for name in ("ledger.parquet", "curated/part-00000.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_nothing_left_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="no document of 1 is left; first drops: s: min_chars: 6 characters"):
        curated(tmp_path, [document("short")])
    assert not (tmp_path / "curated").exists()
    assert not (tmp_path / "ledger.parquet").exists()


def test_a_long_run_of_blanks_takes_no_longer_than_its_length() -> None:
    text = "a" + " " * 150_000 + "b"  # minutes, if the run is tried again from each of its blanks
    assert normalise(text + " \t\n") == text + "\n"


def test_the_ledger_may_lie_in_the_directory_of_the_documents(tmp_path: Path) -> None:
    with DocumentWriter(tmp_path / "raw") as writer:
        writer.write(document(GOOD))
        writer.write(document("short"))
    outputs = {"output": tmp_path / "out", "ledger": tmp_path / "out" / "ledger.parquet"}
    params = Params(engine=EngineParams(kind="serial"))
    curate.run({"documents": tmp_path / "raw"}, outputs, params, Tracker())
    assert pq.read_metadata(outputs["ledger"]).num_rows == 1


@given(st.text())
def test_normalise_is_idempotent(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(), st.lists(st.text(max_size=3)))
def test_fractions_are_fractions(text: str, lines: list[str]) -> None:
    assert 0 <= alpha_fraction(text) <= 1
    assert 0 <= duplicate_line_fraction(lines) < 1 or not lines
