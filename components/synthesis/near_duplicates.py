"""Near-duplicates by MinHash: which texts share most of their runs of five words with an earlier one.

Broder's sketch (1997): of the hashes of a text's word 5-grams, 128 random functions keep the smallest value each; the
share of equal values estimates the Jaccard similarity with a standard error of 0.04. Texts that agree in one of 32
bands of four values are compared; at a similarity of 0.7 that misses two in ten thousand pairs.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from components.shingles import SHINGLE, shingle_sets

PERMUTATIONS, BANDS = 128, 32
THRESHOLD = 0.7
_RNG = np.random.default_rng(0x5EED)
_FACTORS = _RNG.integers(1, 2**63, PERMUTATIONS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_OFFSETS = _RNG.integers(0, 2**63, PERMUTATIONS, dtype=np.uint64)
_RNG.integers(1, 2**63, SHINGLE, dtype=np.uint64)  # keeps the place of the next draws, and so the sketches
_BAND_MIX = _RNG.integers(1, 2**63, (BANDS, PERMUTATIONS // BANDS), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_BLOCK = 4_096  # shingles hashed at once: 4 MB


def sketches(texts: Sequence[str]) -> list[np.ndarray]:
    """uint32 (PERMUTATIONS,) of each text: equal texts, up to case and punctuation, have equal sketches."""
    return [_minima(hashes) for hashes in shingle_sets(texts)]


def _minima(hashes: np.ndarray) -> np.ndarray:
    least = np.full(PERMUTATIONS, 2**64 - 1, dtype=np.uint64)
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK, None] * _FACTORS + _OFFSETS
        np.minimum(least, block.min(axis=0), out=least)
    return (least >> np.uint64(32)).astype(np.uint32)


class NearDuplicates:
    """An index of texts that is asked for the first one that another resembles."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self.threshold = threshold
        self._sketches: list[np.ndarray] = []
        self._bands: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self._sketches)

    def add(self, text: str) -> tuple[int, float] | None:
        """Put a text into the index. Returns the most similar earlier text over the threshold, with the similarity."""
        (own,) = sketches([text])
        keys = _keys(own)
        found = self._best(own, keys)
        for key in keys:
            self._bands.setdefault(key, []).append(len(self._sketches))
        self._sketches.append(own)
        return found

    def find(self, texts: Sequence[str]) -> list[tuple[int, float] | None]:
        """For each text the most similar one of the index over the threshold; the texts are not put in."""
        return [self._best(own, _keys(own)) for own in sketches(texts)]

    def _best(self, own: np.ndarray, keys: Iterable[int]) -> tuple[int, float] | None:
        candidates = {number for key in keys for number in self._bands.get(key, ())}
        similar = [(float((self._sketches[number] == own).mean()), -number) for number in candidates]
        similarity, number = max(similar, default=(0.0, 0))
        return (-number, similarity) if similarity >= self.threshold else None


def _keys(sketch: np.ndarray) -> list[int]:
    """One key a band; a band's place goes into its key."""
    parts = sketch.reshape(BANDS, -1).astype(np.uint64)
    return ((parts * _BAND_MIX).sum(axis=1) + np.arange(BANDS, dtype=np.uint64)).tolist()
