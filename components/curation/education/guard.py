"""The guard against high values for code that has many comments but little substance.

guarded value = min(value with comments, value without comments and docstrings x (1 + allowance)). So comments may lower a
value freely, but raise it only by a share of the bare code's value, however many there are. At a threshold t, code with a
bare value under t / (1 + allowance) never passes.
"""

import re

import numpy as np

# Strings are matched so that text within them is not taken for a comment. Every alternative stops at the first character that
# cannot follow, so the scan is linear; an unclosed string ends with its line, an unclosed long one with the text.
_PIECES = re.compile(
    r"""(?P<comment>\#[^\n]*|/\*.*?(?:\*/|\Z)|(?:(?<=\n)|\A)[ \t]*//[^\n]*)"""
    r'''|(?P<long>"""(?:[^"\\]|\\.|"(?!""))*(?:"""|\Z)|\'\'\'(?:[^'\\]|\\.|'(?!''))*(?:\'\'\'|\Z))'''
    r"""|(?P<short>"(?:[^"\\\n]|\\.)*["\n]?|'(?:[^'\\\n]|\\.)*['\n]?)""",
    re.DOTALL,
)
_EMPTY_LINES = re.compile(r"\n(?:[ \t]*\n)+")
_GOES_ON = frozenset("([{,=+%\\|&")  # after these a string on its own line is not a statement


def without_comments(text: str) -> str:
    """Code without its comments (`#`, `/* */`, `//` on a line of its own), strings that are statements, and empty lines.

    It is a linear scan that takes any text, parsable or not. A docstring in single quotes is removed where a block opens, one
    in triple quotes wherever it is a statement of its own.
    """
    kept: list[str] = []
    place, last = 0, ""  # end of the copied text, and its last non-blank character
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
    """Whether the line has only blanks left, or a comment or semicolon follows."""
    while place < len(text) and text[place] in " \t":
        place += 1
    return place == len(text) or text[place] in "\n;#"


def _is_statement(before: str, last: str, long: bool) -> bool:
    """Whether a string is first on its line and the code before it is complete.

    Args:
        before: the code between the last removed part and the string.
        last: the last non-blank character of the code ahead of `before`.
    """
    line = before.rstrip(" \t")
    if line and not line.endswith("\n"):
        return False
    last = line.rstrip()[-1:] or last
    return last in ("", ":") or (long and last not in _GOES_ON)


def guarded(with_comments: np.ndarray, without: np.ndarray, allowance: float) -> np.ndarray:
    """The guarded values, float32.

    Args:
        with_comments: values of the code with its comments.
        without: values of the same code after `without_comments`.
        allowance: how much comments may add, as a share of the value without them.
    """
    return np.minimum(with_comments, without * np.float32(1 + allowance)).astype(np.float32)
