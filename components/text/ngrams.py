"""N-grams of words as 64-bit hashes, and which of a set of them a text contains.

Words are runs of letters and digits in any script, after `components.text.characters.fold`; the rest of a text is
ignored. A run's hash is a difference of running sums over its words' hashes, so that n-grams of all lengths take one
pass, without a loop over words.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice

import numpy as np

from components.text.characters import fold

BLANK, OTHER, UNDERSCORE, DIGIT, LETTER = range(5)  # classes of characters, in any script
POINTS = 0x33480  # no letters, digits or blanks from here on
WORDS = re.compile(r"[^\W_]+")
LONGEST = 32  # maximum words per run
PIECE = 1 << 18  # characters hashed at once: about 10 MB
SLICE = 1 << 18  # words whose runs are hashed at once
_CHARACTER, _WORD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1342543DE82EF95)  # odd, so they have inverses
MIX = np.uint64(0xFF51AFD7ED558CCD)


class RunSet:
    """A set of n-grams of one length.

    Attributes:
        runs: uint64, their hashes, sorted.
    """

    def __init__(self, runs: np.ndarray) -> None:
        self.runs = runs
        # Few runs of a corpus are in the set: two bits exclude nearly all others (a Bloom filter). Packed, the bits fit
        # into a cache.
        bits = min(30, max(12, (len(runs) * 8).bit_length()))
        self._shift = np.uint64(64 - bits)
        may = np.zeros(1 << bits, dtype=bool)
        for bit in (runs, runs * MIX):
            may[(bit >> self._shift).view(np.int64)] = True
        self._may = np.packbits(may, bitorder="little")

    def likely(self, runs: np.ndarray) -> np.ndarray:
        """Positions of the n-grams that may be in the set, with one in fifty of those that are not."""
        first = np.flatnonzero(self._marked(runs))
        return first[np.flatnonzero(self._marked(runs[first] * MIX))]

    def exactly(self, runs: np.ndarray, likely: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The positions in `likely` whose n-grams are in the set, and the place of each n-gram here."""
        places = np.minimum(np.searchsorted(self.runs, runs[likely]), len(self.runs) - 1)
        same = self.runs[places] == runs[likely]
        return likely[same], places[same]

    def _marked(self, hashes: np.ndarray) -> np.ndarray:
        bit = hashes >> self._shift
        byte = self._may.take((bit >> np.uint64(3)).view(np.int64))
        return (byte >> (bit.astype(np.uint8) & np.uint8(7))) & np.uint8(1)


