"""The heuristic annotator's verdicts, point by point."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.curation.education.heuristic import POINTS, judge

LESSON = '''def binary_search(values, target):
    """Find the place of target in a sorted list, or -1: halve what is left, because order tells the side."""
    low, high = 0, len(values) - 1
    while low <= high:
        middle = (low + high) // 2
        if values[middle] == target:
            return middle
        if values[middle] < target:
            low = middle + 1
        else:
            high = middle - 1
    return -1
'''
TABLE = "TABLE = {\n" + "".join(f"    'k{n}': 0x{n:04x},\n" for n in range(60)) + "}\n"


def test_a_lesson_is_worth_more_than_a_table() -> None:
    assert judge(LESSON).value > 3.5
    assert judge(TABLE).value < 1


def test_private_names_and_bad_names_cost_their_points() -> None:
    tangled = LESSON.replace("values", "self._v").replace("middle", "self._m").replace("target", "x")
    lesson, other = judge(LESSON).points, judge(tangled).points
    assert other["independence"] < lesson["independence"]
    assert other["readability"] < lesson["readability"]
    assert other["substance"] == lesson["substance"]


def test_comments_add_nothing_but_the_point_of_explanation() -> None:
    chatty = "".join(
        f"# this line explains what comes because that is needed {n}\n{line}\n"
        for n, line in enumerate(LESSON.split("\n"))
    )
    lesson, other = judge(LESSON).points, judge(chatty).points
    assert {name for name in lesson if lesson[name] != other[name]} <= {"explanation"}


@given(st.text(max_size=400))
def test_any_text_has_a_value(text: str) -> None:
    verdict = judge(text)
    assert 0 <= verdict.value <= 5
    assert tuple(verdict.points) == POINTS
    assert verdict.value == pytest.approx(sum(verdict.points.values()), abs=1e-6)
    assert verdict == judge(text)


@pytest.mark.parametrize("piece", ["a", " ", "\n", "a.", "- ", "# ", "'", '"', "self._", "a.b.", "=", "e", "\t=", "1"])
def test_time_is_linear(piece: str) -> None:
    def seconds(characters: int) -> float:
        text = piece * (characters // len(piece))
        started = time.process_time()
        judge(text)
        return time.process_time() - started

    assert seconds(40_000) < 40 * seconds(4_000) + 0.1
