"""What strangers write is searched in time that is linear in its size: a model's answer, a benchmark's row, a prompt."""

from collections.abc import Callable

import pytest

from components.benchmarking import contamination
from components.benchmarking.data import hellaswag
from components.curation.education import annotate
from components.synthesis.prose import format_fault
from tests.components.curation.linear import assert_linear

ROW = {"ind": 1, "activity_label": "a", "ctx_a": "b", "endings": [], "label": "0"}


def clean(text: str) -> object:
    return hellaswag(ROW | {"ctx_b": text})


SEARCHES: dict[str, tuple[Callable[[str], object], str]] = {
    "braces of a label": (annotate.read, "{"),
    "line ends of a chapter": (lambda text: format_fault("worked", f"# Title\n{text}x"), "\n"),
    "stars of a chapter": (lambda text: format_fault("worked", f"# Title\n{text}x"), "*"),
    "bars of a chapter": (lambda text: format_fault("table", f"# Title\n{text}x"), "| "),
    "line ends of a prompt": (lambda text: contamination._ANSWERS.sub("", f"{text}x"), "\n"),
    "answers of a prompt": (lambda text: contamination._ANSWERS.sub("", f"{text}x"), "\nA:"),
    "open brackets of a row": (clean, "["),
    "open brackets of a row's lines": (lambda text: clean(f"{text}\n]"), "["),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_takes_linear_time(name: str) -> None:
    search, unit = SEARCHES[name]
    assert_linear(lambda size: search(unit * size), 10_000)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [("a [step] b [x", "A b [x"), ("x[a\n b] c]", "X[a\n b] c]"), ("x [[a] b", "X b"), ("none", "None"), ("a]", "A]")],
)
def test_brackets_go_with_what_they_hold(text: str, cleaned: str) -> None:
    assert clean(text)["query"] == f"a: b {cleaned}"
