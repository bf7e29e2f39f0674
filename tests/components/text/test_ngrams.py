"""Runs of words as hashes: equal runs have equal hashes and different runs different ones, whatever is around them."""

import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from components.text import ngrams
from components.text.characters import fold
from components.text.ngrams import LONGEST, RunSet, all_runs, shared_runs, word_hashes, words_in

TEXTS = st.lists(st.text(st.sampled_from("ab1é_ \n.,Ü漢-\u200bﬁ"), max_size=40), max_size=8)


def by_hand(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", fold(text))


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.integers(1, 5))
def test_runs_are_those_of_the_words(texts: list[str], length: int) -> None:
    hashes, owner = word_hashes(texts)
    expected = [
        (n, tuple(w[i : i + length])) for n, w in enumerate(map(by_hand, texts)) for i in range(len(w) - length + 1)
    ]
    runs, first = all_runs(hashes, owner, length)
    assert np.bincount(owner, minlength=len(texts)).tolist() == [len(by_hand(text)) for text in texts]
    assert owner[first].tolist() == [n for n, _ in expected]
    hash_of: dict[tuple[str, ...], int] = {}
    for (_, run), value in zip(expected, runs.tolist(), strict=True):
        assert hash_of.setdefault(run, value) == value
    assert len(set(hash_of.values())) == len(hash_of)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_a_set_lets_through_all_that_is_in_it(held: list[int], asked: list[int]) -> None:
    runs = RunSet(np.unique(np.array(held, dtype=np.uint64)))
    looked = np.array([*asked, *held], dtype=np.uint64)
    likely = set(runs.likely(looked).tolist())
    assert likely >= set(range(len(asked), len(looked)))


def test_the_longest_run_is_exact() -> None:
    words = [f"w{i}" for i in range(LONGEST + 3)]
    hashes, owner = word_hashes([" ".join(words), " ".join(words[2 : LONGEST + 2])])
    runs, first = all_runs(hashes, owner, LONGEST)
    assert first.tolist() == [0, 1, 2, 3, LONGEST + 3]
    assert len(set(runs.tolist())) == 4
    assert runs[2] == runs[4]


@settings(max_examples=100, deadline=None)
@given(TEXTS, TEXTS, st.integers(1, 4))
def test_shared_runs_are_those_of_both(texts: list[str], others: list[str], length: int) -> None:
    """Where they begin, and which of the set they are."""
    hashes, owner = word_hashes(texts)
    known = RunSet(np.unique(all_runs(*word_hashes(others), length)[0]))
    runs, first = all_runs(hashes, owner, length)
    expected = [(int(at), run) for at, run in zip(first, runs.tolist(), strict=True) if run in set(known.runs.tolist())]
    found = [
        (int(at), int(known.runs[place]))
        for _, firsts, places in shared_runs(hashes, owner, {length: known})
        for at, place in zip(firsts, places, strict=True)
    ]
    assert found == expected


def test_words_are_those_that_are_hashed() -> None:
    assert words_in("The QUICK, brown-fox; ju_mps!") == ["the", "quick", "brown", "fox", "ju", "mps"]


@given(st.text())
def test_characters_are_counted_as_str_tells_them(text: str) -> None:
    counts = ngrams.count_classes(text)
    assert counts[ngrams.LETTER] == sum(map(str.isalpha, text))
    assert counts[ngrams.LETTER] + counts[ngrams.DIGIT] == sum(map(str.isalnum, text))
    assert counts[ngrams.BLANK] == sum(map(str.isspace, text))
    assert sum(counts) == len(text)
