"""Numbers in a text, in digits and in words."""

import math

import pytest

from components.synthesis.facts import in_digits, in_words


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,094 and 25.5", {1094, 25.5}),
        ("0x1F, 1e3 and 12_000", {31, 1000, 12_000}),
        ("x2 and v1.5", set()),
        ("none", set()),
        ("0x" + "f" * 300, {math.inf}),
    ],
)
def test_in_digits(text: str, numbers: set[float]) -> None:
    assert in_digits(text) == numbers


@pytest.mark.parametrize(
    ("text", "whole", "parts"),
    [
        ("three times four", {3, 4}, {3, 4}),
        ("twenty-five", {25}, {20, 5, 25}),
        ("three hundred and twelve", {312}, {3, 300, 12, 312}),
        ("a hundred of them", {100}, {100}),
        ("two million", {2_000_000}, {2, 2_000_000}),
        ("hundreds, and millions of them", set(), set()),
        ("a dozen, twice", {12, 2}, {12, 2}),
        ("two five", {2, 5}, {2, 5}),
    ],
)
def test_in_words(text: str, whole: set[float], parts: set[float]) -> None:
    assert in_words(text, parts=False) == whole
    assert in_words(text) == parts


def test_a_number_without_end_is_infinite() -> None:
    text = "two" + " million" * 60
    assert in_words(text, parts=False) == {math.inf}
    assert {2.0, 2e6, math.inf} < in_words(text)
