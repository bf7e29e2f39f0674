"""Which texts are near-copies of each other, so that none is learnt from while a copy of it is held out.

The sample is drawn before near-duplicates go. Figures on documents whose copies were learnt from say how well the classifier
remembers, not how well it judges.
"""

from collections.abc import Sequence

import numpy as np

from components.curation.duplicates.sketches import sketch
from components.params import DuplicatesParams

ALIKE = 0.5  # Jaccard similarity of runs of five words, estimated by the share of equal values
_ROWS = 4  # values of a band: of pairs at 0.5 87% agree in one of 32 bands, at 0.7 all but one in 5,000
_AT_ONCE = 1 << 16  # pairs compared at once: 64 MB
_MIX = np.array([0x8CC533D2E7AEB295, 0x9391D0954786F1A5, 0xA07B5919CAFE7517, 0xAE40A70EEC25D8BB], dtype=np.uint64)


def near_copies(texts: Sequence[str]) -> np.ndarray:
    """int64 (texts,): the number of each text's group. A near-copy of a near-copy belongs to the group, too.

    In each band a text is compared with two of those that agree with it: the first one, and the one whose next band is nearest.
    So time is linear, but for sorting, also where thousands share a template.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    params = DuplicatesParams()
    sketches, count = sketch(texts, params), len(texts)
    groups = np.arange(count)
    for band in range(params.permutations // _ROWS):
        pairs = _agreeing(sketches, band)
        pairs = pairs[:, groups[pairs[0]] != groups[pairs[1]]]
        left, right = groups[pairs[:, _alike(sketches, *pairs)]]
        joined = coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(count, count))
        groups = connected_components(joined, directed=False)[1][groups].astype(np.int64)
    return groups


def _agreeing(sketches: np.ndarray, band: int) -> np.ndarray:
    """int64 (2, pairs): texts that agree in a band."""
    keys, following = _keys(sketches, band), _keys(sketches, band + 1)
    order = np.lexsort((following, keys))
    same = np.append(False, keys[order][1:] == keys[order][:-1])
    first = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))  # of those with the same key
    later = np.flatnonzero(same)
    return np.stack([order[np.concatenate([later - 1, first[later]])], order[np.concatenate([later, later])]])


def _keys(sketches: np.ndarray, band: int) -> np.ndarray:
    """uint64 (texts,): hashes of the values of a band; after the last comes the first."""
    start = band * _ROWS % sketches.shape[1]
    return (sketches[:, start : start + _ROWS] * _MIX).sum(axis=1, dtype=np.uint64)


def _alike(sketches: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """bool (pairs,)."""
    parts = [np.zeros(0, dtype=bool)]
    for start in range(0, len(left), _AT_ONCE):
        block = slice(start, start + _AT_ONCE)
        parts.append((sketches[left[block]] == sketches[right[block]]).mean(axis=1) >= ALIKE)
    return np.concatenate(parts)
