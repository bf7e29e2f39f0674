"""The page of data on a small corpus that is really on disk: funnel, threshold, search, a dropped document and its text."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.documents import DOCUMENT, LEDGER
from flows.client import corpus as corpora
from tests.ui.fakes import Lists, Open, html, opener, settle
from ui import reads

HOSTILE = "<script>alert(1)</script> **bold** ![x](https://example.org/x.png) \x1b[31m"
FLOW = {"in": [3, 300, 90], "kept": [2, 200, 60], "dropped": {"rules": [1, 100, 30], "educational value": [0, 0, 0]}}
REPORT = {
    "flow": {"prose": FLOW},
    "origins": {HOSTILE: FLOW},
    "origins_in_all": 1,
    "documents": {
        "documents_in": 3, "documents_kept": 2, "keep_fraction": 0.667, "kept_megabytes": 0.2, "dropped": {"min_chars": 1},
    },
    "languages": {"kept": ["en"]},
    "licenses": {"CC0-1.0": [3, 300, 2, 200]},
    "values": {"prose": {"counts": [4, 4, 8, 0], "threshold": 2.5}},
    "decontamination": {"documents": 3, "documents_hit": 1, "benchmarks": {"piqa": {"items": 60, "hit": 1}}, "missing": {}},
    "redacted": {"email": 2},
    "samples": {},
}  # fmt: skip


def row(identifier: str, text: str) -> dict[str, Any]:
    values = {
        "id": identifier,
        "text": text,
        "kind": "prose",
        "source": "notes.txt",
        "license": "CC0-1.0",
        "created_by": "text/1",
    }
    return values | {"educational_value": 3.0, "quality": None, "metadata": "{}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A main folder with curated, raw and dropped documents."""
    kept = [row("a" * 32, "The owl hunts at night."), row("b" * 32, HOSTILE)]
    gone = row("c" * 32, "too short")
    sets = {"curated": kept, "raw": [*kept, gone], "textbooks": [row("d" * 32, "Chapter one")]}
    for name, rows in sets.items():
        path = tmp_path / "data" / name / "part-00000.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, DOCUMENT), path, row_group_size=1)
    dropped = {"id": gone["id"], "step": "curation", "rule": "min_chars", "value": 9.0, "threshold": 80.0}
    ledger = pa.Table.from_pylist([dropped | {"detail": "9 characters", "source": "notes.txt"}], LEDGER)
    (tmp_path / "data" / "ledger").mkdir()
    pq.write_table(ledger, tmp_path / "data" / "ledger" / "curation.parquet")
    for name, content in (
        ("curation/curation.json", REPORT),
        ("synthesize.json", {"teacher": {"kind": "openai", "calls": 12}}),
    ):
        (tmp_path / "reports" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "reports" / name).write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch, root: Any, folder: Path) -> Any:
    monkeypatch.setattr(reads, "corpora", lambda: corpora.corpora(folder))
    yield from opener(monkeypatch, root)


def test_the_funnel_adds_up_and_foreign_names_are_text(open_page: Open) -> None:
    page = html(open_page("data", Lists()))
    for words in ("min_chars", "66.7%", "&lt;script&gt;", "-1"):
        assert words in page
    assert "<script>alert" not in page
    assert "decontamination</th>" not in page, "a step that dropped nothing has no column"


@pytest.mark.parametrize(
    ("query", "words", "absent"),
    [
        ({}, ["The owl hunts", "&lt;script&gt;"], ["<script>alert"]),
        ({"find": "OWL night"}, ["The owl hunts"], ["&lt;script&gt;"]),
        ({"find": "gryphon"}, ["Nothing found"], ["owl"]),
        ({"set": "Textbooks and exercises"}, ["Chapter one"], ["owl"]),
        ({"set": "Dropped"}, ["9 characters", "min_chars"], ["owl"]),
    ],
)
def test_documents_are_found_by_their_words(
    open_page: Open, query: dict[str, str], words: list[str], absent: list[str]
) -> None:
    page = html(open_page("data", Lists(), show="Documents", **query))
    assert all(word in page for word in words)
    assert not any(word in page for word in absent)


def test_a_dropped_document_shows_its_raw_text_and_the_reason(open_page: Open) -> None:
    at = open_page("data", Lists(), show="Documents", set="Dropped")
    assert any("too short" in block.value for block in at.code)
    assert any("found 9, limit 80" in block.value for block in at.markdown)


def test_a_threshold_moves_what_would_be_kept(open_page: Open) -> None:
    at = open_page("data", Lists(), show="Threshold")
    assert "8 (50.0%)" in html(at)
    at = settle(at.slider[0].set_value(1.25).run())
    page = html(at)
    assert "12 (75.0%)" in page
    assert "+4" in page


def test_contamination_teacher_and_licences(open_page: Open) -> None:
    at = open_page("data", Lists(), show="Contamination and licences")
    page = html(at)
    assert all(words in page for words in ("piqa", "openai", "<dd>12</dd>", "CC0-1.0", "email"))


def test_a_project_without_data_says_how_to_get_some(open_page: Open, folder: Path) -> None:
    (folder / "reports" / "curation" / "curation.json").unlink()
    assert "No data yet" in html(open_page("data", Lists()))


def test_a_search_stops_in_time_and_says_how_far_it_got(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "SEARCHED_S", -1.0)
    [corpus] = corpora.corpora(folder)
    found = corpora.documents(corpus, corpora.CURATED, "script")
    assert (list(found.rows), found.looked_at, found.of, found.whole) == ([], 1, 2, False)
