"""Held-out passages are what the documents say, cut between words."""

from pathlib import Path

import pytest

from components.phi.passages import held_out_passages, whole_words
from components.tokens import Tokens
from tests.documents import read_documents


def test_passages_are_the_beginnings_of_held_out_documents(home: Path) -> None:
    tokens = Tokens.open(home / "data" / "tokens")
    passages = held_out_passages(tokens, 5)
    texts = {document.source: document.text for document in read_documents(home / "data" / "curated")}
    held_out = set(tokens.split("validation").documents["source"].to_pylist())
    assert len({passage.source for passage in passages}) == len(passages) == 5
    for passage in passages:
        assert passage.source in held_out
        assert texts[passage.source].startswith(passage.prompt + passage.truth)
        assert passage.truth[0].isspace()
        assert not passage.prompt[-1].isspace()
    assert passages == held_out_passages(tokens, 5)
    assert passages[:2] == held_out_passages(tokens, 2)


def test_what_people_wrote_comes_before_what_was_generated(home: Path) -> None:
    kinds = [passage.kind for passage in held_out_passages(Tokens.open(home / "data" / "tokens"), 99)]
    assert kinds == sorted(kinds, key=lambda kind: kind == "exercise")
    assert {"exercise", "prose", "code"} == set(kinds)


@pytest.mark.parametrize(
    ("text", "following", "whole"),
    [
        ("the old mil", "ler went", "the old"),
        ("the old", " miller", "the old"),
        ("the old ", "miller", "the old"),
        ("f(x)", "y", "f(x)"),
        ("你好世", "界", "你好世"),
        ("a\nlong", "er", "a\n"),
    ],
)
def test_words_stay_whole_where_blanks_part_them(text: str, following: str, whole: str) -> None:
    assert whole_words(text, following) == whole
