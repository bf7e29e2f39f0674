"""Questions in other words: found whatever the order, and not where only the subject is the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.text.counting import distinct
from components.text.ngrams import beginnings
from components.text.paraphrases import STEM, Asked, Paraphrases

SAND = (
    "A student mixes fine sand with salty water and pours the mixture through a paper filter. Which part stays behind?"
)
SHIP = "Does the captain of a merchant ship have the right to marry passengers at sea under the law of its flag?"
OTHERS = [
    f"Who painted the {n}th portrait of queen Ada{n} in the gallery of Tomber{n}, and for which castle?"
    for n in range(40)
]


def found(index: Paraphrases, texts: list[str], share: float = 0.6) -> list[Asked]:
    (stems,), owner = beginnings(texts, [STEM])
    return list(index.find(texts, stems, owner, share))


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Which part stays behind if a student has mixed salty water and fine sand, and pours this through a filter of paper?", True),
        ("The student pours a mixture of salty water and the finest sand through a paper filter: what stays?", True),
        ("A student mixed fine sand with salty water, and poured the mixture through a paper filter. The sand stayed behind.", False),
        ("Filters of paper are made for coffee. Sand is fine, water is salty in the sea. Which do you like?", False),
        ("What remains when someone strains a suspension of grit?", False),
        ("", False),
    ],
)  # fmt: skip
def test_words_and_order_may_change_and_the_question_mark_must_be_there(text: str, asks: bool) -> None:
    assert [asked.question for asked in found(Paraphrases.build([*OTHERS, SAND, SHIP]), [text])] == [40] * asks


def test_the_place_and_the_share_are_told() -> None:
    before, text = (
        "Nothing of this is meant. " * 20,
        "Under the law of the flag, has a merchant ship's captain the right of marrying sea passengers?",
    )
    (asked,) = found(Paraphrases.build([SHIP, SAND]), [before, before + text])
    assert (asked.text, asked.question) == (1, 0)
    assert 0.6 <= asked.share <= 1
    assert (before + text).lower().replace(",", "").replace("'", " ").split()[asked.first : asked.last + 1][0] == "law"
    assert found(Paraphrases.build([SHIP]), [text], 1.0) == []


def test_questions_without_enough_rare_words_are_not_looked_for() -> None:
    index = Paraphrases.build(["Who is it?", "What do 1 2 3 4 5 6 make?", SAND])
    assert index.searched.tolist() == [False, False, True]
    assert Paraphrases.build([]).searched.tolist() == []
    assert found(Paraphrases.build([]), [SAND]) == []


def test_numbers_in_rows_are_not_a_question() -> None:
    numbers = " ".join(str(n * 37 % 1000 + 10) for n in range(40))
    assert found(Paraphrases.build([f"Sort {numbers}"]), [numbers]) == []


def test_an_index_is_the_same_from_its_arrays() -> None:
    built = Paraphrases.build([SAND, SHIP])
    again = Paraphrases({name: np.array(array) for name, array in built.arrays.items()})
    assert found(again, [SAND, SHIP]) == found(built, [SAND, SHIP])
    assert len(found(built, [SAND, SHIP])) == 2


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(12)), st.integers(0, 3))
def test_no_verdict_depends_on_the_batch(order: list[int], cut: int) -> None:
    texts = [*OTHERS[:10], SAND, SHIP]
    index = Paraphrases.build([*OTHERS, SAND, SHIP])
    whole = {(order[asked.text], asked.question, asked.share) for asked in found(index, [texts[n] for n in order])}
    parts = [(order[:cut]), (order[cut:])]
    apart = {
        (part[asked.text], asked.question, asked.share)
        for part in parts
        for asked in found(index, [texts[n] for n in part])
    }
    assert whole == apart
    assert {(10, 40), (11, 41)} <= {(text, question) for text, question, _ in whole}


@pytest.mark.parametrize(
    ("words", "count"),
    [("one two three four", 1), ("1 1 1 0 0", 1), ("a b c d", 1), ("may june july", 1), ("sand water salt sand", 3), ("9 1 5", 3), ("", 0)],
)  # fmt: skip
def test_words_that_count_or_repeat_say_nothing(words: str, count: int) -> None:
    assert distinct(words.split()) == count
