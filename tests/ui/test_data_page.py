"""The page of data on a small corpus that is really on disk: funnel, threshold, search, a dropped document and its text."""

from pathlib import Path
from typing import Any

import pytest

from flows.client import corpus as corpora
from tests.ui.fakes import HOSTILE, Lists, Open, html, made_corpus, opener, settle
from ui import reads


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A main folder with curated, raw and dropped documents."""
    return made_corpus(tmp_path, HOSTILE)


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch, root: Any, folder: Path) -> Any:
    monkeypatch.setattr(reads, "corpora", lambda: corpora.corpora(folder))
    yield from opener(monkeypatch, root)


def test_the_funnel_adds_up_and_foreign_names_are_text(open_page: Open) -> None:
    page = html(open_page("data", Lists()))
    for words in ("min_chars", "66.7%", "&lt;script&gt;", "-2,444"):
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
    assert "too short</pre>" in html(at)
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
