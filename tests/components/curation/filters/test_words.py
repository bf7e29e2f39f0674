"""Words and repeated runs: equal to a plain count over words, whatever the text."""

import re
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from components.curation.filters import words as module
from components.curation.filters.words import repeated, word_counts, words_of

TEXTS = st.lists(
    st.lists(
        st.sampled_from(
            ["a", "b", "the", "_", "x_1", "...", "é", "7", "\n", "漢字", "\N{MATHEMATICAL FRAKTUR CAPITAL U}"]
        ),
        max_size=40,
    ).map(" ".join)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    max_size=5,
)


def _plain(text: str, tokens: bool = True) -> list[str]:
    if tokens:
        return re.findall(r"\w+|[^\w\s]+", text)
    return [word for word in re.findall(r"\S+", text) if any(map(str.isalnum, word))]


def _top(words: list[str], n: int) -> int:
    runs = [" ".join(words[at : at + n]) for at in range(len(words) - n + 1)]
    ((run, count),) = Counter(runs).most_common(1) or [("", 0)]
    return len(run) * count


def _duplicate(words: list[str], n: int) -> int:
    seen, at, characters = set(), 0, 0
    while at + n <= len(words):
        run = tuple(words[at : at + n])
        if run in seen:
            characters += len("".join(run))
            at += n
        else:
            seen.add(run)
            at += 1
    return characters


@settings(deadline=None, max_examples=200)
@given(TEXTS, st.booleans())
def test_words_are_those_of_a_regular_expression(texts: list[str], tokens: bool) -> None:
    found, plain = words_of(texts, tokens), [_plain(text, tokens) for text in texts]
    flat = [word for words in plain for word in words]
    assert np.diff(found.starts).tolist() == [len(words) for words in plain]
    assert word_counts(texts).tolist() == [len(_plain(text)) for text in texts]
    assert np.diff(found.before).tolist() == [len(word) for word in flat]
    assert found.alpha.tolist() == [any(map(str.isalpha, word)) for word in flat]
    assert found.solid.tolist() == [any(map(str.isalnum, word)) for word in flat]
    assert len(set(zip(flat, found.hashes.tolist(), strict=True))) == len(set(flat)) == len(set(found.hashes.tolist()))


@settings(deadline=None, max_examples=200)
@given(TEXTS, st.sets(st.integers(2, 6)), st.sets(st.integers(2, 9)), st.booleans())
def test_repeated_runs_are_those_of_a_plain_count(
    texts: list[str], top: set[int], duplicate: set[int], tokens: bool
) -> None:
    found = repeated(words_of(texts, tokens), top, duplicate)
    plain = [_plain(text, tokens) for text in texts]
    assert {key: value.tolist() for key, value in found.items()} == {
        **{("top_n_grams", n): [_top(words, n) for words in plain] for n in top},
        **{("dup_n_grams", n): [_duplicate(words, n) for words in plain] for n in duplicate},
    }


def test_a_text_longer_than_a_piece_is_hashed_in_pieces(monkeypatch) -> None:
    text = "one two three four five six " * 30 + "x" * 200 + " one two"
    whole = words_of([text, text])
    monkeypatch.setattr(module, "PIECE", 64)
    assert words_of([text, text]).hashes[-2:].tolist() == whole.hashes[-2:].tolist()
    found = repeated(words_of([text]), (), (5,))
    assert found["dup_n_grams", 5].tolist() == [_duplicate(_plain(text), 5)]
