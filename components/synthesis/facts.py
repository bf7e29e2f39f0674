"""Finds the numbers in a text, written in digits or in English words."""

import math
import re

_DIGITS = re.compile(
    r"(?<![\w.])(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|(?:\d{1,3}(?:[,_]\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?)"
)
_SMALL = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = [
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth",
]  # fmt: skip
_UNITS = (
    {word: number for number, word in enumerate(_SMALL)}
    | {word: 10 * number for number, word in enumerate(_TENS, 2)}
    | {word: number for number, word in enumerate(_ORDINALS, 1)}
    | {"half": 2, "halves": 2, "twice": 2, "double": 2, "pair": 2, "quarter": 4, "triple": 3, "thrice": 3}
    | {"dozen": 12, "once": 1, "single": 1}
)
SCALES = {"hundred": 100, "thousand": 1_000, "million": 10**6, "billion": 10**9}
_WORD = re.compile(r"[a-z]+")


def number(text: str) -> float:
    """The value of a number in digits, with or without thousands separators; infinite if it is too large for a float.

    Raises:
        ValueError: the text is not a number.
    """
    plain = text.replace(",", "").replace("_", "")
    try:
        return float(int(plain, 0)) if plain[:2].lower() in ("0x", "0b", "0o") else float(plain)
    except OverflowError:
        return math.inf


def in_digits(text: str) -> set[float]:
    """The numbers that a text writes in digits, without their signs."""
    return {number(found) for found in _DIGITS.findall(text)}


def in_words(text: str, parts: bool = True) -> set[float]:
    """The numbers that a text writes in English words: twelve, twenty-five, three hundred; also second, twice, dozen.

    Args:
        parts: also return the numbers that they consist of (25: 20 and 5).
    """
    found: set[float] = set()
    total, before = 0.0, ""  # a float, since a text may repeat "million" without end
    for word in [*_WORD.findall(text.lower()), ""]:
        if word == "and" and before in SCALES:
            continue
        joined = before in _TENS or before in SCALES  # twenty-five is one number, two five is not
        grows = (word in _UNITS and joined) or (word in SCALES and total)
        if total and (parts or not grows):
            found.add(total)
        if word in SCALES:
            total = max(total, before in ("a", "one")) * SCALES[word]
        elif word in _UNITS:
            total = total + _UNITS[word] if joined else float(_UNITS[word])
            found |= {float(_UNITS[word])} if parts or not total else set()
        else:
            total = 0.0
        before = word
    return found
