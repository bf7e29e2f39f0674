"""Text from outside, for a terminal."""

BROKEN = "\ufffd"  # stands for bytes that were not UTF-8
SPACES = "\n\t\u00a0\u202f\u3000"  # of lines and words
JOINERS = "\u200c\u200d"  # within the words of several scripts, and within emoji


def printable(text: str, keep: str = "") -> str:
    """A text with escapes for all characters that would control a terminal, are invisible, or change the writing direction.

    Args:
        keep: characters to leave although they are not printable.

    >>> printable("\\x1b[2J")
    '\\\\x1b[2J'
    """
    return "".join(char if char.isprintable() or char in keep else repr(char)[1:-1] for char in text)


def printable_text(text: str) -> str:
    """The same for prose of any script: line ends, tabs, blanks and joiners stay. Broken characters are escaped too."""
    return printable(text, SPACES + JOINERS).replace(BROKEN, r"\ufffd")
