"""Pairs of documents that may be near-duplicates: those whose sketches agree in a band.

Locality-sensitive hashing (Indyk and Motwani 1998): a sketch is cut into bands of `rows` values; two texts of Jaccard
similarity J agree in at least one of b bands with probability 1 - (1 - J^rows)^b. The rows follow from the threshold: the
most that still find 99 % of the pairs there, which at 0.7 gives 25 bands of 5. Bands are processed a few at a time, so that
their keys are never all in memory.

Documents are identified by their rank here: 0 is the best. A pair is one number, the better rank in its upper half.
"""

import math
from collections.abc import Iterator

import numpy as np

from components.curation.duplicates.sketches import SketchFiles

_MISSED = 0.0105  # maximum share of pairs at the threshold that agree in no band: 1 %, rounded
_AT_ONCE = 5  # bands: 40 bytes per document
_SLOTS = 128  # values of a sketch that stay in memory, four bits of each
_EQUAL_BY_CHANCE = 1 / 16
_MARGIN = 0.14  # of the estimate from these values: 3.3 standard errors at 0.7, 3.0 at 0.5
_MOST = 8  # likeliest pairs per document and round
_PENDING = 1 << 22  # pairs before the less likely ones are discarded: 36 MB
_COMPARED = 1 << 16  # pairs at once: 8 MB
_LOW = np.uint64(0x1111111111111111)
_LOWER_HALF = np.uint64(0xFFFFFFFF)


