"""One normalisation for storing, redacting and comparing texts: invisible characters are removed, and characters that
look alike are equal.

- `visible`: a text to store. Invisible characters are removed, except where they affect the display: joiners after a
  letter of a script that is spelled with them, in emoji, variants of a sign.
- `plain`: a text to search by patterns, with letters and digits in their ordinary forms. It replaces wide, narrow and
  styled forms, ligatures, digits of all scripts, spaces and dashes of all widths.
- `fold`: a text to compare words in: ordinary forms, without case, with words joined that a line end breaks.

Forms follow the decompositions of Unicode (UAX 15, NFKC). Superscripts, fractions and numbers in circles stay: 10² is not 102.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import cache
from itertools import chain
from typing import NamedTuple

_ASCII = bytes(range(128))
# Control characters; Unicode's Default_Ignorable_Code_Point and annotation signs.
_CONTROL = "\x00-\x08\x0b-\x1f\x7f"
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff"
)
_JOINING = "\u0600-\u109f\u1780-\u18af\u1900-\u1cff\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefc"  # spelled with joiners
# Thai and similar scripts, where a zero-width space may separate words.
_UNSPACED = "\u0e00-\u109f\u1780-\u17ff\u1950-\u1aaf"
_SYMBOLS = "\u203c-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
UNSPACED = f"{_UNSPACED}\u3040-\u30ff{_HAN}"  # scripts without spaces between words, such as Chinese, Japanese and Thai
_SHAPING = (  # by its end
    f"[{_JOINING}][\u200c\u200d\u180b-\u180f]",
    f"[{_UNSPACED}]\u200b",
    f"[{_SYMBOLS}][\ufe0e\ufe0f]",
    f"[{_SYMBOLS}]\u200d(?=[{_SYMBOLS}])",
    f"[{_SYMBOLS}]\ufe0f\u200d(?=[{_SYMBOLS}])",
    "[0-9#*]\ufe0f(?=\u20e3)",
    f"[{_HAN}][\ufe00-\ufe0f\U000e0100-\U000e01ef]",
)
_SHAPELESS = re.compile(f"[{_CONTROL}{_INVISIBLE}]" + "".join(f"(?<!{shaping})" for shaping in _SHAPING))
_BLANKS = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f]")  # about as wide as an ordinary space
_ALIKE = {"\u2010": "-", "\u2011": "-", "\u2028": "\n", "\u2029": "\n"}
_ODD = re.compile(f"[{_CONTROL}{_BLANKS.pattern[1:-1]}{''.join(_ALIKE)}{_INVISIBLE}]")
_DASHES = frozenset("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d")
_KEPT_FORMS = ("<super>", "<fraction>", "<circle>")
# Ranges beyond the basic plane that have characters with other forms.
_HIGH = ((0x10000, 0x1F300), (0x1FBF0, 0x1FBFA), (0xE0000, 0xE1000))
# `re` is quickest with patterns that begin with two fixed characters.
_BROKEN, _SOFTLY_BROKEN = (re.compile(rf"{hyphen}\n(?<=[^\W\d_]{hyphen}\n)[ \t]*(?=[^\W\d_])") for hyphen in "-\u00ad")


def visible(text: str, exact: bool = False) -> str:
    """The text to store, without control characters and invisible ones that do not affect the display; idempotent.

    Args:
        exact: keep other kinds of spaces, hyphens and line ends, which may be intended.
    """
    if not exact:
        text = text.replace("\u00a0", " ")  # the most frequent kind, and the only one in most texts
    if not _ODD.search(text):
        return text
    text = _SHAPELESS.sub("", _SOFTLY_BROKEN.sub("", text))
    if not exact:
        text = _BLANKS.sub(" ", text)
        for one, other in _ALIKE.items():
            text = text.replace(one, other)
    return text


class Plain(NamedTuple):
    """A text in ordinary characters, without invisible ones.

    Attributes:
        text: the characters.
        starts, places: from each start in `text` to the next, characters come from the original at the same index of `places`.
    """

    text: str
    starts: list[int]
    places: list[int]

    def place(self, at: int) -> int:
        """The position in the original that a character comes from."""
        part = bisect_right(self.starts, at) - 1
        return self.places[part] + at - self.starts[part]


def plain(text: str) -> Plain:
    """The text in ordinary characters, with their positions in the original."""
    if text.isascii() or not _plain().search(_foreign(text)):
        return Plain(text, [0], [0])
    forms = _forms()
    return substituted(text, ((*match.span(), forms.get(match[0], match[0])) for match in _plain().finditer(text)))


def substituted(text: str, pieces: Iterable[tuple[int, int, str]]) -> Plain:
    """The text with some pieces replaced, with the positions in the original.

    Args:
        pieces: start, end and replacement of each piece, in order.
    """
    starts, places = [0], [0]
    parts: list[str] = []
    end, size = 0, 0
    for start, stop, form in pieces:
        parts += [text[end:start], form]
        size += start - end
        end = stop
        if len(form) != 1 or stop - start != 1:
            starts += range(size, size + len(form) + 1)
            places += [*[start] * len(form), stop]
        size += len(form)
    return Plain("".join([*parts, text[end:]]), starts, places)


def lower(text: str) -> str:
    """The text in lower case, with every character at its position: a few capitals are longer in lower case, and stay."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(low if len(low := one.lower()) == 1 else one for one in text)


