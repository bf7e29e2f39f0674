"""Replace personal data and secrets by typed placeholders: <EMAIL>, <PHONE>, <IP>, <CARD>, <IBAN>, <KEY>.

What is notable:
- one cheap look decides for most texts that there is nothing: a search for a byte or a digit, not a regular expression
  for each kind. What it lets through is examined by rules with checks: Luhn, ISO 7064, `ipaddress`, country codes.
- every rule looks at a bounded stretch around a place that was found in one pass, so hostile text takes linear time.
- Python code is redacted inside its string literals and comments alone, and still parses if it did before.
- a text is gone over until nothing is found, so redacting what is redacted changes nothing.
"""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate

from components.curation.privacy import accounts, contacts, keys
from components.curation.privacy.spans import PLACEHOLDERS, Span
from components.params.privacy import PrivacyParams

_ORDER = ("key", "email", "iban", "card", "ip", "phone")  # of two that overlap the earlier stays
_DIGITS = re.compile(r"[0-9][0-9 ().\-/]{5,}+")  # all that has enough digits for a number of any kind


def redact(text: str, kind: str, params: PrivacyParams) -> tuple[str, Counter[str]]:
    """The text with placeholders in place of personal data and secrets, and how many of each there are.

    Args:
        kind: of the document, which decides what is looked for.
    """
    counts: Counter[str] = Counter()
    while spans := find(text, kind, params):
        parts, end = [], 0
        for span in spans:
            parts += [text[end : span.start], PLACEHOLDERS[span.data]]
            end = span.end
        text = "".join([*parts, text[end:]])
        counts.update(span.data for span in spans)
    return text, counts


def find(text: str, kind: str, params: PrivacyParams) -> list[Span]:
    """Personal data and secrets of a text, in order, none over another."""
    wanted = params.redact.get(kind, ())
    found = [span for span in _all(text, frozenset(wanted), params) if not _is_glued(text, span)]
    if not found:
        return found
    if kind == "code":
        found = _in_literals(text, found)
    spans = _apart(found)
    return _that_parse(text, spans) if kind == "code" else spans


def _all(text: str, wanted: frozenset[str], params: PrivacyParams) -> Iterator[Span]:
    if "key" in wanted:
        yield from keys.keys(text)
    if "email" in wanted and "@" in text:
        yield from contacts.emails(text, tuple(params.allowed_domains))
    networks = tuple(params.allowed_networks)
    if "ip" in wanted and ":" in text:
        yield from contacts.ipv6(text, networks)
    if not wanted & {"phone", "ip", "card", "iban"}:
        return
    for run in _DIGITS.finditer(text):
        if "iban" in wanted:
            yield from accounts.ibans(text, run.start(), run.end())
        if "card" in wanted:
            yield from accounts.cards(text, run.start(), run.end())
        if "ip" in wanted:
            yield from contacts.ipv4(text, run.start(), run.end(), networks)
        if "phone" in wanted:
            yield from contacts.phones(text, run.start(), run.end())


def _is_glued(text: str, span: Span) -> bool:
    """Whether it touches a placeholder. What stood against data is not data because that is gone, and a row of such
    would else be gone over once for each of its members.
    """
    placeholders = tuple(PLACEHOLDERS.values())
    return text.endswith(placeholders, max(0, span.start - 8), span.start) or text.startswith(placeholders, span.end)


def _apart(found: Sequence[Span]) -> list[Span]:
    """Those that stay where some overlap: the surer kind, then the longer, then the first."""
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


def _in_literals(text: str, found: Sequence[Span]) -> list[Span]:
    """Those inside one string literal or comment. All of them where the text is no Python that can be cut into
    tokens.
    """
    try:
        literals = _literals(text)
    except (tokenize.TokenError, SyntaxError, ValueError):
        return list(found)
    spans = []
    for span in found:
        # A backslash and a letter are one character of a literal.
        start = span.start + (span.data == "email" and text[span.start - 1 : span.start] == "\\")
        if any(a <= start and span.end <= b for a, b in literals):
            spans.append(Span(start, span.end, span.data))
    return spans


def _literals(text: str) -> list[tuple[int, int]]:
    """Where string literals and comments stand.

    Raises:
        TokenError, SyntaxError: it is no Python.
    """
    starts = [0, *accumulate(len(line) for line in io.StringIO(text, newline=""))]
    kinds = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text, newline="").readline):
        if token.type == tokenize.ERRORTOKEN and token.string.strip():
            raise tokenize.TokenError(token.string)
        if token.type in kinds:
            (first, column), (last, end) = token.start, token.end
            found.append((starts[first - 1] + column, starts[last - 1] + end))
    return found


def _that_parse(text: str, spans: list[Span]) -> list[Span]:
    """All spans, or where a text would no longer parse without them those with which it does, each tried alone."""
    if not _parses(text) or _parses(_without(text, spans)):
        return spans
    return [span for span in spans if _parses(_without(text, [span]))]


def _without(text: str, spans: Sequence[Span]) -> str:
    for span in reversed(spans):
        text = text[: span.start] + PLACEHOLDERS[span.data] + text[span.end :]
    return text


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
