"""The text of a document as curation keeps it: one Unicode form, one line end, no invisible characters, no mojibake.

Pure functions of one text. Mojibake is text that was decoded with a different encoding than it was written in; ftfy (Speer
2019, doi 10.5281/zenodo.2591652) finds and undoes it, line by line, where its own heuristic calls a line bad.
"""

import functools
import re
import unicodedata
from collections.abc import Callable

from components.text.characters import visible

# A no-break space or soft hyphen that may be part of mojibake: "Ã\xa0" for "à".
_HIDDEN = re.compile("[^\x00-\x7f\xa0\xad][\xa0\xad]")
_BLANK_LINES = re.compile(r"\n{4,}")
_ROUNDS = 4  # maximum rounds until a repair changes nothing more; several layers of mojibake take one or two


def repair(text: str, kind: str) -> str:
    """The text as curation keeps it. `repair(repair(text, kind), kind)` is `repair(text, kind)`.

    Args:
        kind: of the document. Mojibake is undone only in `web`: other texts were written for this project or for a
            compiler, so a guess may do harm.
    """
    if kind != "web" or text.isascii():
        return normalise(text, kind)
    if _HIDDEN.search(text):  # before normalise removes these characters
        text = _without_mojibake(text)
    text = normalise(text, kind)
    if not _may_be_bad().search(text):
        return text
    repaired = text
    for _ in range(_ROUNDS):
        fixed = _without_mojibake(repaired)
        if fixed == repaired:
            return repaired
        repaired = normalise(fixed, kind)
    return text  # the repair does not settle, so the intended text is unknown


def normalise(text: str, kind: str) -> str:
    """NFC, Unix line ends, no control or invisible characters, no trailing spaces, at most two empty lines, one final newline.

    Args:
        kind: of the document. No-break spaces and hyphens become ordinary ones, except in code, whose literals may need them.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = unicodedata.normalize("NFC", visible(text, exact=kind == "code"))
    if " \n" in text or "\t\n" in text or text.endswith((" ", "\t")):
        text = "\n".join([line.rstrip(" \t") for line in text.split("\n")])
    if "\n\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n\n", text)
    return text.strip("\n") + "\n"


def _without_mojibake(text: str) -> str:
    is_bad, fix_encoding = _ftfy()
    suspect = _may_be_bad().search
    return "\n".join(
        [
            fix_encoding(line) if not line.isascii() and suspect(line) and is_bad(line) else line
            for line in text.split("\n")
        ]
    )


@functools.cache
def _ftfy() -> tuple[Callable[[str], bool], Callable[[str], str]]:
    from ftfy import fix_encoding
    from ftfy.badness import is_bad

    return is_bad, fix_encoding


@functools.cache
def _may_be_bad() -> re.Pattern[str]:
    """Matches every text that ftfy calls bad, and few others, in a fraction of the time.

    Every pattern of its heuristic contains a C1 control character, two neighbours out of its categories, or one of the
    few letters that it suspects on their own.
    """
    from ftfy.badness import MOJIBAKE_CATEGORIES as categories

    suspects, controls = "".join(categories.values()), categories["c1"]
    # Each alternative begins with a set of characters, since `re` finds a member of one quickest.
    return re.compile(
        rf"[{suspects}{controls}ÃÂŒœ](?:(?<=[{suspects}])[{suspects}]|(?<=[{controls}])|(?<=[ÃÂŒœ])[^A-Za-z])"
    )
