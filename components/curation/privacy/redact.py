"""Replace personal data and secrets by typed placeholders: <EMAIL>, <PHONE>, <IP>, <CARD>, <IBAN>, <KEY>.

What is notable:
- one cheap search for a byte or a digit, not a regular expression for each kind, shows that most texts have no such data.
  The others are examined by rules with checks: Luhn, ISO 7064, `ipaddress`, country codes.
- patterns see the ordinary forms of characters (components.text.characters), so no-break blanks, dashes and wide digits hide nothing.
- every rule examines a bounded stretch around a place that one pass found, so hostile text takes linear time.
- Python code is redacted only inside string literals and comments, and still parses if it did before.
- redaction is repeated until nothing is found, so redacting a redacted text changes nothing.
"""

import io
import re
import tokenize
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby

from components.curation.privacy import accounts, emails, internet, keys, phones
from components.curation.privacy.spans import PLACEHOLDERS, Span
from components.curation.syntax import NO_PYTHON, parse
from components.params.privacy import PrivacyParams
from components.text.characters import lower, plain

_ORDER = ("key", "email", "iban", "card", "ip", "phone")  # of two that overlap, the earlier in this list stays
TRIES = 64  # maximum parses of a literal to find which of its placeholders break it
_DIGITS = re.compile(r"[0-9][0-9 ().\-/·]{5,}+")  # runs with enough digits for a number of any kind


def redact(text: str, kind: str, params: PrivacyParams, language: str | None = None) -> tuple[str, Counter[str]]:
    """The text with placeholders in place of personal data and secrets, and the number of each.

    Args:
        kind: of the document, which decides what is searched for.
        language: ISO 639 code, which decides the countries of telephone numbers; None = identified if needed.
    """
    counts: Counter[str] = Counter()
    while spans := find(text, kind, params, language):
        text = _without(text, spans)
        counts.update(span.data for span in spans)
    return text, counts


def find(text: str, kind: str, params: PrivacyParams, language: str | None = None) -> list[Span]:
    """Personal data and secrets of a text, in order, without overlaps."""
    wanted = frozenset(params.redact.get(kind, ()))
    ordinary = plain(text)
    regions = phones.Regions(params.regions, language, ordinary.text)
    lowered = lower(ordinary.text)
    spans = [*_all(ordinary.text, lowered, wanted, params, regions)]
    if wanted & {"email", "ip"} and (shown := emails.revealed(ordinary.text, lowered)):
        addresses = _all(shown.text, lower(shown.text), wanted & {"email", "ip"}, params, regions)
        spans += (Span(shown.place(start), shown.place(end - 1) + 1, data) for start, end, data in addresses)
    spans = [Span(ordinary.place(start), ordinary.place(end - 1) + 1, data) for start, end, data in spans]
    found = [span for span in spans if not _is_glued(text, span)]
    if not found:
        return found
    # Other languages' code can often be cut into Python's tokens, but seldom be parsed.
    literals = _literals(text) if kind == "code" and _parses(text) else None
    if literals is None:
        return _apart(found)
    return _that_parse(text, _apart(_in_literals(text, found, literals)), literals)


def _all(
    text: str, lowered: str, wanted: frozenset[str], params: PrivacyParams, regions: phones.Regions
) -> Iterator[Span]:
    if "key" in wanted:
        yield from keys.keys(text, lowered)
    if "email" in wanted:
        yield from emails.emails(text, lowered, tuple(params.allowed_domains))
    networks = tuple(params.allowed_networks)
    if "ip" in wanted and ":" in text:
        yield from internet.ipv6(text, networks)
    abroad = list(phones.international(text)) if "phone" in wanted and "+" in text else []
    yield from abroad
    ends = {span.end for span in abroad}
    if not wanted & {"phone", "ip", "card", "iban"}:
        return
    for run in _DIGITS.finditer(text):
        start, end = run.span()
        if "iban" in wanted and end - start >= accounts.SHORTEST_IBAN:
            yield from accounts.ibans(text, start, end)
        if "card" in wanted and end - start >= accounts.SHORTEST_CARD:
            yield from accounts.cards(text, start, end)
        if "ip" in wanted and text.count(".", start, end) > 2:
            yield from internet.ipv4(text, start, end, networks)
        if "phone" in wanted and end - start >= phones.SHORTEST:
            yield from phones.national(text, start, end, regions, ends)


