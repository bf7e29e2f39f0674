"""Fenced code and displayed formulas are found as CommonMark and TeX have them; a mark that is never closed hides nothing."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.curation.filters.fenced import fenced_lines, prose_of, without_fenced


@pytest.mark.parametrize(
    ("text", "prose"),
    [
        ("one\n```py\nx = 1\n```\ntwo\n", "one\ntwo\n"),
        ("one\n~~~\n```\n~~~\ntwo\n", "one\ntwo\n"),
        ("one\n````\n```\n````\ntwo\n", "one\ntwo\n"),
        ("one\n$$\nx\n$$\ntwo\n", "one\ntwo\n"),
        ("one\n$$ x $$\ntwo\n", "one\ntwo\n"),
        ("one\n\\[\nx\n\\]\ntwo\n", "one\ntwo\n"),
        ("one\n\\begin{align*}\nx\n\\end{align*}\ntwo\n", "one\ntwo\n"),
        ("one\n```\nx = 1\ntwo\n", "one\n```\nx = 1\ntwo\n"),
        ("costs\n$$ and more\n\nnot $$ here\n", "costs\n$$ and more\n\nnot $$ here\n"),
        ("one `a` and ```b``` two\n", "one `a` and ```b``` two\n"),
        ("## A heading\n#hashtag\n", " A heading\n#hashtag\n"),
    ],
)
def test_prose_is_what_is_not_fenced(text: str, prose: str) -> None:
    assert prose_of(text) == prose


@given(st.lists(st.sampled_from(["```", "````", "~~~", "$$", "$$x$$", r"\[", r"\]", r"\begin{align}", "", "word"])))
def test_any_text_has_a_flag_for_each_line(lines: list[str]) -> None:
    text = "\n".join(lines)
    inside = fenced_lines(text)
    assert inside is None or len(inside) == text.count("\n") + 1
    left = without_fenced(text).split("\n") if inside is None or not all(inside) else []
    assert left == [line for place, line in enumerate(text.split("\n")) if not (inside and inside[place])]


@pytest.mark.parametrize("mark", [r"\[", "$$", "```", r"\begin{align}"])
def test_marks_that_are_never_closed_cost_linear_time(mark: str) -> None:
    marks = [mark if mark != "```" else "`" * (3 + n) for n in range(300)]
    hostile = "\n".join([*marks, *["x"] * 200_000])
    start = time.process_time()
    fenced_lines(hostile)
    assert time.process_time() - start < 5
