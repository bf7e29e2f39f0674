"""The one error that a person is meant to read, and what keeps its message readable.

Everything else that is raised is a defect and shows its traceback; a StepError shows only its sentence, which says
what was given, what was expected, where, and the remedy. A value from outside goes into a message by `short`, a text from
outside by `shortened`: both may be hundreds of megabytes.
"""

import reprlib
from typing import Any

from components.foreign.addresses import without_secrets

MESSAGE = 4_000  # characters of a message that are kept
SAID = 200  # characters of what a file or a library says that go into a reason
VALUE = 60  # characters of a value that go into a message
_HUGE_BITS = 128  # of a whole number; Python refuses to write very long ones


class StepError(Exception):
    """Input, parameter or environment that a step cannot work with. The message is complete in itself.

    Secrets in the addresses that it quotes are left out here, whoever wrote them into it.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(without_secrets(clipped(str(message), MESSAGE)))


class Diverged(StepError):
    """A training run whose loss or gradient became NaN or infinite. A sweep takes it as a result, not as a failure."""


def short(value: Any, most: int = VALUE) -> str:
    """A value for a message, written as Python writes it, at most about `most` characters long.

    >>> short([1, "a" * 1000])
    "[1, 'aaaaaaaaaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaaaaaaaaaa']"
    """
    writer = _Short()
    writer.maxstring = writer.maxother = most
    return clipped(writer.repr(value), most + 40)


class _Short(reprlib.Repr):
    """Writes nothing that is left out, so that a value which is huge when written costs nothing."""

    maxlevel, maxlist, maxtuple, maxdict, maxset = 2, 6, 6, 6, 6

    def repr_int(self, value: int, level: int) -> str:
        digits = "a number of more than 38 digits"
        return digits if value.bit_length() > _HUGE_BITS else repr(value)


def shortened(said: str, most: int = SAID) -> str:
    """Text from outside for a reason: in one line, and never longer than a person reads."""
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
