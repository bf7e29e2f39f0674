"""Each parameter's description can be read alone, and the page and params.yaml show it as it is."""

import re
from pathlib import Path

import pytest

from components.params import Params
from components.params.reference import Entry, commented, entries, page

ENTRIES = {
    entry.key: entry
    for outer in entries(Params, Params())
    for entry in [
        outer,
        *(entries(outer.model, None, f"{outer.key}[].") if outer.model and not outer.is_section else ()),
    ]
}
DESCRIBED = [key for key, entry in ENTRIES.items() if entry.field.description]
LEANING = re.compile(
    r"^(Of|On|With|Such|This|That|These|Those|It|They|Its|Their|Same|As|There)\b"
    r"|\bsuch (?!as)|\b(as|see) above\b|\blikewise\b|\bthose\b|\bat (most|least)$"
)
UNITS = {  # what a name says that a description must spell out
    r"_s$": "second",
    r"minutes": "minute",
    r"days": "day",
    r"kilobytes": "kB|kilobytes",
    r"megabytes": "MB",
    r"chars$": "character",
    r"tokens$": "token",
    r"steps$": "step",
    r"words$": "words",
    r"epochs$": "passes",
    r"(share|fraction|frac|overlap|failed)$": "share",
    r"entropy$": "bits per character",
    r"threads$": "Number of CPU threads",
    r"price_": "per million",
}


def is_number(entry: Entry) -> bool:
    return isinstance(entry.default, int | float) and not isinstance(entry.default, bool)


def text(key: str) -> str:
    return ENTRIES[key].field.description or ""


def test_the_page_is_current(root: Path) -> None:
    assert (root / "docs" / "parameters.md").read_text(encoding="utf-8") == page(), (
        "run: python -m components.params.reference"
    )


def test_the_comments_of_the_parameter_file_are_current(root: Path) -> None:
    file = (root / "params.yaml").read_text(encoding="utf-8")
    assert commented(file) == file, "run: python -m components.params.reference"


def test_comments_follow_the_nesting_and_leave_values_alone() -> None:
    stale = "seed: 7 # old\n# a remark\nsmall: # the pair\n  model:\n    hidden_size: 64\n  tokens: 5 # old\n"
    shape = text("small.model.hidden_size")
    assert commented(stale) == (
        f"seed: 7 # {text('seed')}\n# a remark\nsmall: # the pair\n  model:\n    hidden_size: 64 # {shape}\n"
        f"  tokens: 5 # {text('small.tokens')}\n"
    )


def test_every_value_has_a_description() -> None:
    assert [key for key, entry in ENTRIES.items() if not entry.is_section and not text(key)] == []


def test_a_description_stands_alone() -> None:
    """No full stop, since forms and comments show it as a label does; no word that leans on the line above."""
    assert {key: text(key) for key in DESCRIBED if LEANING.search(text(key))} == {}
    assert {key: text(key) for key in DESCRIBED if not re.fullmatch(r"[A-Z]\S*( \S+){3,}(?<!\.)", text(key))} == {}


def test_a_description_says_what_0_or_empty_means_where_that_is_the_default() -> None:
    empty = [key for key in DESCRIBED if ENTRIES[key].default in ("", None, [], {})]
    zero = [key for key in DESCRIBED if is_number(ENTRIES[key]) and ENTRIES[key].default == 0]
    assert {key: text(key) for key in empty if not re.search("empty|null", text(key))} == {}
    assert {key: text(key) for key in zero if not re.search(r"\b0\b", text(key))} == {}


def test_a_description_names_the_unit_of_a_number() -> None:
    numbers = [key for key in DESCRIBED if is_number(ENTRIES[key])]
    lacking = {
        key: text(key)
        for key in numbers
        for name, unit in UNITS.items()
        if re.search(name, key.rpartition(".")[2]) and not re.search(unit, text(key), re.IGNORECASE)
    }
    assert lacking == {}


@pytest.mark.parametrize(
    "leaning", ["Such words, at most", "Of those draws, where they are several", "Characters in such lines, at most"]
)
def test_the_check_knows_what_leans(leaning: str) -> None:
    assert LEANING.search(leaning)
