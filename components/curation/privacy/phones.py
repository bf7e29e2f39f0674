"""Telephone numbers, checked by Google's libphonenumber (the package `phonenumbers`).

What is notable:
- a pattern finds runs of digits that are written like a number; the library then decides which of them exist.
- international numbers (ITU-T E.123) need a country's valid number, or one of a possible length that is written in groups.
- national ones need a sign that they are telephone numbers: a word such as `Tel.` or `Handy` before or after them, another
  number before them, or their country's own grouping with its trunk prefix.
- countries are those of the document's language, or of `curation.privacy.regions`. Next to a word for telephones and in
  their exact grouping, numbers of all countries of the table are found.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from components.curation.privacy.phone_words import LINE, Look, look
from components.curation.privacy.spans import Span

# Countries of a language's documents: those with the most documents.
_REGIONS_OF = {
    "ar": "SA AE EG MA", "bg": "BG", "ca": "ES", "cs": "CZ", "da": "DK", "de": "DE AT CH", "el": "GR CY", "en": "US GB IE AU NZ IN ZA",
    "es": "ES MX AR CO CL PE", "et": "EE", "eu": "ES", "fa": "IR", "fi": "FI", "fr": "FR BE CH LU CA", "gl": "ES", "he": "IL", "hi": "IN",
    "hr": "HR", "hu": "HU", "id": "ID", "is": "IS", "it": "IT CH", "ja": "JP", "ko": "KR", "lt": "LT", "lv": "LV", "ms": "MY", "nb": "NO",
    "nl": "NL BE", "nn": "NO", "no": "NO", "pl": "PL", "pt": "BR PT", "ro": "RO", "ru": "RU KZ", "sk": "SK", "sl": "SI", "sr": "RS",
    "sv": "SE FI", "th": "TH", "tr": "TR", "uk": "UA", "vi": "VN", "zh": "CN TW HK SG",
}  # fmt: skip
_EVERYWHERE = tuple(dict.fromkeys(" ".join(["US GB DE FR", *_REGIONS_OF.values()]).split()))

_GAP = r"[ .\-/·]"
_EXTENSION = r"(?: ?(?:(?i:extension|extn|ext|ramal|anexo|toestel|durchwahl|wew)\b[.:]? ?|x ?|#)[0-9]{1,5}(?!\w))?"
_LETTER = "A-Za-z_\u00c0-\u024f"  # Japanese and Chinese have no blanks beside a number
_BEFORE = rf"(?<![0-9{_LETTER}+)])(?<![0-9{_LETTER}][\-/])(?<![0-9][.,:])(?<!\+ )"
_AFTER = rf"(?![0-9{_LETTER}@]|[,:][0-9]|[.\-/][0-9{_LETTER}])"
_INTERNATIONAL = re.compile(rf"\+ ?\(?[0-9]{{1,3}}\)?(?:(?:{_GAP}{{0,3}}|\n)\(?[0-9]\)?){{5,14}}{_AFTER}{_EXTENSION}")
_NATIONAL = re.compile(rf"{_BEFORE}\(?[0-9](?:{_GAP}{{0,3}}\(?[0-9]\)?){{6,14}}{_AFTER}{_EXTENSION}")
_GROUPS = re.compile("[0-9]+")
_AMERICAN = re.compile(
    r"(?:1 ?[\-. ] ?)?(?:\([2-9][0-9]{2}\) ?[\-.]? ?|[2-9][0-9]{2} ?[\-.] ?)[2-9][0-9]{2} ?[\-.] ?[0-9]{4}"
)
_SPACED_AMERICAN = re.compile(_AMERICAN.pattern.replace(r"[\-.]", r"[\-. ]"))
_SHORT_AMERICAN = re.compile(r"[2-9][0-9]{2} ?- ?[0-9]{4}")
_SUMMAND = re.compile(r"(?:^|[^+0-9])[0-9]{1,12} *$")
_YEAR, _DAY, _PART = "(?:1[0-9]|20)[0-9]{2}", "[0-3]?[0-9]", r"[\-/. ]{1,3}"
_DATE = re.compile(
    rf"\(?(?:[0-9]{{1,5}}/{_YEAR}|{_YEAR}{_PART}{_DAY}{_PART}{_DAY}|{_DAY}{_PART}{_DAY}{_PART}{_YEAR}"
    rf"|{_YEAR} ?[\-/] ?(?:{_YEAR}|[0-9]{{2}})|[0-2]?[0-9]\.[0-5][0-9] ?- ?[0-2]?[0-9]\.[0-5][0-9])(?![0-9])"
)
# A day; pages of a year.
_OTHERWISE = re.compile(r"(?:19|20)[0-9]{2}[\-/.][01][0-9][\-/.][0-3][0-9]|[0-9] ?\([0-9]+\)?$")
_DECIMAL = re.compile(r"[0-9]+\.[0-9]+")
_SUM = re.compile(r"[0-9] ?= ?-?[0-9]")

_UNIT = re.compile(
    " ?(?:[%€$£¥₹°=\u00d7*]|(?:EUR|USD|GBP|kg|km|m|cm|mm|m²|ha|zł|kr|Hz|MB|GB|euros?|habitantes|habitants|Einwohner|inhabitants)(?!\\w))"
)
SHORTEST = 8  # minimum characters of a number within its area: 555-0123
_LEAST = 9  # minimum digits of a number without a word for telephones
_PASSAGE, _SURE = 300, 0.9  # characters on each side of a number that show the language, and its minimum probability


def international(text: str) -> Iterator[Span]:
    """Numbers that begin with a plus and a country's code."""
    for match in _INTERNATIONAL.finditer(text):
        opened = match.start() - (text[match.start() - 1 : match.start()] == "(")
        before = text[opened - 1 : opened] if opened else ""
        if before.isalnum() or (before and before in "_.*^)]+"):
            continue
        for start, end in _ends(text, opened, match.end()):
            if _is_international(text, start, end, end == match.end()):
                yield Span(start, end, "phone")
                break