def _is_glued(text: str, span: Span) -> bool:
    """Whether a span touches a placeholder. Text next to data does not become data when that is replaced, and a chain of
    such spans would otherwise need one pass for each.
    """
    placeholders = tuple(PLACEHOLDERS.values())
    return text.endswith(placeholders, max(0, span.start - 8), span.start) or text.startswith(placeholders, span.end)


def _apart(found: Sequence[Span]) -> list[Span]:
    """Spans without overlaps: the surer kind stays, then the longer, then the first."""
    ranked = sorted(found, key=lambda s: (s.start, _ORDER.index(s.data), -s.end))
    spans: list[Span] = []
    for span in ranked:
        if spans and span.start < spans[-1].end:
            last = spans[-1]
            if (_ORDER.index(span.data), last.end - last.start) < (_ORDER.index(last.data), span.end - span.start):
                spans[-1] = span
            continue
        spans.append(span)
    return spans


def _in_literals(text: str, found: Sequence[Span], literals: Sequence[tuple[int, int]]) -> list[Span]:
    """The spans that are inside one string literal or comment."""
    spans = []
    for span in found:
        # A backslash and a letter are one character of a literal.
        start = span.start + (span.data == "email" and text[span.start - 1 : span.start] == "\\")
        if span.end <= literals[_place(literals, start)][1]:
            spans.append(Span(start, span.end, span.data))
    return spans


def _place(literals: Sequence[tuple[int, int]], start: int) -> int:
    """The last literal that begins at or before a character; the first, empty one means none."""
    return bisect_right(literals, start, key=lambda literal: literal[0]) - 1


def _literals(text: str) -> list[tuple[int, int]] | None:
    """Positions of string literals and comments, in order, after an empty one; None if the text cannot be split into Python
    tokens.
    """
    try:
        return [(0, 0), *_tokens(text)]
    except (tokenize.TokenError, SyntaxError, ValueError):
        return None


def _tokens(text: str) -> Iterator[tuple[int, int]]:
    starts = [0, *accumulate(len(line) for line in io.StringIO(text, newline=""))]
    kinds = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(text, newline="").readline):
        if token.type == tokenize.ERRORTOKEN and token.string.strip():
            raise tokenize.TokenError(token.string)
        if token.type in kinds:
            (first, column), (last, end) = token.start, token.end
            yield starts[first - 1] + column, starts[last - 1] + end


def _that_parse(text: str, spans: list[Span], literals: Sequence[tuple[int, int]]) -> list[Span]:
    """All spans, or if the text would no longer parse without them, those that can be replaced without breaking a literal.

    Literals are tried separately: parsing the whole text for each span would take quadratic time.
    """
    if _parses(_without(text, spans)):
        return spans
    borne: list[Span] = []
    for place, group in groupby(spans, lambda span: _place(literals, span.start)):
        start, end = literals[place]
        own = [Span(span.start - start, span.end - start, span.data) for span in group]
        borne += [Span(a + start, b + start, data) for a, b, data in _borne(text[start:end], own)]
    return borne


def _borne(literal: str, spans: list[Span]) -> list[Span]:
    """The spans that can be replaced so that the literal still parses, by bisection; after TRIES, all others are redacted."""
    if not _parses(literal):  # part of a formatted string, in Python 3.12 and later
        return spans
    borne: list[Span] = []
    waiting, tries = [spans], 0
    while waiting:
        some = waiting.pop()
        tries += 1
        if tries > TRIES or _parses(_without(literal, some)):
            borne += some
        elif len(some) > 1:
            waiting += [some[len(some) // 2 :], some[: len(some) // 2]]
    return borne


def _without(text: str, spans: Sequence[Span]) -> str:
    parts, end = [], 0
    for span in spans:
        parts += [text[end : span.start], PLACEHOLDERS[span.data]]
        end = span.end
    return "".join([*parts, text[end:]])


def _parses(text: str) -> bool:
    try:
        parse(text)
    except NO_PYTHON:
        return False
    return True
