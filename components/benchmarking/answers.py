"""Checks a written answer by number, option or words: the metric `answer_match`.

lm-eval's patterns can misread an answer: GSM8K's strict one drops the last character of a number without a full stop
("The answer is 180" counts as 18), and BBH's drops that of any answer without one. lm-eval's metrics are reported as well,
under their own names, since published scores use them.
"""

import re
from fractions import Fraction

NAME = "answer_match"
_INTRODUCED = (re.compile(r"answer\s*(?:is|:|=)\s*:?", re.IGNORECASE), re.compile("####"))  # the first one counts
_BOXED = re.compile(r"\\boxed\{([^{}\n]*)\}")
_NUMBER = re.compile(
    r"(?<![\w.])([-+\u2212]?)\s*\$?\s*([-+]?)((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:\s*/\s*(\d+))?"
)
_OPTION = re.compile(r"\(([A-Za-z])\)|^(?:[Oo]ption |[Cc]hoice )?([A-Z])(?=[.,:;!)]|\s*$|\s+(?:because|since|as)\b)")
_LISTED = re.compile(r"^\s*\(([A-Z])\)[ \t]*([^\n]*)", re.MULTILINE)
_MARKUP = re.compile(r"[*_`$]|\\(?:text|mathrm|\(|\))")


def is_right(completion: str, target: str, question: str = "") -> bool:
    """Whether a completion's final answer equals the correct one.

    A number equals a number of the same value (1,450, $1450.00). An option, such as (B), equals its letter, or its text if the
    question lists it. Other answers are compared as words, without case, quotes and the final full stop.

    Args:
        target: the correct answer alone.
        question: the question with its options, one per line.
    """
    target = target.strip()
    said = final_answer(completion)
    if (number := as_number(target)) is not None:
        found = _number_in(said) if said is not None else _last_number(completion)
        return found is not None and found == number
    option = re.fullmatch(r"\(?([A-Z])\)", target)
    said = _last_line(completion) if said is None else said
    if option:
        return _option_in(said, question) == option[1]
    whole = _words(said)
    # "Yes, they do" answers "Yes".
    return _words(target) in (whole, _words(re.split(r"[.,;:]\s", f"{said} ", maxsplit=1)[0]))


def final_answer(completion: str) -> str | None:
    """The line after the last "answer is", or else after the last `####` or in the last `\\boxed`; None without any."""
    for introduced in _INTRODUCED:
        parts = introduced.split(completion)
        if len(parts) > 1:
            return parts[-1].strip().partition("\n")[0]
    found = _BOXED.findall(completion)
    return found[-1] if found else None


def as_number(text: str) -> Fraction | None:
    """The value of a text that is only a number; None if it is not."""
    text = text.strip().removesuffix(".")
    found = _NUMBER.match(text)
    return _value(found) if found and not text[found.end() :].strip(" %") else None


def _value(found: re.Match[str]) -> Fraction | None:
    sign = -1 if found[1] in ("-", "\u2212") or found[2] == "-" else 1
    try:
        return sign * Fraction(found[3].replace(",", "")) / int(found[4] or 1)
    except (ValueError, ZeroDivisionError):  # more digits than Python reads
        return None


def _number_in(said: str) -> Fraction | None:
    """The number in an answer: the first one, or in a calculation the first one after the last equals sign."""
    found = _NUMBER.search(_MARKUP.sub("", said).rpartition("=")[2])
    return _value(found) if found else None


def _last_number(text: str) -> Fraction | None:
    found = list(_NUMBER.finditer(text))
    return _value(found[-1]) if found else None


def _option_in(said: str, question: str) -> str | None:
    """The letter of the option that an answer names."""
    plain = _MARKUP.sub("", said).strip()
    texts = {_words(text): letter for letter, text in _LISTED.findall(question)}
    found = _OPTION.search(plain)
    return texts.get(_words(plain)) or ((found[1] or found[2]).upper() if found else None)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def _words(text: str) -> str:
    return (
        " ".join(_MARKUP.sub("", text).split())
        .strip(" '\"\u2018\u2019\u201c\u201d")
        .rstrip(".!")
        .strip(" '\"")
        .casefold()
    )