def national(text: str, start: int, end: int, regions: "Regions", ends: set[int]) -> Iterator[Span]:
    """Numbers within a run of digits, written as in their own country or with 00 for abroad.

    Args:
        ends: positions at which earlier telephone numbers end; the ends of new ones are added.
    """
    for match in _NATIONAL.finditer(text, max(0, start - 1), min(len(text), end + 16)):
        if match.start() > end:
            return
        if _DATE.match(match[0]):
            continue
        counts = _is_sequence(_GROUPS.findall(match[0]))
        if counts and not any(map(str.isalpha, text[max(0, match.start() - LINE) : match.start()])):
            continue
        around = look(text, match.start(), match.end(), ends)
        if around.other or (counts and not (around.near or (around.line and match[0][0] in "0("))):
            continue
        if not around.near and _DECIMAL.fullmatch(match[0]):
            continue
        # A bracket begins a number if something else, such as a postcode, precedes it.
        opened = text.find("(", match.start() + 1, match.end() - 7)
        stretches = [*_ends(text, *match.span()), *(_ends(text, opened, match.end()) if opened > 0 else ())]
        for begin, stop in stretches:
            if _is_national(text, begin, stop, around, regions):
                yield Span(begin, stop, "phone")
                ends.add(stop)
                break


class Regions:
    """The countries to search for numbers of: given ones, or those of the text's language, identified at first use."""

    def __init__(self, given: Sequence[str], language: str | None, text: str) -> None:
        self._known = tuple(given) or (_regions_of(language) if language else None)
        self._text = text

    def of(self, at: int) -> tuple[str, ...]:
        """The countries at a position; empty if the language is not known."""
        if self._known is None:
            from components.text.languages import UNKNOWN, identify

            ((code, probability),) = identify([self._text[max(0, at - _PASSAGE) : at + _PASSAGE]])
            self._known = _regions_of(code if probability >= _SURE else UNKNOWN)
        return self._known


def _regions_of(language: str) -> tuple[str, ...]:
    return tuple(_REGIONS_OF.get(language, "").split())


