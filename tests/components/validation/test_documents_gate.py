"""The gates of documents: what passes, what fails, and what the failure says."""

import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from components.documents import Drop, document_id, write_ledger
from components.errors import StepError


def failed(results: Any, asset: str) -> list[str]:
    return [row["column"] for row in results(asset)["expectations"] if row["state"] != "passed"]


@pytest.mark.parametrize("asset", ["raw", "curated"])
def test_a_good_set_passes(asset: str, gate: Any, documents: Any, results: Any, tracker: Any) -> None:
    summary = gate(asset, documents())
    assert summary["documents"] == summary["distinct_documents"] == summary["prose_documents"] == 120
    assert summary["shards"] == 2
    assert summary["expectations"]["failed"] == summary["expectations"]["error"] == 0
    assert results(asset)["passed"]
    assert tracker.artifacts == [f"validation/{asset}/results.json", f"validation/{asset}/index.html"]


BROKEN = [
    ("id", {"id": "XYZ"}, {"id", "id, content_hash"}),
    ("hash", {"id": "0" * 32}, {"id, content_hash"}),
    ("kind", {"kind": "poem"}, {"kind"}),
    ("source", {"source": " "}, {"source"}),
    ("licence", {"license": ""}, {"license"}),
    ("author", {"created_by": ""}, {"created_by"}),
    ("metadata list", {"metadata": "[]"}, {"metadata_type"}),
    ("metadata text", {"metadata": "{oops"}, {"metadata_type"}),
    ("score", {"educational_value": 5.5}, {"educational_value"}),
    ("quality", {"quality": -0.5}, {"quality"}),
]


@pytest.mark.parametrize(("changed", "columns"), [pytest.param(*case[1:], id=case[0]) for case in BROKEN])
def test_one_broken_row_is_found(changed: dict, columns: set, gate: Any, documents: Any, results: Any) -> None:
    """Identity and provenance are never tolerated, however large the tolerated share of bad texts."""
    with pytest.raises(StepError):
        gate("raw", documents(**changed), max_invalid_fraction=0.5)
    assert set(failed(results, "raw")) == columns
    row = next(row for row in results("raw")["expectations"] if row["state"] == "failed")
    assert row["unexpected"] == 1
    assert row["rows"] == 120
    assert row["examples"][0]["source"] == changed.get("source", "book/0")


def dirty(rows: list[dict[str, Any]], texts: list[str]) -> list[dict[str, Any]]:
    for row, text in zip(rows, texts, strict=False):
        row |= {"text": text, "id": document_id(text)}
    return rows


def test_a_slightly_dirty_corpus_passes_and_a_dirty_one_fails(
    gate: Any, documents: Any, good_rows: Any, results: Any
) -> None:
    texts = ["", " \n ", "\ufffd\x00" * 5]
    source = documents(made=dirty(good_rows(), texts))
    summary = gate("raw", source, max_invalid_fraction=0.01)  # each is one row of 120
    assert summary["unexpected_rows"] == 3
    with pytest.raises(StepError):
        gate("raw", source, max_invalid_fraction=0.008)
    assert failed(results, "raw") == ["text", "text", "bad_character_fraction"]


def test_the_share_is_judged_over_all_batches(gate: Any, documents: Any, good_rows: Any) -> None:
    """Two bad rows are in one shard of ten rows: a fifth of the batch, a sixtieth of the set."""
    source = documents(made=dirty(good_rows(), ["", ""]), shards=12)
    assert gate("raw", source, max_invalid_fraction=0.02)["unexpected_rows"] == 2


def test_the_message_says_column_rows_share_and_three_examples(
    gate: Any, documents: Any, good_rows: Any, tmp_path: Path
) -> None:
    source = documents(made=dirty(good_rows(1000), [""] * 5), shards=3)
    with pytest.raises(StepError) as raised:
        gate("raw", source, max_invalid_fraction=0.001)
    page = tmp_path / "report" / "raw" / "index.html"
    assert str(raised.value) == (
        "documents: text: expect_column_value_lengths_to_be_between - 5 of 1,000 rows (0.50%), e.g. ['', '', ''] "
        f"(expected: text is not empty; --set validation.max_invalid_fraction=0.005); see {page}"
    )
    assert page.is_file()


