"""The classifier's features of a text: its hashed words and pairs of neighbouring words, and its shape.

A word is a run of letters (in lower case; all beyond ASCII are letters), of digits, or of one other character. Words of a
block of texts are hashed at once: a running sum over bytes, and each word's share of it. The shape is in whole steps: length,
line length, shares of letters, digits and blanks. Everything is integer, so features never depend on neighbouring texts.
"""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from components.curation.filters.fenced import fenced_lines

BITS = 18  # of the hash
GRAMS = 1 << BITS
STEPS = 24  # of each measure of the shape
SHAPES = 5
SIZE = GRAMS + SHAPES * STEPS
RUNNING = 6  # words; shorter lines are menus, captions, headings and names rather than running text
_BLOCK = 1 << 18  # bytes at once: the data fit into the processor's cache
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_PAIR = np.uint64(0xD1342543DE82EF95)
_MIX = np.uint64(0xFF51AFD7ED558CCD)


def running_text(page: str) -> str:
    """The lines of a web page with at least RUNNING words, and fenced code and formulas; the whole page if it has neither, since
    then its menus are all it says.
    """
    lines = page.split("\n")
    fenced = fenced_lines(page) or [False] * len(lines)
    kept = (
        line for line, inside in zip(lines, fenced, strict=True) if inside or len(line.split(None, RUNNING)) >= RUNNING
    )
    return "\n".join(kept) or page


def features(texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The features of texts, one block of texts at a time.

    Yields:
        int64 (grams of all texts,): buckets of the distinct words and pairs, below GRAMS, sorted within each text.
        int64 (texts + 1,): where each text's buckets start; the last value is their number.
        int64 (texts, SHAPES): buckets of the shape, from GRAMS on.
    """
    for block in _blocks(texts):
        yield _block_features(block)


def _blocks(texts: Sequence[str]) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    size = 0
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        if size and size + len(content) > _BLOCK:
            yield block
            block, size = [], 0
        block.append(content)
        size += len(content) + 1
    if block:
        yield block


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Per byte value: its class (0 blank, 1 letter, 2 digit, else itself), and its share of a word's hash."""
    classes = np.arange(256, dtype=np.uint8)
    for byte in range(256):
        character = chr(byte)
        if byte >= 128 or character.isalpha():
            classes[byte] = 1
        elif character.isdigit():
            classes[byte] = 2
        elif byte <= 32 or byte == 127:
            classes[byte] = 0
    shares = np.array([(ord(chr(byte).lower()) if byte < 128 else byte) + 1 for byte in range(256)], dtype=np.uint64)
    shares *= _MIX
    shares ^= shares >> np.uint64(31)
    return classes, shares


@cache
def _powers(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Powers of the base modulo 2^64, and of its inverse."""
    bases = (_BASE, pow(_BASE, -1, 1 << 64))
    one = np.ones(1, dtype=np.uint64)
    up, down = (np.multiply.accumulate(np.concatenate([one, np.full(size, base, dtype=np.uint64)])) for base in bases)
    return up, down


def _block_features(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    content = np.frombuffer(b"\n".join([*texts, b""]), dtype=np.uint8)
    starts = np.cumsum([0, *(len(text) + 1 for text in texts)])
    classes_of, shares = _tables()
    classes = classes_of.take(content)
    edges = np.flatnonzero(classes[1:] != classes[:-1]) + 1
    edges = np.concatenate([np.zeros(min(len(content), 1), dtype=np.int64), edges])
    ends = np.append(edges[1:], len(content))
    of_words = np.flatnonzero(classes.take(edges))
    edges, ends = edges.take(of_words), ends.take(of_words)
    words = _hash_words(shares.take(content), edges, ends)
    owners = np.searchsorted(starts, edges, side="right") - 1
    pairs = words[:-1] * _PAIR + words[1:]
    joined = np.flatnonzero(owners[1:] == owners[:-1])
    pairs = pairs.take(joined)
    pairs *= _MIX
    grams = np.concatenate([words, pairs]) >> np.uint64(64 - BITS)
    keys = np.concatenate([owners, owners.take(joined)]).astype(np.uint64) << np.uint64(BITS)
    keys |= grams
    keys.sort()
    keys = keys[np.flatnonzero(np.diff(keys, prepend=np.uint64(2**63)))]
    offsets = np.searchsorted(keys, np.arange(len(texts) + 1, dtype=np.uint64) << np.uint64(BITS))
    grams = (keys & np.uint64(GRAMS - 1)).astype(np.int64)
    return grams, offsets, _shape(content, classes, starts)


def _hash_words(shares: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    size = 1 << max(19, len(shares).bit_length())
    powers, inverses = _powers(size)
    sums = np.zeros(len(shares) + 1, dtype=np.uint64)
    np.cumsum(shares * powers[: len(shares)], out=sums[1:])
    words = (sums.take(ends) - sums.take(starts)) * inverses.take(starts)
    words ^= words >> np.uint64(29)
    words *= _MIX
    words ^= words >> np.uint64(32)
    words *= _PAIR
    return words


def _shape(content: np.ndarray, classes: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Buckets of length, line length, shares of letters, digits and blanks."""
    firsts = starts[:-1]
    letters, digits, blanks, lines = (
        np.add.reduceat(which.view(np.uint8), firsts, dtype=np.int64)
        for which in (classes == 1, classes == 2, classes == 0, content == 10)
    )
    sizes = np.diff(starts)
    solid = np.maximum(sizes - blanks, 1)
    steps = np.stack(
        [
            np.searchsorted(_HALVINGS, sizes),
            np.searchsorted(_LINES, sizes // lines),
            letters * (STEPS - 1) // solid,
            digits * 4 * (STEPS - 1) // solid,
            blanks * (STEPS - 1) // sizes,
        ],
        axis=1,
    )
    return np.clip(steps, 0, STEPS - 1) + np.arange(SHAPES) * STEPS + GRAMS


_HALVINGS = np.array([int(32 * 1.6**step) for step in range(STEPS - 1)])
_LINES = np.array([int(8 * 1.2**step) for step in range(STEPS - 1)])
