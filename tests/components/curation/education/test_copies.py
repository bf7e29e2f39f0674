"""Groups of near-copies among labelled texts."""

import random

import pytest

from components.curation.education import copies
from components.curation.education.copies import near_copies
from components.text.shingles import shingle_sets
from tests.components.curation.test_curation import essays


def edited(text: str, number: int) -> str:
    """The text with one word replaced."""
    words = text.split()
    words[number * 7 % len(words)] = f"edit{number}"
    return " ".join(words) + ".\n"


def groups_of(texts: list[str]) -> set[frozenset[str]]:
    numbers = near_copies(texts).tolist()
    return {frozenset(text for text, of in zip(texts, numbers, strict=True) if of == number) for number in numbers}


def test_near_copies_are_one_group_in_any_order() -> None:
    families = [[text, *(edited(text, number) for number in range(5))] for text in essays(60, words=120)]
    texts = [text for family in families for text in family]
    assert groups_of(texts) == {frozenset(family) for family in families}
    assert groups_of(random.Random(1).sample(texts, len(texts))) == {frozenset(family) for family in families}
    assert near_copies([]).tolist() == []


def test_what_has_less_than_half_in_common_is_apart() -> None:
    one, two, three = essays(3, words=120)
    first, second = shingle_sets([one + two, two + three])
    common = len(set(first.tolist()) & set(second.tolist()))
    assert 0.3 < common / (len(first) + len(second) - common) < 0.4
    assert len(groups_of([one + two, two + three])) == 2


def test_time_is_not_squared_where_thousands_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    estimate = copies.estimate

    def counted(sketches, left, right):
        compared.append(len(left))
        return estimate(sketches, left, right)

    monkeypatch.setattr(copies, "estimate", counted)
    (text,) = essays(1, words=120)
    assert len(groups_of([edited(text, number) for number in range(2_000)])) == 1
    assert sum(compared) < 10 * 2_000
