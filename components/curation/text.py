"""The text of a document as curation keeps it: one Unicode form, one line end, no control characters.

Pure functions of one text.
"""

import re
import unicodedata

_CONTROL = dict.fromkeys(c for c in range(32) if chr(c) not in "\t\n") | {0x7F: None, 0xFEFF: None}
_TRAILING = re.compile(r"(?<![ \t])[ \t]+$", re.MULTILINE)  # tried once a run of blanks, not at each of its blanks
_BLANK_LINES = re.compile(r"\n{4,}")


def normalise(text: str) -> str:
    """NFC, Unix line ends, no control characters, no trailing blanks, at most two empty lines, one final newline."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = unicodedata.normalize("NFC", text).translate(_CONTROL)
    return _BLANK_LINES.sub("\n\n\n", _TRAILING.sub("", text)).strip("\n") + "\n"
