"""The parts of a text that are not prose: fenced code (CommonMark) and displayed formulas (TeX). Rules for prose skip them.

Pure functions of one text, linear in it. A part that is never closed is prose, so that one mark cannot hide a text.
"""

import re
from collections.abc import Iterator

_MARKS = ("```", "~~~", "$$", r"\[", r"\begin{")
_FENCE = re.compile(r" {0,3}(`{3,16}|~{3,16})(?![`~])[^`\n]*$")
_ENVIRONMENT = re.compile(
    r"\\begin\{((?:equation|align|gather|multline|eqnarray|alignat|flalign|displaymath|math)\*?)\}"
)
_HEADING = re.compile(r"^ {0,3}#{1,6}(?=[ \t])", re.M)


def fenced_lines(text: str) -> list[bool] | None:
    """For each line (split at "\\n"), whether it is in a fenced part, marks included; None if no line is."""
    if not any(mark[0] in text and mark in text for mark in _MARKS):  # one character is found ten times as fast
        return None
    lines = text.split("\n")
    inside = [False] * len(lines)
    for first, last in _parts(lines):
        inside[first : last + 1] = [True] * (last + 1 - first)
    return inside if any(inside) else None


def without_fenced(text: str) -> str:
    """The text without its fenced parts."""
    inside = fenced_lines(text)
    if inside is None:
        return text
    return "\n".join(line for line, skipped in zip(text.split("\n"), inside, strict=True) if not skipped)


def prose_of(text: str) -> str:
    """The text that rules for prose examine: without fenced parts and without the hash signs of Markdown headings."""
    text = without_fenced(text)
    return _HEADING.sub("", text) if "#" in text else text


def _parts(lines: list[str]) -> Iterator[tuple[int, int]]:
    """First and last line of each part, in order. Lines are searched only once for each kind of missing end."""
    hopeless: set[str] = set()  # ends that do not follow: for a formula, before the next empty line
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            hopeless = {end for end in hopeless if end[0] in "`~"}
        end = _end_of(lines[at])
        last = None if end in hopeless or not end else _closing(lines, at, end)
        if last is not None:
            yield at, last
            at = last
        elif end:
            hopeless.add(end)
        at += 1


def _end_of(line: str) -> str:
    """The mark that ends the part that a line begins; empty if it begins none."""
    if fence := _FENCE.match(line):
        return fence[1]
    start = line.strip()
    if start.startswith("$$"):
        return "$$"
    if start.startswith(r"\["):
        return r"\]"
    environment = _ENVIRONMENT.match(start)
    return rf"\end{{{environment[1]}}}" if environment else ""


def _closing(lines: list[str], first: int, end: str) -> int | None:
    """The line that closes a part; a formula contains no empty line."""
    if end[0] in "`~":
        for number in range(first + 1, len(lines)):
            line = lines[number].strip()
            if line.startswith(end) and not line.strip(end[0]):
                return number
        return None
    if end in lines[first].strip()[2:]:
        return first
    for number in range(first + 1, len(lines)):
        if not lines[number].strip():
            return None
        if end in lines[number]:
            return number
    return None
