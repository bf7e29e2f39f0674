"""Pairs of documents that may be near-duplicates: those whose sketches agree in a band.

Locality-sensitive hashing (Indyk and Motwani 1998): a sketch is cut into bands of `rows` values; two texts of Jaccard
similarity J agree in at least one of b bands with probability 1 - (1 - J^rows)^b, which is .99 at 0.7 with 25 bands of
5. Bands are taken a few at a time, so that the keys of all are never in memory at once.

Documents are named by their rank here: 0 is the best. A pair is one number, the better rank in its upper half.
"""

from collections.abc import Iterator

import numpy as np

from components.curation.duplicates.sketches import SketchFiles

_AT_ONCE = 5  # bands: 40 bytes a document
_SLOTS = 64  # values of a sketch that stay in memory, a byte of each
_MARGIN = 0.2  # of the estimate from them: 3.5 standard errors at 0.7
_COMPARED = 1 << 16  # pairs at once: 8 MB


class Candidates:
    """Finds pairs among the documents that are left, again and again as fewer are.

    Args:
        sketches: of all documents, by position.
        ranks: int32 (documents,): rank of each position; -1 for those that take no part.
        bands: cut from each sketch.
        threshold: pairs that are clearly below are left out, by an estimate from a byte of 64 values
            (b-bit minwise hashing: Li and König 2010).
    """

    def __init__(self, sketches: SketchFiles, ranks: np.ndarray, bands: int, threshold: float) -> None:
        self._sketches, self._ranks, self._bands = sketches, ranks, bands
        self._rows = sketches.permutations // bands
        self._mix = np.random.default_rng(bands).integers(0, 2**63, self._rows, dtype=np.uint64) * 2 + 1
        self._least = threshold - _MARGIN
        self._short = self._shorten(int(ranks.max(initial=-1)) + 1)

    def _shorten(self, documents: int) -> np.ndarray:
        """uint8 (ranks, slots): the lowest bytes of values that are spread over the sketch."""
        columns = np.linspace(0, self._sketches.permutations - 1, min(_SLOTS, self._sketches.permutations)).astype(int)
        short = np.empty((documents, len(columns)), dtype=np.uint8)
        for first, chunk in self._sketches.chunks():
            ranks = self._ranks[first : first + len(chunk)]
            short[ranks[ranks >= 0]] = chunk[ranks >= 0][:, columns]  # the cast keeps the lowest byte
        return short

    def pairs(self, active: np.ndarray, reach: int, fixed: int) -> np.ndarray:
        """Pairs among active documents, sorted, each once.

        Args:
            active: bool (ranks,).
            reach: in a group of equal keys, a document is paired with so many of the best, and with so many that come
                right before it. A group of at most 2 * reach is thus compared in full, and the work stays linear.
            fixed: the first so many ranks belong to earlier runs; two of them are no pair.
        """
        found = np.zeros(0, dtype=np.uint64)
        for keys in self._keys(active):
            new = [
                self._likely(pairs[(pairs & np.uint64(0xFFFFFFFF)) >= np.uint64(fixed)])
                for pairs in _in_groups(keys, np.flatnonzero(active), reach)
            ]
            found = np.union1d(found, np.concatenate([found, *new]))
        return found

    def _keys(self, active: np.ndarray) -> Iterator[np.ndarray]:
        """uint64 (active documents,): the keys of one band after another, by rank."""
        place = np.cumsum(active) - 1  # of a rank among the active ones
        for start in range(0, self._bands, _AT_ONCE):
            count = min(_AT_ONCE, self._bands - start)
            keys = np.empty((count, int(active.sum())), dtype=np.uint64)
            for first, chunk in self._sketches.chunks():
                ranks = self._ranks[first : first + len(chunk)]
                taking = (ranks >= 0) & active[ranks]
                into, chunk = place[ranks[taking]], chunk[taking]
                for band in range(count):
                    left = (start + band) * self._rows
                    mixed = chunk[:, left] * self._mix[0]
                    for row in range(1, self._rows):
                        mixed += chunk[:, left + row] * self._mix[row]
                    keys[band, into] = mixed
            yield from keys

    def _likely(self, pairs: np.ndarray) -> np.ndarray:
        """The pairs whose short sketches do not rule the threshold out."""
        left, right = split(pairs)
        likely = np.empty(len(pairs), dtype=bool)
        for start in range(0, len(pairs), _COMPARED):
            block = slice(start, start + _COMPARED)
            equal = (self._short[left[block]] == self._short[right[block]]).sum(axis=1, dtype=np.uint8)
            likely[block] = equal >= self._least * self._short.shape[1]
        return pairs[likely]


def split(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The better and the lesser rank of each pair, int64."""
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _in_groups(keys: np.ndarray, ranks: np.ndarray, reach: int) -> Iterator[np.ndarray]:
    """Pairs of ranks with equal keys; `ranks` ascends."""
    if not len(keys):
        return
    order = np.argsort(keys)
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    grouped = np.append(same, False) | np.append(False, same)
    order, ordered = order[grouped], ordered[grouped]
    order = order[np.lexsort((order, ordered))]  # in a group by rank
    if not len(order):
        return
    fresh = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    starts = np.repeat(fresh, np.diff(np.append(fresh, len(order))))
    depth = np.arange(len(order)) - starts  # place in the group
    ranks = ranks[order].astype(np.uint64)
    for back in range(1, reach + 1):
        later = np.flatnonzero(depth >= back)
        yield ranks[later - back] << np.uint64(32) | ranks[later]
    for leader in range(reach):
        later = np.flatnonzero(depth > reach + leader)
        yield ranks[starts[later] + leader] << np.uint64(32) | ranks[later]
