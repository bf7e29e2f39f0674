"""The words of texts, and how much of a text is in runs of words (n-grams) that repeat, as arrays.

A word is a part between blanks that contains a letter or a digit, as in Gopher's paper; or, as in datatrove, a run of letters,
digits and underscores, or a run of other non-blank characters. Words and runs are compared by 64-bit hashes. The only loop
goes over the places where a long run repeats.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from components.text.ngrams import BLANK, DIGIT, LETTER, OTHER, PIECE, UNDERSCORE, character_classes, segment_hashes

_RUN, _TEXT = np.uint64(0xD1342543DE82EF95), np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Words:
    """The words of consecutive texts; arrays have shape (words,) unless another is named.

    Attributes:
        starts: int64 (texts + 1,), the first word of each text; the last value is the number of words.
        owners: int64, the number of each word's text.
        hashes: uint64, equal for equal words.
        before: int64 (words + 1,), characters in the words before each; the last value is the total.
        solid: bool, whether the word contains a letter or a digit.
        alpha: bool, whether it contains a letter.
    """

    starts: np.ndarray
    owners: np.ndarray
    hashes: np.ndarray
    before: np.ndarray
    solid: np.ndarray
    alpha: np.ndarray

    @property
    def texts(self) -> int:
        return len(self.starts) - 1

    def count(self, chosen: np.ndarray) -> np.ndarray:
        """int64 (texts,): the number of words of each text that the mask `chosen` selects."""
        return np.bincount(self.owners[chosen], minlength=self.texts)


def words_of(texts: Sequence[str], tokens: bool = False) -> Words:
    """The words of texts.

    Args:
        tokens: whether to split words as datatrove does, not as Gopher does.
    """
    points, classes, begins, stops, starts = _segments(texts, tokens)
    # Of each word; what follows it up to the next one is blank, the lowest class. LETTER is the highest.
    highest = np.maximum.reduceat(classes, begins) if len(begins) else classes[:0]
    if not tokens:
        solid = highest >= DIGIT
        begins, stops, highest = begins[solid], stops[solid], highest[solid]
        starts = np.concatenate([[0], np.cumsum(solid)])[starts]
    return Words(
        starts,
        np.repeat(np.arange(len(texts)), np.diff(starts)),
        _hashes(points, begins, stops),
        np.concatenate([[0], np.cumsum(stops - begins)]),
        highest >= DIGIT,
        highest == LETTER,
    )


def word_counts(texts: Sequence[str]) -> np.ndarray:
    """int64 (texts,): the number of words of each text, split as datatrove does."""
    return np.diff(_segments(texts, tokens=True)[-1])


def _segments(texts: Sequence[str], tokens: bool) -> tuple[np.ndarray, ...]:
    """Code points of all texts and their classes, where each word begins and stops in them, and the first word of each text."""
    points = np.frombuffer("\n".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    classes = character_classes(points)
    kinds = np.zeros(len(classes) + 2, dtype=np.uint8)
    # In datatrove's words, underscores, digits and letters belong together.
    kinds[1:-1] = np.minimum(classes, UNDERSCORE if tokens else OTHER)
    edges = np.flatnonzero(kinds[1:] != kinds[:-1])
    begins = edges[kinds[edges + 1] > BLANK]
    stops = edges[kinds[edges] > BLANK]
    ends = np.cumsum([len(text) + 1 for text in texts], dtype=np.int64)
    starts = np.concatenate([[0], np.searchsorted(begins, ends)]).astype(np.int64)
    return points, classes, begins, stops, starts


def _hashes(points: np.ndarray, begins: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """The hash of each word, or of its first part if longer than a piece, one piece of the text at a time."""
    hashes = np.empty(len(begins), dtype=np.uint64)
    first = 0
    while first < len(begins):
        origin = begins[first]
        last = max(first + 1, int(np.searchsorted(stops, origin + PIECE, side="right")))
        block = slice(first, last)
        ends = np.minimum(stops[block] - origin, PIECE)
        (hashes[block],) = segment_hashes(points[origin : origin + ends[-1]], begins[block] - origin, [ends])
        first = last
    return hashes


def repeated(words: Words, top: Iterable[int], duplicate: Iterable[int]) -> dict[tuple[str, int], np.ndarray]:
    """Characters in repeated runs, each int64 (texts,): by "top_n_grams" or "dup_n_grams", and the length of the runs in words.

    For a length in `top`, these are all occurrences of the most frequent run (the earliest of equals), with a blank between
    words. For a length in `duplicate`, these are the runs that occurred before in the text, each word counted once, without
    blanks. This is how datatrove counts for Gopher's rules.
    """
    top, duplicate = set(top), set(duplicate)
    lengths = sorted(top | duplicate)
    found: dict[tuple[str, int], np.ndarray] = {}
    stops = words.starts[1:][words.owners]  # where the text of each word ends
    # A run can repeat only where the shorter run that it begins with does, so few places remain after a few lengths.
    places, hashes = np.arange(len(words.hashes)), words.hashes + words.owners.astype(np.uint64) * _TEXT
    for length, wanted in pairwise([1, *lengths]):
        for last in range(length, wanted):
            inside = places + last < stops[places]
            places, hashes = places[inside], hashes[inside]
            hashes = hashes * _RUN + words.hashes[places + last]
            hashes ^= hashes >> np.uint64(32)
        again, runs = _groups(hashes)
        places, hashes = places[again], hashes[again]
        sizes = words.before[places + wanted] - words.before[places]
        if wanted in top:
            found["top_n_grams", wanted] = _top(words, wanted, places, runs, sizes)
        if wanted in duplicate:
            found["dup_n_grams", wanted] = _duplicate(words, wanted, places, runs, sizes)
    return found


def _groups(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the hashes that occur at least twice, ascending, and the number of each one's group."""
    order = np.argsort(hashes)
    ordered = hashes[order]
    new = np.ones(len(hashes) + 1, dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:-1])
    several = ~(new[:-1] & new[1:])
    where = order[several]
    groups = np.cumsum(new[:-1][several])
    back = np.argsort(where)
    return where[back], groups[back]


def _top(words: Words, length: int, places: np.ndarray, runs: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    found = np.zeros(words.texts, dtype=np.int64)
    # Where no run repeats, the first one is the most frequent.
    long = np.flatnonzero(np.diff(words.starts) >= length)
    found[long] = words.before[words.starts[long] + length] - words.before[words.starts[long]] + length - 1
    if len(places):
        counts = np.bincount(runs)
        first = np.zeros(len(counts), dtype=np.int64)  # index in `places` of each run's first occurrence
        first[runs[::-1]] = np.arange(len(places))[::-1]
        owners = words.owners[places[first]]
        best = np.lexsort((first, -counts, owners))
        best = best[np.flatnonzero(np.diff(owners[best], prepend=-1))]
        found[owners[best]] = counts[best] * (sizes[first[best]] + length - 1)
    return found


def _duplicate(words: Words, length: int, places: np.ndarray, runs: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Characters of repeated runs. A counted run hides the runs that begin within it, which then do not count as seen."""
    found = np.zeros(words.texts, dtype=np.int64)
    seen = bytearray(len(places))
    after = 0
    counted = []
    for at, (place, run) in enumerate(zip(places.tolist(), runs.tolist(), strict=True)):
        if place < after:
            continue
        if seen[run]:
            counted.append(at)
            after = place + length
        else:
            seen[run] = 1
    np.add.at(found, words.owners[places[counted]], sizes[counted])
    return found