def rows_of_a_band(permutations: int, threshold: float) -> int:
    """The most rows with which pairs at the threshold are candidates: with more rows, fewer pairs agree by chance.

    One row is enough for all allowed parameters: 16 permutations miss one pair in 65,536 at 0.5.
    """
    return max(
        rows for rows in range(1, permutations + 1) if (1 - threshold**rows) ** (permutations // rows) <= _MISSED
    )


class Bands:
    """The keys of sketches, one for each band of their values.

    Attributes:
        count: number of bands.
    """

    def __init__(self, permutations: int, threshold: float) -> None:
        self._rows = rows_of_a_band(permutations, threshold)
        self.count = permutations // self._rows
        self._mix = np.random.default_rng(self.count).integers(0, 2**63, self._rows, dtype=np.uint64) * 2 + 1

    def keys(self, sketches: np.ndarray, band: int) -> np.ndarray:
        """uint64 (sketches,): the keys of one band; equal values have equal keys."""
        left = band * self._rows
        mixed = sketches[:, left] * self._mix[0]
        for row in range(1, self._rows):
            mixed += sketches[:, left + row] * self._mix[row]
        return mixed


def agree_in_a_band(sketches: SketchFiles, others: SketchFiles, threshold: float) -> np.ndarray:
    """bool (sketches,): which agree with one of the others in a band. Memory: 200 bytes for each of the others."""
    found = np.zeros(sketches.rows, dtype=bool)
    if not sketches.rows or not others.rows:
        return found
    bands = Bands(sketches.permutations, threshold)
    numbers = range(bands.count)
    parts = [[bands.keys(chunk, band) for band in numbers] for _, chunk in others.chunks()]
    wanted = [np.unique(np.concatenate(keys)) for keys in zip(*parts, strict=True)]
    for first, chunk in sketches.chunks():
        for band in numbers:
            found[first : first + len(chunk)] |= among(bands.keys(chunk, band), wanted[band])
    return found


class Candidates:
    """Finds pairs among the remaining documents, round by round.

    Args:
        sketches: of all documents, by position.
        ranks: int32 (documents,): rank of each position; -1 for documents that are not compared.
        threshold: of the Jaccard similarity. Pairs clearly below it are left out, by an estimate from four bits of 128
            values (b-bit minwise hashing: Li and König 2010).
    """

    def __init__(self, sketches: SketchFiles, ranks: np.ndarray, threshold: float) -> None:
        self._sketches, self._ranks = sketches, ranks
        self._bands = Bands(sketches.permutations, threshold)
        self._short = self._shorten(int(ranks.max(initial=-1)) + 1)
        less_exact = math.sqrt(_SLOTS / min(sketches.permutations, _SLOTS))  # an estimate from fewer values
        likely = threshold - _MARGIN * less_exact
        self._least = _SLOTS * (likely + (1 - likely) * _EQUAL_BY_CHANCE)

    def _shorten(self, documents: int) -> np.ndarray:
        """uint64 (ranks, 8): the lowest four bits of values from all parts of the sketch."""
        columns = np.arange(_SLOTS) * self._sketches.permutations // _SLOTS
        short = np.empty((documents, _SLOTS // 2), dtype=np.uint8)
        for first, chunk in self._sketches.chunks():
            ranks = self._ranks[first : first + len(chunk)]
            bits = (chunk[ranks >= 0][:, columns] & 15).astype(np.uint8)
            short[ranks[ranks >= 0]] = bits[:, ::2] << 4 | bits[:, 1::2]
        return short.view(np.uint64)

    def pairs(self, active: np.ndarray, tested: np.ndarray, fixed: int, leaders: int, neighbours: int) -> np.ndarray:
        """The likeliest pairs among active documents, sorted, each once.

        Args:
            active: bool (ranks,).
            tested: pairs to leave out, sorted.
            fixed: number of first ranks that belong to earlier runs; two of them are not a pair.
            leaders, neighbours: in a group of equal keys, a document is paired with this many of the best, and with this
                many right before it. So a group no larger than their sum is compared in full, and the work stays linear
                whatever the sizes of the groups.
        """
        found = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint8)
        ranks = np.flatnonzero(active).astype(np.uint64)
        for keys in self._keys(active):
            pending = [found]
            for pairs in _in_groups(keys, ranks, leaders, neighbours):
                pending.append(self._likely(pairs[(pairs & _LOWER_HALF) >= np.uint64(fixed)]))
                if sum(len(pairs) for pairs, _ in pending[1:]) > _PENDING:
                    pending = [_likeliest(pending, tested)]
            found = _likeliest(pending, tested)
        return np.sort(found[0])

    def _keys(self, active: np.ndarray) -> Iterator[np.ndarray]:
        """uint64 (active documents,): the keys of one band after another, by rank."""
        place = np.cumsum(active) - 1  # of a rank among the active ranks
        for start in range(0, self._bands.count, _AT_ONCE):
            count = min(_AT_ONCE, self._bands.count - start)
            keys = np.empty((count, int(active.sum())), dtype=np.uint64)
            for first, chunk in self._sketches.chunks():
                ranks = self._ranks[first : first + len(chunk)]
                taking = (ranks >= 0) & active[ranks]
                into, chunk = place[ranks[taking]], chunk[taking]
                for band in range(count):
                    keys[band, into] = self._bands.keys(chunk, start + band)
            yield from keys

    def _likely(self, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pairs that the short sketches do not rule out, and how many values they have in common."""
        left, right = split(pairs)
        equal = np.empty(len(pairs), dtype=np.uint8)
        for start in range(0, len(pairs), _COMPARED):
            block = slice(start, start + _COMPARED)
            differ = self._short[left[block]] ^ self._short[right[block]]
            differ |= differ >> np.uint64(1)
            differ |= differ >> np.uint64(2)
            equal[block] = _SLOTS - np.bitwise_count(differ & _LOW).sum(axis=1, dtype=np.uint8)
        return pairs[equal >= self._least], equal[equal >= self._least]


def _likeliest(found: list[tuple[np.ndarray, np.ndarray]], tested: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each lesser document, the _MOST pairs with the most values in common; of equals, the better ones."""
    pairs, first = np.unique(np.concatenate([pairs for pairs, _ in found]), return_index=True)
    equal = np.concatenate([equal for _, equal in found])[first]
    new = ~among(pairs, tested)
    pairs, equal = pairs[new], equal[new]
    lesser = (pairs & _LOWER_HALF).astype(np.uint32)
    order = np.lexsort((_SLOTS - equal, lesser))  # stable: the better of equal documents comes first
    lesser = lesser[order]
    starts = np.flatnonzero(np.append(True, lesser[1:] != lesser[:-1])) if len(lesser) else np.zeros(0, dtype=np.int64)
    place = np.arange(len(lesser)) - np.repeat(starts, np.diff(np.append(starts, len(lesser))))
    order = order[place < _MOST]
    return pairs[order], equal[order]


def among(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """bool (values,): which of them are among the `ordered` values."""
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return ordered[place] == values


def split(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The better and the lesser rank of each pair, int64."""
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & _LOWER_HALF).astype(np.int64)


def _in_groups(keys: np.ndarray, ranks: np.ndarray, leaders: int, neighbours: int) -> Iterator[np.ndarray]:
    """Pairs of ranks with equal keys; `ranks` ascends."""
    if not len(keys):
        return
    order = np.argsort(keys)
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    grouped = np.append(same, False) | np.append(False, same)
    order, ordered = order[grouped], ordered[grouped]
    order = order[np.lexsort((order, ordered))]  # by rank within a group
    if not len(order):
        return
    fresh = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    starts = np.repeat(fresh, np.diff(np.append(fresh, len(order))))
    depth = np.arange(len(order)) - starts  # place in the group
    ranks = ranks[order]
    for back in range(1, neighbours + 1):
        later = np.flatnonzero(depth >= back)
        yield ranks[later - back] << np.uint64(32) | ranks[later]
    for leader in range(leaders):
        later = np.flatnonzero(depth > neighbours + leader)
        yield ranks[starts[later] + leader] << np.uint64(32) | ranks[later]
