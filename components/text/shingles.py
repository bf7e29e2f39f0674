"""Shingles: runs of five words of texts, as hashes; every search for near-duplicates compares these.

A sketch has, for each of some random permutations, the smallest value of the hashes of a text's shingles; the share of
equal values of two sketches estimates the Jaccard similarity of their texts (Broder 1997). It is computed by rensa, which
draws the permutations by Fast Similarity Sketching (Dahlgaard et al. 2017, arXiv 1704.04370).

Words are `\\w+` of the text after `components.text.characters.fold`. The hash of a word is the CRC-32 of its UTF-8; that
of a run mixes its five. CRC-32 is linear, so the words of many texts are hashed at once: the exclusive or of one table
entry per byte, by the byte's value and its distance from the end of its word.
"""

import os
import re
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from components.text.characters import fold
from components.text.ngrams import UNDERSCORE, character_classes

SHINGLE = 5  # words
SEED = 42  # of the permutations
_SKETCHED = 2_048  # texts sketched at once
_LONG = 32  # bytes; the few longer words are hashed one by one
_BLOCK = 1 << 18  # characters at once: the data fit into the processor's cache
_MIX = np.array(
    [0x8CC533D2E7AEB295, 0x9391D0954786F1A5, 0xA07B5919CAFE7517, 0xAE40A70EEC25D8BB, 0xB28ED12277F1E005],
    dtype=np.uint64,  # drawn at random, odd; a change invalidates every saved sketch
)


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which bytes belong to words; a byte's share of the CRC of its word; the CRC by number of zero bytes."""
    of_words = np.array([byte >= 128 or bool(re.match(r"\w", chr(byte))) for byte in range(256)])
    zeros = np.array([zlib.crc32(bytes(length)) for length in range(_LONG + 1)], dtype=np.uint32)
    shares = [
        [zlib.crc32(bytes([byte]) + bytes(after)) ^ int(zeros[after + 1]) for byte in range(256)]
        for after in range(_LONG)
    ]
    return of_words, np.array(shares, dtype=np.uint32).ravel(), zeros


_OF_WORDS, _SHARES, _ZEROS = _tables()
_BLANKS = bytes(np.flatnonzero(~_OF_WORDS).tolist())


def shingles(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The runs of SHINGLE words of texts, in order, with repetitions.

    A text of fewer words is one run, with its words repeated as needed; a text without words is a run of empty words.

    Returns:
        uint64 (runs,): their hashes, in the order of the texts.
        int64 (len(texts) + 1,): where each text starts; the last value is the total. Every text has at least one run.
    """
    parts = [_hash_runs(block) for block in _blocks(texts)]
    counts = np.concatenate([np.zeros(1, dtype=np.int64), *(counts for _, counts in parts)])
    return np.concatenate([np.zeros(0, dtype=np.uint64), *(runs for runs, _ in parts)]), np.cumsum(counts)


def shingle_sets(texts: Sequence[str]) -> list[np.ndarray]:
    """The distinct shingles of each text, uint64, sorted."""
    runs, starts = shingles(texts)
    return [np.unique(runs[start:end]) for start, end in pairwise(starts.tolist())]


def sketch(texts: Sequence[str], permutations: int) -> np.ndarray:
    """uint32 (len(texts), permutations): texts that are equal except for case and punctuation have equal sketches."""
    os.environ.setdefault("RAYON_NUM_THREADS", "1")  # a step's workers are already processes
    from rensa import RMinHash

    found = np.empty((len(texts), permutations), dtype=np.uint32)
    for start in range(0, len(texts), _SKETCHED):
        runs, starts = shingles(texts[start : start + _SKETCHED])
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(runs, starts, permutations, SEED)
        found[start : start + _SKETCHED] = matrix.to_rows()
    return found


def _blocks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start, size = 0, 0
    for end, text in enumerate(texts):
        if size and size + len(text) > _BLOCK:
            yield texts[start:end]
            start, size = end, 0
        size += len(text) + 1
    if start < len(texts):
        yield texts[start:]


def _hash_runs(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the runs, and their number per text."""
    words, counts = _hash_words(texts)
    words, counts = _lengthen(words, counts)
    ends = np.cumsum(counts)
    runs = words[: len(words) - SHINGLE + 1] * _MIX[0]
    for place in range(1, SHINGLE):
        runs += words[place : place + len(runs)] * _MIX[place]
    runs ^= runs >> np.uint64(29)
    inside = np.ones(len(words), dtype=bool)
    for place in range(1, SHINGLE):
        inside[ends - place] = False  # such a run would cross into the next text
    return runs[inside[: len(runs)]], counts - (SHINGLE - 1)


def _hash_words(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """CRC-32 of the words as uint64, and their number per text."""
    plain = [fold(text).encode("utf-8", "surrogatepass") for text in texts]
    content = np.frombuffer(bytearray(b" ".join([b"", *plain, b"  "])), dtype=np.uint8)
    _blank_foreign(content)
    of_words = _OF_WORDS.take(content)
    edges = np.flatnonzero(of_words[1:] != of_words[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    counts = np.diff(np.searchsorted(starts, np.cumsum([1, *(len(text) + 1 for text in plain)])))
    if not len(starts):
        return np.zeros(0, dtype=np.uint64), counts
    lengths = (ends - starts).astype(np.int32)
    letters = np.frombuffer(content.tobytes().translate(None, _BLANKS), dtype=np.uint8)
    stops = np.cumsum(lengths, dtype=np.int32)
    index = np.repeat(stops - np.int32(1), lengths)
    index -= np.arange(len(letters), dtype=np.int32)  # letters after it in the word
    long = np.flatnonzero(lengths > _LONG)
    if len(long):
        np.minimum(index, _LONG - 1, out=index)
    index <<= 8
    index |= letters
    hashes = np.bitwise_xor.reduceat(_SHARES.take(index), stops - lengths) ^ _ZEROS[np.minimum(lengths, _LONG)]
    for word in long.tolist():
        hashes[word] = zlib.crc32(content[starts[word] : ends[word]].data)
    return hashes.astype(np.uint64), counts


def _blank_foreign(content: np.ndarray) -> None:
    """Replace non-ASCII characters outside words with blanks, in UTF-8 that ends in two blanks."""
    leads = np.flatnonzero(content >= 0xC0)
    if not len(leads):
        return
    first, second, third, fourth = (content.take(leads + place, mode="clip").astype(np.int32) for place in range(4))
    second, third, fourth = second & 0x3F, third & 0x3F, fourth & 0x3F
    code = np.where(first < 0xE0, (first & 0x1F) << 6 | second, (first & 0x0F) << 12 | second << 6 | third)
    code = np.where(first < 0xF0, code, (first & 0x07) << 18 | second << 12 | third << 6 | fourth)
    blank = character_classes(code) < UNDERSCORE
    leads, first = leads[blank], first[blank]
    for place, least in enumerate((0, 0, 0xE0, 0xF0)):
        content[leads[first >= least] + place] = 0x20


def _lengthen(words: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Repeat the words of texts with fewer than SHINGLE until they have that many."""
    if (counts >= SHINGLE).all():
        return words, counts
    firsts = np.cumsum(counts) - counts
    longer = np.maximum(counts, SHINGLE)
    place = np.arange(longer.sum()) - np.repeat(np.cumsum(longer) - longer, longer)
    place %= np.repeat(np.maximum(counts, 1), longer)
    place += np.repeat(firsts, longer)
    words = np.append(words, np.uint64(0))
    place[np.repeat(counts == 0, longer)] = len(words) - 1
    return words[place], longer
