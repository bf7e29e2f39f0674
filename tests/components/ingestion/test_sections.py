"""Long texts become parts: nothing is lost, cuts are at headings or paragraphs, and order and origin are kept."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.documents import PART_OF, Document, document_id
from components.ingestion import ingest
from components.ingestion.sections import LARGEST, LONG, cut, headings, split
from components.params import EngineParams, IngestionParams, Params, Source
from components.tracking import Tracker
from tests.components.curation.linear import assert_linear
from tests.documents import read_documents

SENTENCE = "The rabbit walked along the hedge and looked at every single flower there. "
PARAGRAPH = SENTENCE * 4 + "\n\n"


def document(text: str, kind: str = "prose", **metadata: object) -> Document:
    return Document(text, kind, "book.txt", "CC0-1.0", "file-reader/1", metadata=metadata)


def book(chapters: int, heading: str = "Chapter {}\n\n", paragraphs: int = 5) -> str:
    return "".join(heading.format(n) + f"Day {n}. " + PARAGRAPH * paragraphs for n in range(1, chapters + 1))


@pytest.mark.parametrize(
    ("heading", "title"),
    [
        ("# On Hedges {}\n\n", "On Hedges 3"),
        ("## On Hedges {} ##\n", "On Hedges 3"),
        ("On Hedges {}\n===========\n\n", "On Hedges 3"),
        ("On Hedges {}\n-----------\n\n", "On Hedges 3"),
        ("On Hedges {}\n~~~~~~~~~~~\n\n", "On Hedges 3"),
        ("Chapter {}\n\n", "Chapter 3"),
        ("CHAPTER {}. The Hedge\n\n", "CHAPTER 3. The Hedge"),
        ("Kapitel {}: Die Hecke\n\n", "Kapitel 3: Die Hecke"),
        ("{}. On Hedges\n\n", "3. On Hedges"),
        ("4.{} On Hedges\n\n", "4.3 On Hedges"),
        ("ON HEDGES {}\n\n", "ON HEDGES 3"),
        ("ÜBER HECKEN {}\n    ", "ÜBER HECKEN 3"),
        ("ΠΕΡΊ ΔΈΝΔΡΩΝ {}\n\n", "ΠΕΡΊ ΔΈΝΔΡΩΝ 3"),
    ],
)
def test_parts_begin_at_headings_of_every_style(heading: str, title: str) -> None:
    text = book(12, heading)
    parts = list(split(document(text), 1500))
    assert [part.text.splitlines()[0] for part in parts] == [heading.format(n).splitlines()[0] for n in range(1, 13)]
    assert parts[2].metadata[PART_OF]["heading"] == title
    assert [part.metadata[PART_OF]["section"] for part in parts] == list(range(1, 13))


@pytest.mark.parametrize(
    "text",
    [
        "One line.\n\nanother paragraph, in lower case\n\nA third one.",
        "He said it in\n\nthe middle of a sentence",
        "```\n# a comment in code\n\nSETTING = 1\n```\n",
        "----\n\n****\n\n====\n",
        "短い段落\n\n次の段落\n",
    ],
)
def test_ordinary_text_has_no_heading(text: str) -> None:
    assert headings(text) == []


def test_a_part_says_where_it_stands() -> None:
    text = book(12)
    whole = document(text, year=1865)
    parts = list(split(whole, 1500))
    place = {"document": whole.id, "number": 3, "parts": 12, "section": 3, "heading": "Chapter 3"}
    assert parts[2].metadata == {"year": 1865, PART_OF: place}
    assert {(part.source, part.license) for part in parts} == {("book.txt", "CC0-1.0")}
    assert [part.id for part in parts] == [document_id(part.text) for part in parts]


def test_a_long_chapter_is_cut_between_paragraphs_and_its_parts_belong_together() -> None:
    text = book(30, paragraphs=2) + "Chapter 31\n\n" + PARAGRAPH * 5
    parts = list(split(document(text), 400))
    last = [part for part in parts if part.metadata[PART_OF]["heading"] == "Chapter 31"]
    assert len(last) > 1
    assert len({part.metadata[PART_OF]["section"] for part in last}) == 1
    assert all(part.text.rstrip().endswith(".") for part in parts)


def test_parts_of_a_text_without_headings_can_be_held_out_one_by_one() -> None:
    parts = list(split(document(PARAGRAPH * 60), 1500))
    assert [part.metadata[PART_OF]["section"] for part in parts] == list(range(1, len(parts) + 1))
    assert all("heading" not in part.metadata[PART_OF] for part in parts)


def test_a_paragraph_without_end_is_cut_between_sentences() -> None:
    parts = list(split(document(SENTENCE * 300), 1000))
    assert len(parts) > 10
    assert all(part.text.startswith("The rabbit") and part.text.rstrip().endswith("there.") for part in parts)


def test_what_has_no_place_to_cut_stays_whole() -> None:
    assert len(list(split(document("word " * 5000), 1000))) == 1


@pytest.mark.parametrize("kind", ["code", "exercise"])
def test_code_has_no_chapters(kind: str) -> None:
    assert len(list(split(document(book(30), kind), 500))) == 1


def test_ordinary_lengths_and_0_split_nothing() -> None:
    text = book(12)
    assert list(split(document(text), len(text) // LONG + 1)) == [document(text)]
    assert list(split(document(text), 0)) == [document(text)]


def test_blank_lines_before_the_first_heading_are_not_a_part() -> None:
    parts = list(split(document("\n" * 3000 + book(12)), 1500))
    assert [part.metadata[PART_OF]["number"] for part in parts] == list(range(1, 13))
    assert parts[0].text.startswith("Chapter 1\n")


def test_a_key_of_the_source_does_not_pass_for_ours() -> None:
    (kept,) = split(document("short", part_of="a series", n=1), 1000)
    assert kept.metadata == {"source_part_of": "a series", "n": 1}


WORDS = st.sampled_from(
    [PARAGRAPH, SENTENCE, "\n\n", "# Title\n", "CHAPTER IV\n\n", "word ", "3. Hedges\n\n", "```\n", "\n"]
)


@given(st.lists(WORDS, max_size=60).map("".join), st.integers(50, 2000))
def test_pieces_cover_the_text_in_order(text: str, characters: int) -> None:
    pieces = cut(text, characters) if text else []
    assert "".join(text[piece.start : piece.end] for piece in pieces) == text
    assert all(before.end == after.start for before, after in pairwise(pieces))
    assert all(0 <= after.section - before.section <= 1 for before, after in pairwise(pieces))
    assert all(piece.end - piece.start <= (LARGEST + 1) * characters for piece in pieces if characters > len(PARAGRAPH))


@given(st.lists(WORDS, min_size=1, max_size=60).map("".join), st.integers(50, 400))
def test_parts_lose_no_word(text: str, characters: int) -> None:
    parts = list(split(document(text), characters))
    assert "".join(part.text for part in parts).split() == text.split()


@pytest.mark.parametrize("unit", ["\n", " \n", "#", "# ", "a.\n\n", "CHAPTER I\n\n", "word. ", " ", "\n===\n", "1. "])
def test_time_is_linear_in_the_text(unit: str) -> None:
    assert_linear(lambda size: cut(unit * (size // len(unit)), 8000), 50_000)


def test_a_book_becomes_a_corpus(tmp_path: Path) -> None:
    """One text of more characters than any part becomes documents in order; the summary counts it."""
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.txt").write_text(book(60))
    (tmp_path / "t" / "b.jsonl").write_text(json.dumps({"text": book(40, "## {}\n")}) + '\n{"text": "short row"}\n')
    own = IngestionParams(sources=[Source(path=str(tmp_path / "t"))], part_chars=1500)
    given_params = Params(ingestion=own, engine=EngineParams(kind="serial"))
    summary = ingest.run({}, {"output": tmp_path / "raw"}, given_params, Tracker())
    documents = list(read_documents(tmp_path / "raw"))
    assert (summary["documents"], summary["texts_split"]) == (101, 2)
    numbers = [found.metadata[PART_OF]["number"] for found in documents if PART_OF in found.metadata]
    assert numbers == [*range(1, 61), *range(1, 41)]
    assert {found.source for found in documents} == {"a.txt", "b.jsonl:1", "b.jsonl:2"}
