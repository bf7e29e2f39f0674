"""Who is held out: whole origins, enough of each kind that the user has brought, the same whatever else the corpus holds."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from components.documents import KINDS, PART_OF, Document
from components.params import TokenizationParams
from components.tokenization.corpus import Corpus, first_of, keys_of, read_corpus
from components.tokenization.held_out import LARGEST_SHARE, OWN, held_out


def corpus_of(kinds: list[str], sizes: list[int], origins: list[str] | None = None) -> Corpus:
    names = [f"document {n}" for n in range(len(kinds))]
    keys = keys_of(names)
    column = pa.chunked_array([pa.array(names, pa.string())])
    return Corpus(
        ids=column,
        sources=column,
        keys=keys,
        origins=keys_of(origins) if origins else keys,
        kinds=np.array([KINDS.index(kind) for kind in kinds], dtype=np.int8),
        bytes=np.array(sizes),
        first=first_of(keys),
    )


def params(fraction: float = 0.02, kilobytes: float = 16) -> TokenizationParams:
    return TokenizationParams(validation_fraction=fraction, validation_kilobytes=kilobytes)


def held_of(corpus: Corpus, kind: str, given_params: TokenizationParams) -> int:
    chosen = held_out(corpus, given_params) & (corpus.kinds == KINDS.index(kind))
    return int(corpus.bytes[chosen].sum())


def test_a_small_kind_of_the_user_has_enough_held_out() -> None:
    """A book of 100 parts beside thousands of exercises: two hundredths of the documents may hold out none of the book."""
    corpus = corpus_of(["prose"] * 100 + ["exercise"] * 3000, [8000] * 100 + [400] * 3000)
    assert 16_000 <= held_of(corpus, "prose", params()) <= 80_000
    exercises = held_of(corpus, "exercise", params())
    assert exercises == held_of(corpus, "exercise", params(kilobytes=0)) > 0


def test_no_more_than_a_tenth_of_a_kind_is_held_out_for_the_floor() -> None:
    corpus = corpus_of(["web"] * 200, [300] * 200)
    assert 5_000 <= held_of(corpus, "web", params(0.001)) <= 6_000


def test_of_few_long_documents_the_shortest_is_held_out() -> None:
    corpus = corpus_of(["prose"] * 3, [50_000, 20_000, 90_000])
    assert held_out(corpus, params(0.0001)).tolist() == [False, True, False]


def test_where_the_fraction_is_enough_the_floor_changes_nothing() -> None:
    corpus = corpus_of(["prose", "code"] * 2000, [2000] * 4000)
    assert (held_out(corpus, params()) == held_out(corpus, params(kilobytes=0))).all()


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 30_000), st.integers(0, 30)), min_size=2, max_size=60),
    st.floats(0.001, 0.3),
)
def test_origins_stay_together_and_the_floor_holds(rows: list[tuple[str, int, int]], fraction: float) -> None:
    kinds, sizes, groups = (list(column) for column in zip(*rows, strict=True))
    corpus = corpus_of(kinds, sizes, [f"origin {group}" for group in groups])
    chosen, plain = held_out(corpus, params(fraction)), held_out(corpus, params(fraction, 0))
    assert 0 < chosen.sum() < len(chosen) or len(set(groups)) == 1
    if len({*np.array(groups)[chosen]} & {*np.array(groups)[~chosen]}):
        assert (~chosen).sum() == 1  # all would be held out: one row stays for training
    for kind in OWN:
        mine = corpus.kinds == KINDS.index(kind)
        total, held = corpus.bytes[mine].sum(), corpus.bytes[mine & chosen].sum()
        of_kind = {group for group, found in zip(groups, mine, strict=True) if found}
        if len(of_kind) > 1 and (~chosen).sum() > 1:
            assert held > 0
        largest = max((corpus.bytes[mine & (np.array(groups) == g)].sum() for g in of_kind), default=0)
        if largest <= total / LARGEST_SHARE / 2 and (~chosen).sum() > 1:
            assert held >= min(16_000, total / LARGEST_SHARE) - largest
        assert held >= corpus.bytes[mine & plain & chosen].sum()


def test_the_sections_of_a_text_go_together_and_what_was_written_from_them(write_set: Any, tmp_path: Path) -> None:
    def part(number: int, section: int) -> Document:
        place = {PART_OF: {"document": "d" * 32, "number": number, "parts": 9, "section": section}}
        return Document(f"part {number} of the book", "prose", "book.txt", "MIT", "test", metadata=place)

    parts = [part(number, number // 3) for number in range(9)]
    plain = Document("another text", "prose", "other.txt", "MIT", "test")
    written = [
        Document(f"chapter {n}", "textbook", "t", "MIT", "test", metadata={"seed_document": seed.id})
        for n, seed in enumerate([parts[4], plain])
    ]
    corpus = read_corpus([write_set([*parts, plain]), write_set(written)], tmp_path / "names.arrow")
    origins = [tuple(row) for row in corpus.origins.tolist()]
    assert [len(set(origins[first : first + 3])) for first in (0, 3, 6)] == [1, 1, 1]
    assert len(set(origins)) == 4
    assert (origins[10], origins[11]) == (origins[4], origins[9])