def test_ids_are_unique_over_shards_after_curation(gate: Any, documents: Any, good_rows: Any) -> None:
    made = [*good_rows(), good_rows()[7]]
    assert gate("raw", documents(made=made))["duplicate_fraction"] == pytest.approx(1 / 121, abs=1e-6)
    with pytest.raises(StepError, match=re.escape(f"{made[7]['id']} (2 times)")):
        gate("curated", documents(made=made))
    with pytest.raises(StepError, match="max_duplicate_fraction"):
        gate("raw", documents(made=good_rows(60) * 3), max_duplicate_fraction=0.5)


def test_too_little_text_fails_and_names_the_parameter(gate: Any, documents: Any) -> None:
    with pytest.raises(StepError) as raised:
        gate("raw", documents(12), min_documents=50, min_megabytes=0.05)
    words = "expected: at least 50 documents in the set; add text to ingestion.sources, or --set validation.min_documents=12"
    assert words in str(raised.value)
    (megabytes,) = re.findall(r"--set validation\.min_megabytes=([\d.]+)", str(raised.value))
    assert gate("raw", documents(12), min_documents=12, min_megabytes=float(megabytes))["documents"] == 12


def test_a_failed_gate_says_what_was_dropped_before_and_how_to_keep_it(
    gate: Any, documents: Any, tmp_path: Path
) -> None:
    def drop(number: int, rule: str, detail: str) -> Drop:
        return Drop(f"{number:032x}", "curation", rule, 0.9, 0.65, detail, "s")

    drops = [drop(n, "language", "language de (0.99); en stay") for n in range(90)]
    drops += [drop(n, "language", "language fr (0.99); en stay") for n in range(5)]
    drops += [drop(n, "gopher_quality.min_doc_words", "3 words") for n in range(4)]
    drops += [drop(1, "educational_value", "x"), drop(2, "min_chars", "x"), drop(3, "min_chars", "x")]
    write_ledger(tmp_path / "ledger.parquet", drops)
    with pytest.raises(StepError) as raised:
        gate("curated", documents(12), ledger=tmp_path / "ledger.parquet", min_documents=50)
    told = (
        "documents dropped: 102, of them 95 by language (not in a language to keep; to keep de, fr: --set "
        "curation.language.keep=[de, fr]), 4 by gopher_quality.min_doc_words (to loosen it: --set "
        "curation.web.gopher_quality.min_doc_words=VALUE), 2 by min_chars (to loosen it: --set curation.min_chars=VALUE), "
        "1 by other rules"
    )
    assert told in str(raised.value)


def test_an_empty_set_fails_with_results(gate: Any, tmp_path: Path, results: Any) -> None:
    from components.documents import DocumentWriter

    with DocumentWriter(tmp_path / "empty"):
        pass
    with pytest.raises(StepError, match="at least 2 documents in the set; add text to ingestion"):
        gate("raw", tmp_path / "empty")
    assert results("raw")["facts"]["documents"] == 0


def test_textbooks_have_their_own_kinds_and_teachers(gate: Any, documents: Any, good_rows: Any, results: Any) -> None:
    made = [row | {"kind": "textbook", "created_by": "procedural/1:chapter-faq"} for row in good_rows(5)]
    assert gate("textbooks", documents(made=made))["textbook_documents"] == 5
    with pytest.raises(StepError):
        gate("textbooks", documents(5))
    assert failed(results, "textbooks") == ["kind", "created_by"]
    made[2]["text"] += "<|im_end|>"
    made[3]["text"] += "<Think>Is that enough?</Think>"
    made[4]["text"] += " \u202e"
    with pytest.raises(StepError, match=r"text: .* 3 of 5 rows .*no thoughts, chat markup or control characters"):
        gate("textbooks", documents(made=made))


def test_what_is_not_a_document_set_is_refused(gate: Any, tmp_path: Path, documents: Any) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(StepError, match=r"nothing has no part-\*\.parquet"):
        gate("raw", tmp_path / "nothing")
    directory = documents(400, shards=1)
    shard = directory / "part-00000.parquet"
    start = pq.read_metadata(shard).row_group(0).column(1).data_page_offset
    with open(shard, "r+b") as file:  # the footer stays readable
        file.seek(start)
        file.write(b"\0" * 64)
    with pytest.raises(StepError, match=r"part-00000\.parquet: row group 0 of 1 cannot be read"):
        gate("raw", directory)


def test_equal_data_give_equal_bytes_and_no_absolute_path(gate: Any, documents: Any, tmp_path: Path) -> None:
    source = documents()
    gate("raw", source)
    folder = tmp_path / "report" / "raw"
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    gate("raw", source)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert set(first) == {"results.json", "index.html"}
    assert not any(str(tmp_path).encode() in content for content in first.values())
