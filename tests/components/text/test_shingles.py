"""Runs of words, hashed many at once, against one word after another."""

import re
import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.text import shingles as module
from components.text.characters import fold
from components.text.shingles import _MIX, SHINGLE, shingles


def expected(text: str) -> list[int]:
    words = [zlib.crc32(word.encode()) for word in re.findall(r"\w+", fold(text))] or [0]
    while len(words) < SHINGLE:
        words = (words * SHINGLE)[:SHINGLE]
    runs = (zip(words[i : i + SHINGLE], map(int, _MIX), strict=True) for i in range(len(words) - SHINGLE + 1))
    mixed = (sum(word * factor for word, factor in run) % 2**64 for run in runs)
    return [run ^ run >> 29 for run in mixed]


def runs(texts: list[str]) -> list[list[int]]:
    hashes, starts = shingles(texts)
    return [hashes[a:b].tolist() for a, b in pairwise(starts)]


text = st.text(max_size=80) | st.lists(st.sampled_from(["a", "É", "ß_1", "x" * 40, "“q”", "日本", "٣", " "])).map(
    " ".join
)


@given(st.lists(text, max_size=8))
def test_each_text_has_the_runs_of_its_words(texts):
    assert runs(texts) == [expected(each) for each in texts]


@pytest.mark.parametrize("length", [31, 32, 33, 70])
def test_words_of_any_length(length):
    texts = [f"{'y' * length} b {'é' * length} d e f"]
    assert runs(texts) == [expected(texts[0])]


def test_every_character_is_told_as_re_tells_it():
    """One word a character of `\\w`; surrogates and unassigned ones among all."""
    every = [chr(code) for code in range(0x110000) if code < 0x3000 or 0xD700 < code < 0xE100 or code % 97 == 0]
    texts = [" ".join(every[start : start + 500]) for start in range(0, len(every), 500)]
    assert runs(texts) == [expected(each) for each in texts]


def test_copies_that_look_identical_are_equal():
    text = "the first filter of the old station holds water and five other things"
    copies = [
        "the first \ufb01lter of the old station holds wa\u200bter and five o\xadther things",
        text.replace(" ", "\xa0"),
        text.upper(),
    ]
    assert all(each == runs([text])[0] for each in runs(copies))


def test_blocks_do_not_show(monkeypatch):
    texts = [f"{n} one two three {n * n} four, five" * (n % 4) for n in range(50)]
    whole = shingles(texts)
    monkeypatch.setattr(module, "_BLOCK", 60)
    for one, other in zip(whole, shingles(texts), strict=True):
        assert np.array_equal(one, other)


def test_no_texts():
    hashes, starts = shingles([])
    assert hashes.dtype == np.uint64
    assert not len(hashes)
    assert starts.tolist() == [0]