def _ends(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Parts of a match that may be the number: all of it, and without its last groups; brackets in pairs."""
    # A part without the last groups ends before a blank.
    inner = [at.end() for at in _GROUPS.finditer(text, start, end) if text[at.end() : at.end() + 1] in (" ", "\n")]
    stops = [end, *reversed([at for at in inner if at < end])][:4]
    for stop in stops:
        begin = start
        stop += text[stop : stop + 1] == ")" and text.count("(", begin, stop) > text.count(")", begin, stop)
        if text[begin] == "(" and (text.find(")", begin, stop) in (-1, stop - 1)):
            begin += 1
            stop -= text[stop - 1] == ")"
        elif text[stop - 1] == ")" and text.count("(", begin, stop) < text.count(")", begin, stop):
            stop -= 1
        written = text[begin:stop]
        if sum(map(str.isdigit, written)) >= 7 and written.count("(") == written.count(")"):
            yield begin, stop


def _is_international(text: str, start: int, end: int, whole: bool) -> bool:
    groups = _groups(text[start:end])
    digits = "".join(groups)
    number = _parsed("+" + digits, None)
    if not number or not number.possible:
        return False
    if len(groups) == 1:
        if text[start:end].find(".") > 0 or _SUMMAND.search(text, max(0, start - 16), start):
            return False
        return number.valid or (whole and len(digits) >= 10)
    if not number.valid:  # no country's list is ever complete
        return whole and digits[0] != "1"
    return (whole or "\n" not in text[start:end]) and _is_whole(groups, number.groups)


def _is_national(text: str, start: int, end: int, around: Look, regions: "Regions") -> bool:
    written = text[start:end]
    groups = _groups(written)
    digits = "".join(groups)
    if not around.near and (text[start - 1 : start] == "." or _UNIT.match(text, end) or _OTHERWISE.search(written)):
        return False
    if digits.startswith("00"):
        number = _parsed("+" + digits[2:], None)
        return bool(
            number and number.possible and (len(groups) > 2 or around.line) and (number.valid or len(groups) > 2)
        )
    if around.line and (
        _SPACED_AMERICAN.fullmatch(written) or (_SHORT_AMERICAN.fullmatch(written) and text.endswith(" at ", 0, start))
    ):
        return True
    if _AMERICAN.fullmatch(written):
        return around.near or not _SUM.search(text, max(0, start - 40), end + 40)
    if around.near and _is_local(groups, digits):
        return True
    if not around.line and not _is_plausible(written, groups):
        return False
    own = regions.of(start)
    return any(_is_of(region, written, groups, around, True) for region in own) or any(
        _is_of(region, written, groups, around, False, not own) for region in _EVERYWHERE if region not in own
    )


def _is_of(region: str, written: str, groups: tuple[str, ...], around: Look, own: bool, lost: bool = False) -> bool:
    digits = "".join(groups)
    trunk = digits[0] == "0"
    in_line = around.line and (own or lost or trunk)
    if not in_line:
        if not _is_plausible(written, groups):
            return False
        if not trunk and written[0] != "(" and not own:
            return False
    if not own and not _may_be_valid(digits, region):
        return False
    number = _parsed(digits, region)
    if not number or not number.possible:
        return False
    alike = number.written == digits
    if around.near:
        return number.valid or (own and alike)
    begins = _begins_alike(groups[0], number.groups[0])
    if in_line and (begins or len(groups) == 1):
        return number.valid or (own and alike and trunk)
    if not alike or not _is_plausible(written, groups):
        return False
    if groups == number.groups:
        return number.valid or (own and trunk)
    return own and number.valid and begins and written[0] in "0("


def _is_plausible(written: str, groups: tuple[str, ...]) -> bool:
    """Whether it may be a number without a word before it: long, in groups, with a trunk zero, a bracket or many groups."""
    begins = written[0] in "0(" or len(groups) > 3 or (len(groups) == 3 and "-" in written)
    return begins and len(groups) > 1 and sum(map(len, groups)) >= _LEAST


def _begins_alike(group: str, known: str) -> bool:
    """Whether the first group is the library's area code: with or without the trunk zero, or most of it."""
    return known.endswith(group) or (len(group) > 3 and (known.startswith(group) or group.startswith(known)))


def _is_local(groups: tuple[str, ...], digits: str) -> bool:
    """Whether it is written like a number without an area code or of an unknown plan: in groups, one of them long."""
    return 7 <= len(digits) <= 15 and max(map(len, groups)) >= 3 and len(groups) > 1


def _is_whole(groups: tuple[str, ...], known: tuple[str, ...]) -> bool:
    """Whether North America's area code is its own group, or all digits are one group; +1 2024 01 02 03 is a date."""
    return groups[0] != "1" or len(groups) == 2 or groups[1] == known[1][:3]


def _groups(written: str) -> tuple[str, ...]:
    """Groups of digits, without those of an extension."""
    return tuple(_GROUPS.findall(re.split("[A-Za-z#]", written, maxsplit=1)[0]))


def _is_sequence(groups: Sequence[str]) -> bool:
    """Whether the groups count up or down evenly, like the head of a table, or are sorted, like lottery numbers."""
    steps = {int(b) - int(a) for a, b in itertools.pairwise(groups)}
    return (len(steps) == 1 and len(groups) > 2) or (len(groups) > 4 and min(steps) >= 0)


@functools.cache
def _plan(region: str) -> tuple[re.Pattern[str], str]:
    """A country's numbers and its trunk prefix; the library compiles its patterns anew for each number."""
    from phonenumbers import PhoneMetadata

    plan: Any = PhoneMetadata.metadata_for_region(region)
    return re.compile(plan.general_desc.national_number_pattern), plan.national_prefix or ""


def _may_be_valid(digits: str, region: str) -> bool:
    pattern, prefix = _plan(region)
    return bool(pattern.fullmatch(digits) or (prefix and pattern.fullmatch(digits.removeprefix(prefix))))


class _Number(NamedTuple):
    possible: bool
    valid: bool
    written: str  # digits of the national form
    groups: tuple[str, ...]


@functools.lru_cache(maxsize=8_192)
def _parsed(digits: str, region: str | None) -> _Number | None:
    import phonenumbers

    try:
        number: Any = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    if region and number.country_code != phonenumbers.country_code_for_region(region):
        return None
    possible = phonenumbers.is_possible_number_with_reason(number) == phonenumbers.ValidationResult.IS_POSSIBLE
    form = phonenumbers.PhoneNumberFormat.NATIONAL if region else phonenumbers.PhoneNumberFormat.INTERNATIONAL
    groups = tuple(_GROUPS.findall(phonenumbers.format_number(number, form)))
    return _Number(possible, phonenumbers.is_valid_number(number), "".join(groups), groups)
