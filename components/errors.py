"""The error meant for people, and functions that keep its message readable.

Everything else that is raised is a defect and shows its traceback; a StepError shows only its sentence, which says what
was given, what was expected, where, and how to fix it. Values from outside go into a message by `short`, texts by
`shortened`: both may be hundreds of megabytes.
"""

import reprlib
from typing import Any

from components.foreign.addresses import without_secrets

MESSAGE = 4_000  # maximum characters of a message
SAID = 200  # maximum characters of a file's or library's text in a reason
VALUE = 60  # maximum characters of a value in a message
_HUGE_BITS = 128  # of a whole number; Python refuses to write very long ones


class StepError(Exception):
    """Input, parameter or environment that a step cannot work with. The message is complete in itself. Secrets in
    quoted addresses are removed here.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(without_secrets(clipped(str(message), MESSAGE)))


class Diverged(StepError):
    """A training run whose loss or gradient became NaN or infinite. A sweep treats it as a result, not as a failure."""


def short(value: Any, most: int = VALUE) -> str:
    """A value for a message, written as Python writes it, at most about `most` characters long.

    >>> short([1, "a" * 1000])
    "[1, 'aaaaaaaaaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaaaaaaaaaa']"
    """
    writer = _Short()
    writer.maxstring = writer.maxother = most
    return clipped(writer.repr(value), most + 40)


class _Short(reprlib.Repr):
    """Does not write what is left out, so that huge values cost nothing."""

    maxlevel, maxlist, maxtuple, maxdict, maxset = 2, 6, 6, 6, 6

    def repr_int(self, value: int, level: int) -> str:
        digits = "a number of more than 38 digits"
        return digits if value.bit_length() > _HUGE_BITS else repr(value)


def shortened(said: str, most: int = SAID) -> str:
    """Text from outside for a reason, in one short line."""
    said = " ".join(said[: 4 * most].split())
    return said if len(said) <= most else said[: most - 1] + "…"


def is_panic(error: BaseException) -> bool:
    """Whether code in Rust (tokenizers, safetensors, fastwarc, resiliparse) has panicked, which is not an Exception."""
    return type(error).__name__ == "PanicException"


def clipped(text: str, most: int) -> str:
    """A text of at most `most` characters, without its middle: a message begins with the fault and ends with the remedy."""
    if len(text) <= most:
        return text
    head = 3 * most // 4
    return f"{text[:head]} … {text[head + 3 - most :]}"
