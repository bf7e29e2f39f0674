"""Documents contained almost entirely in a larger one, which their Jaccard similarity does not reveal.

Each document is looked up by its QUERIES smallest shingle hashes, a random sample of them. Larger documents that contain most
of these are compared with it by all shingles (containment: Broder 1997). This takes two passes over the texts, and about 150
bytes per document. A shingle that looks up more than COMMON documents comes from a template and is ignored.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from components.curation.duplicates.similarity import ShingleSets, TextsByPosition, blocks
from components.text.shingles import shingles

QUERIES = 8
COMMON = 32
_HITS = 0.6  # of the queries expected at the threshold: sampling may miss some


def find_contained(
    positions: np.ndarray, documents: int, texts: TextsByPosition, threshold: float, scratch: Path
) -> tuple[np.ndarray, np.ndarray]:
    """For each of `positions`, the index there of the largest document that contains it, or -1; and the contained share of
    its shingles. A contained document contains no other; of equal sets, the first contains the others.
    """
    order = np.argsort(positions)
    sizes = np.zeros(len(positions), dtype=np.int64)
    asked: list[tuple[np.ndarray, np.ndarray]] = []
    for place, runs in _sets(positions, order, texts):
        sizes[place] = len(runs)
        least = runs[:QUERIES]
        asked.append((least, np.full(len(least), place)))
    hashes, owners = (np.concatenate(parts) for parts in zip(*asked, strict=True)) if asked else (sizes, sizes)
    by_hash = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[by_hash], owners[by_hash]
    distinct, starts, counts = np.unique(hashes, return_index=True, return_counts=True)
    distinct, starts, counts = (values[counts <= COMMON] for values in (distinct, starts, counts))
    queries = np.bincount(owners[_ranges(starts, counts)], minlength=len(positions))
    found = [np.zeros((0, 2), dtype=np.int64)]
    for place, runs in _sets(positions, order, texts):
        held = np.flatnonzero(np.isin(distinct, runs, assume_unique=True))
        hits = np.bincount(owners[_ranges(starts[held], counts[held])], minlength=0)
        inner = np.flatnonzero(hits)
        enough = hits[inner] >= np.maximum(1, np.ceil(_HITS * threshold * queries[inner]))
        larger = (sizes[inner] < sizes[place]) | ((sizes[inner] == sizes[place]) & (inner > place))
        inner = inner[enough & larger]
        found.append(np.column_stack([inner, np.full(len(inner), place)]))
    pairs = np.concatenate(found)
    with ShingleSets(documents, texts, scratch) as sets:
        shares = sets.containment(positions[pairs[:, 0]], positions[pairs[:, 1]])
    return _decide(pairs, shares, sizes, threshold)


def _decide(
    pairs: np.ndarray, shares: np.ndarray, sizes: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """From the largest document to the smallest, assign each to the largest kept document that contains it."""
    container = np.full(len(sizes), -1, dtype=np.int64)
    share_of = np.ones(len(sizes), dtype=np.float32)
    order = np.lexsort((pairs[:, 1], -sizes[pairs[:, 1]], pairs[:, 0], -sizes[pairs[:, 0]]))
    for (inner, outer), share in zip(pairs[order].tolist(), shares[order].tolist(), strict=True):
        if share >= np.float32(threshold) and container[inner] < 0 and container[outer] < 0:
            container[inner], share_of[inner] = outer, share
    return container, share_of


def _sets(positions: np.ndarray, order: np.ndarray, texts: TextsByPosition) -> Iterator[tuple[int, np.ndarray]]:
    """Index and sorted distinct shingles of each document, by ascending position."""
    places = iter(order.tolist())
    for block in blocks(texts(positions[order])):
        runs, starts = shingles(block)
        for start, end in pairwise(starts.tolist()):
            yield next(places), np.unique(runs[start:end])


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers of all ranges, one after another."""
    return np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
