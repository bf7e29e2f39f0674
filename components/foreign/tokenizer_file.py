"""Open a tokenizer.json from outside within limits.

The tokenizers library is written in Rust, and a file can make it panic, allocate terabytes or work for minutes on a
word. So padding and truncation, which this project does not use, are removed, and the tokenizer is tried on a few words.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import StepError, is_panic, shortened
from components.files import not_a_file

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MOST_BYTES = 100_000_000  # of the file; the largest known one has 35 MB
MOST_RULES = 1_000_000  # bytes of the normaliser, the pre-tokenizer or the decoder
MOST_SECONDS = 1.0  # CPU time for PROBE
MOST_TOKENS = 20  # per byte of PROBE
PROBE = "The quick brown fox, 123.\n\té漢🙂 " + "a" * 40


def open_tokenizer(path: Path, origin: Path | None = None) -> "Tokenizer":
    """The tokenizer of a file, without padding and truncation.

    Args:
        origin: path for messages, if the file is a copy.

    Raises:
        StepError: the file is missing, too large or not a tokenizer, or the tokenizer breaks on ordinary text.
    """
    from tokenizers import Tokenizer

    origin = origin or path
    try:
        reason, size = not_a_file(path), path.stat().st_size
    except OSError as error:
        reason, size = f"cannot be read ({error.strerror})", 0
    if size > MOST_BYTES:
        reason = reason or f"has {size:,} bytes; a tokenizer has at most {MOST_BYTES:,}"
    if reason:
        raise StepError(f"{origin} {reason}; expected the tokenizer.json of a fast tokenizer")
    with breaking(origin, "is not a tokenizer that the tokenizers library can read"):
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_padding()
        tokenizer.no_truncation()
    with breaking(origin, "breaks on ordinary text"):
        _try(tokenizer, origin)
    return tokenizer


def _try(tokenizer: "Tokenizer", origin: Path) -> None:
    """Encode and decode growing parts of PROBE, so that a slow tokenizer is detected after a second.

    Raises:
        StepError: the tokenizer takes too long or returns too many tokens.
    """
    for part in (tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder):
        if part is not None and len(part.__getstate__()) > MOST_RULES:
            raise StepError(f"{origin}: a part of the tokenizer has over {MOST_RULES:,} bytes of rules; use another")
    length = 1
    while length < 2 * len(PROBE):
        text, started = PROBE[:length], time.thread_time()
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        tokenizer.decode(ids)
        taken = time.thread_time() - started
        if taken > MOST_SECONDS or len(ids) > MOST_TOKENS * len(text.encode()):
            raise StepError(
                f"{origin}: the tokenizer takes {taken:.1f} s and gives {len(ids):,} tokens for {len(text)} "
                "characters; use another"
            )
        length *= 2


@contextmanager
def breaking(origin: Path | str, how: str = "breaks on a text") -> Iterator[None]:
    """Turn failures of the tokenizers library, exceptions and panics, into one line.

    Raises:
        StepError: the library failed.
    """
    try:
        yield
    except StepError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise StepError(f"{origin} {how} ({shortened(str(error))}); use another tokenizer") from None


def highest_id(tokenizer: "Tokenizer") -> int:
    """The highest id of a tokenizer; ids may have gaps. -1 if there are none."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