def fold(text: str) -> str:
    """The text in the form in which words are compared. `fold(fold(text))` is `fold(text)`."""
    foreign = "" if text.isascii() else _foreign(text)
    if foreign and _of_words().search(foreign):
        text = _of_words().sub(lambda match: _forms().get(match[0], match[0]), _SOFTLY_BROKEN.sub("", text))
        return _BROKEN.sub("", unicodedata.normalize("NFC", text.casefold()))
    if "-\n" in text:
        text = _BROKEN.sub("", text)
    if foreign and foreign.lower() == foreign:  # bytes lower only ASCII's capitals, but ten times as fast
        return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
    return text.lower()


def _foreign(text: str) -> str:
    """The non-ASCII part of a text. Searching only that is twice as fast."""
    return text.encode("utf-8", "surrogatepass").translate(None, _ASCII).decode("utf-8", "surrogatepass")


@cache
def _forms() -> dict[str, str]:
    """The ordinary form of each character that has another form; empty for an invisible character."""
    ranges = (range(0x80, 0xD800), range(0xE000, 0x10000), *(range(*bounds) for bounds in _HIGH))
    every = [chr(point) for points in ranges for point in points]
    compatible = (one for one in every if unicodedata.decomposition(one)[:1] == "<")
    others = (one for one in every if one.isdecimal() or one.isspace())
    invisible = re.findall(f"[{_INVISIBLE}]", "".join(every))
    return {one: form for one in chain(compatible, others, invisible, _DASHES) if (form := _form(one)) != one}


def _form(character: str) -> str:
    if re.match(f"[{_INVISIBLE}]", character):
        return ""
    if character in _DASHES:
        return "-"
    if unicodedata.category(character) == "Zs":
        return " "
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    made = unicodedata.decomposition(character)
    if not made.startswith("<") or made.startswith(_KEPT_FORMS):
        return character
    form = unicodedata.normalize("NFKC", character)
    return character if form.startswith(" ") else form  # an accent on its own


@cache
def _plain() -> re.Pattern[str]:
    return _pattern(lambda one: one in _forms() and (len(_forms()[one]) < 2 or _forms()[one].isalnum()))


@cache
def _of_words() -> re.Pattern[str]:
    """Characters in or between words that make folded words differ from words in lower case."""

    made = (unicodedata.decomposition(one) for one in map(chr, range(0x80, 0x10000)))
    composing = {chr(int(codes.split()[-1], 16)) for codes in made if codes and codes[0] != "<"}

    def matters(one: str) -> bool:
        form = _forms().get(one, one)
        other = form != one and (not form or one.isalnum() or form.isalnum())
        moves = unicodedata.combining(one) or one in composing or "\u1160" < one < "\u1200"  # Hangul has a rule
        return bool(
            other or moves or one.lower() != one.casefold() or one == "Σ" or not unicodedata.is_normalized("NFC", one)
        )

    return _pattern(matters)


def _pattern(wanted: Callable[[str], bool]) -> re.Pattern[str]:
    basic = "".join(filter(wanted, map(chr, chain(range(0x80, 0xD800), range(0xE000, 0x10000)))))
    return re.compile(f"[{basic}\U00010000-\U0010ffff]")  # one range, since `re` tries higher ranges one by one