class OwnedRuns(RunSet):
    """N-grams, and the texts that contain each: `owners[starts[i]:starts[i + 1]]`, in order."""

    def __init__(self, runs: np.ndarray, starts: np.ndarray, owners: np.ndarray) -> None:
        super().__init__(runs)
        self.starts, self.owners = starts, owners

    @classmethod
    def build(cls, runs: np.ndarray, owners: np.ndarray, most: int = 0) -> "OwnedRuns":
        """From runs and owners, in any order and with repetitions; leaves out runs of more than `most` owners (0 = no limit)."""
        runs, owners = distinct_pairs(runs, owners.astype(np.int32))
        distinct, counts = np.unique(runs, return_counts=True)
        if most:
            kept = counts <= most
            owners, distinct, counts = owners[np.repeat(kept, counts)], distinct[kept], counts[kept]
        return cls(distinct, np.append(0, np.cumsum(counts)).astype(np.int64), owners)

    def found(self, runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of some n-grams are here: their numbers, and their places here."""
        return self.exactly(runs, self.likely(runs))

    def items(self, places: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
        """The first owners of runs, at most `most` per run: the index of the run in `places`, and the owner."""
        counts = np.minimum(self.starts[places + 1] - self.starts[places], most)
        run = np.repeat(np.arange(len(places)), counts)
        first = np.repeat(self.starts[places] - (np.cumsum(counts) - counts), counts)
        return run, self.owners[first + np.arange(len(run))]


def distinct_pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct pairs of values at the same index of two arrays, ordered by the first value, then by the second."""
    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    fresh = np.ones(len(first), dtype=bool)
    fresh[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return first[fresh], second[fresh]


@cache
def _classes() -> np.ndarray:
    classes = np.full(POINTS + 1, OTHER, dtype=np.uint8)
    for point in range(POINTS):
        character = chr(point)
        if character.isalnum():
            classes[point] = LETTER if character.isalpha() else DIGIT
        elif character.isspace():
            classes[point] = BLANK
    classes[ord("_")] = UNDERSCORE
    return classes


@cache
def _of_words() -> np.ndarray:
    return _classes() >= DIGIT


def character_classes(points: np.ndarray) -> np.ndarray:
    """The class of each code point by the methods of Python's str: uint8, of the shape of `points`."""
    return _classes()[np.minimum(points, POINTS)]


def count_classes(text: str) -> list[int]:
    """The number of characters of a text in each class."""
    if text.isascii():
        classes = _classes().take(np.frombuffer(text.encode(), dtype=np.uint8))
    else:
        classes = character_classes(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4"))
    return np.bincount(classes, minlength=LETTER + 1).tolist()


@cache
def _powers(base: np.uint64) -> tuple[np.ndarray, np.ndarray]:
    """Powers of an odd number modulo 2^64, and of its inverse, for a piece or a slice and the longest run."""
    inverse = np.uint64(pow(int(base), -1, 1 << 64))
    size = max(PIECE, SLICE) + LONGEST + 1

    def powers(of: np.uint64) -> np.ndarray:
        return np.multiply.accumulate(np.concatenate([[np.uint64(1)], np.full(size, of, dtype=np.uint64)]))

    return powers(base), powers(inverse)


def _sums(values: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """uint64 (values + 1,): running sums of value times power, modulo 2^64, from 0."""
    sums = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum(values * powers[: len(values)], out=sums[1:])
    return sums


def word_hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """uint64 (words,), the hashes of all texts' words in order; int64 (words,), the number of each word's text."""
    (words,), owners = beginnings(texts, [None])
    return words, owners


def beginnings(texts: Sequence[str], lengths: Sequence[int | None]) -> tuple[list[np.ndarray], np.ndarray]:
    """Hashes of the first characters of the texts' words, and the number of each word's text.

    Args:
        lengths: numbers of characters; None for whole words, with the same hashes as from `word_hashes`.

    Returns:
        for each length uint64 (words,), in the order of the texts; int64 (words,).
    """
    found: list[list[np.ndarray]] = [[np.empty(0, dtype=np.uint64)] for _ in lengths]
    owners = [np.empty(0, dtype=np.int64)]
    for first, pieces in _pieces(texts):
        joined = "\n".join(pieces)
        ends = np.cumsum([len(piece) + 1 for piece in pieces])
        points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        inside = np.zeros(len(points) + 2, dtype=bool)
        inside[1:-1] = _of_words().take(points, mode="clip")
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        begins, stops = edges[::2], edges[1::2]
        ends_of = [stops if length is None else np.minimum(stops, begins + length) for length in lengths]
        for hashes, own in zip(segment_hashes(points, begins, ends_of), found, strict=True):
            own.append(hashes)
        owners.append(
            np.repeat(np.arange(first, first + len(pieces)), np.diff(np.searchsorted(begins, ends), prepend=0))
        )
    return [np.concatenate(own) for own in found], np.concatenate(owners)


def segment_hashes(points: np.ndarray, begins: np.ndarray, stops: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Hashes of segments of at most PIECE code points: for each of `stops`, uint64 (segments,) of the segments from
    `begins` up to there.
    """
    powers, inverses = _powers(_CHARACTER)
    sums = _sums(points.astype(np.uint64), powers)
    before, inverse = sums[begins], inverses[begins]
    for ends in stops:
        hashes = (sums[ends] - before) * inverse
        # Sums over the words of a run must not repeat the pattern of sums over characters.
        hashes = (hashes ^ (hashes >> np.uint64(31))) * MIX
        yield hashes ^ (hashes >> np.uint64(33))


def _pieces(texts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Folded texts, in groups of about PIECE characters, with the number of the first; a longer text is cut between
    words, and each part is a group of its own."""
    batch: list[str] = []
    first, size = 0, 0
    for number, text in enumerate(texts):
        text = fold(text)
        if batch and size + len(text) >= PIECE:
            yield first, batch
            first, batch, size = number, [], 0
        if not batch:
            first = number
        start = 0
        while len(text) - start >= PIECE:
            stop = start + PIECE - 1
            while stop > start and text[stop - 1].isalnum():
                stop -= 1
            stop = stop if stop > start else start + PIECE - 1  # one endless word
            yield number, [text[start:stop]]
            start = stop
        batch.append(text[start:])
        size += len(text) - start + 1
    if batch:
        yield first, batch


def slices(hashes: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Running sums over SLICE words and the words after them that a run may need, with the position of the first."""
    powers, _ = _powers(_WORD)
    for start in range(0, len(hashes), SLICE):
        yield start, _sums(hashes[start : start + SLICE + LONGEST - 1], powers)


def runs_of(sums: np.ndarray, length: int) -> np.ndarray:
    """Hashes of the runs of `length` words that begin in a slice, including those that cross the end of a text."""
    count = max(0, min(SLICE, len(sums) - length))
    return (sums[length : length + count] - sums[:count]) * _powers(_WORD)[1][:count]


def all_runs(hashes: np.ndarray, owner: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the runs of `length` words within one text, and the position of each run's first word."""
    parts = [np.empty(0, dtype=np.uint64), *(runs_of(sums, length) for _, sums in slices(hashes))]
    runs = np.concatenate(parts)
    first = np.flatnonzero(owner[: len(runs)] == owner[length - 1 : len(runs) + length - 1])
    return runs[first], first


def shared_runs(
    hashes: np.ndarray, owner: np.ndarray, sets: Mapping[int, RunSet]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The runs of some texts that are in sets of runs, by their length.

    Args:
        hashes, owner: the words of the texts, as `word_hashes` returns them.
        sets: by the length of their runs; none may be empty.

    Yields:
        the length; the positions of the runs' first words; and the positions of the runs in the set.
    """
    for start, sums in slices(hashes):
        for length, known in sets.items():
            runs = runs_of(sums, length)
            # Most runs are excluded by now, so only the others are compared with the borders of the texts.
            likely = known.likely(runs)
            inside = owner[likely + start] == owner[likely + start + length - 1]
            found, places = known.exactly(runs, likely[inside])
            yield length, found + start, places


def words_in(text: str) -> list[str]:
    """The words of a text as `word_hashes` hashes them."""
    return WORDS.findall(fold(text))


def passage(text: str, first: int, last: int) -> str:
    """The part of a folded text from one word to another, and the characters between that and the next word."""
    folded = fold(text)
    begins = [match.start() for match in islice(WORDS.finditer(folded), last + 2)]
    return folded[begins[first] : begins[last + 1] if last + 1 < len(begins) else len(folded)]
