"""The guard against 'many comments, so good code': a value counts only as far as the bare code bears it.

guarded value = min(value as it stands, value without comments and docstrings x (1 + allowance)). So comments may lower a
value freely, and raise it by a share of what the bare code is worth, however many there are: nothing is nothing, whatever
is said about it. At a threshold t no code passes whose bare value is under t / (1 + allowance).
"""

import re

import numpy as np

# Strings are matched so that what looks like a comment within one is left alone. Every alternative stops at the first character
# that cannot follow, so the scan is linear; an unclosed string ends with its line, an unclosed long one with the text.
_PIECES = re.compile(
    r"""(?P<comment>\#[^\n]*|/\*.*?(?:\*/|\Z)|(?:(?<=\n)|\A)[ \t]*//[^\n]*)"""
    r'''|(?P<long>"""(?:[^"\\]|\\.|"(?!""))*(?:"""|\Z)|\'\'\'(?:[^'\\]|\\.|'(?!''))*(?:\'\'\'|\Z))'''
    r"""|(?P<short>"(?:[^"\\\n]|\\.)*["\n]?|'(?:[^'\\\n]|\\.)*['\n]?)""",
    re.DOTALL,
)
_EMPTY_LINES = re.compile(r"\n(?:[ \t]*\n)+")
_GOES_ON = frozenset("([{,=+%\\|&")  # after these a string that stands on a line of its own is not a statement


def without_comments(text: str) -> str:
    """Code without its comments (`#`, `/* */`, `//` on a line of its own), strings that are statements, and empty lines.

    A linear scan that takes any text, parsed or not. A docstring in one pair of quotes goes where a block opens, one in three
    wherever it stands as a statement of its own.
    """
    kept: list[str] = []
    place, last = 0, ""  # what is copied so far, and the last character of it that is not a blank
    for piece in _PIECES.finditer(text):
        start, end = piece.span()
        before = text[place:start]
        if piece.lastgroup != "comment":
            before = before.rstrip("rRuU")
            if not _ends_line(text, end) or not _is_statement(before, last, piece.lastgroup == "long"):
                continue
        kept.append(before)
        last = before.rstrip()[-1:] or last
        place = end
    kept.append(text[place:])
    return _EMPTY_LINES.sub("\n", "".join(kept)).lstrip("\n")


def _ends_line(text: str, place: int) -> bool:
    """Whether nothing but blanks follows on the line, or a comment or semicolon does."""
    while place < len(text) and text[place] in " \t":
        place += 1
    return place == len(text) or text[place] in "\n;#"


def _is_statement(before: str, last: str, long: bool) -> bool:
    """Whether a string stands first on its line and nothing ahead of it asks for more.

    Args:
        before: the code up to it from what went last.
        last: the last character of the code ahead of `before` that is not a blank.
    """
    line = before.rstrip(" \t")
    if line and not line.endswith("\n"):
        return False
    last = line.rstrip()[-1:] or last
    return last in ("", ":") or (long and last not in _GOES_ON)


def guarded(with_comments: np.ndarray, without: np.ndarray, allowance: float) -> np.ndarray:
    """The value that counts, float32.

    Args:
        with_comments: values of the code as it stands.
        without: values of the same code by `without_comments`.
        allowance: what comments may add, as a share of the value without them.
    """
    return np.minimum(with_comments, without * np.float32(1 + allowance)).astype(np.float32)
