"""Text that others wrote, for a terminal."""

BROKEN = "\ufffd"  # what bytes that are not UTF-8 were decoded to
SPACES = "\n\t\u00a0\u202f\u3000"  # of lines and words
JOINERS = "\u200c\u200d"  # within the words of several scripts, and within emoji


def printable(text: str, keep: str = "") -> str:
    """`text` with every character escaped that would steer a terminal, hide, or turn the direction of what follows.

    Args:
        keep: characters that stay though they are not printable.

    >>> printable("\\x1b[2J")
    '\\\\x1b[2J'
    """
    return "".join(char if char.isprintable() or char in keep else repr(char)[1:-1] for char in text)


def printable_text(text: str) -> str:
    """The same for running text of any script: lines, tabs, blanks and joiners stay. Broken characters are escaped too."""
    return printable(text, SPACES + JOINERS).replace(BROKEN, r"\ufffd")
