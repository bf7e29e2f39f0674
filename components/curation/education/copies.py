"""Which texts are near-copies of each other, so that none is learned from while a copy of it is held out.

The sample is drawn before near-duplicates are dropped. Metrics on copies of training documents would show how well the
classifier remembers, not how well it judges.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from components.curation.duplicates.candidates import Candidates, split
from components.curation.duplicates.similarity import estimate
from components.curation.duplicates.sketches import SketchFiles, save_sketches
from components.params import DuplicatesParams
from components.text.shingles import sketch

ALIKE = 0.5  # Jaccard similarity of runs of five words, estimated by the share of equal values


def near_copies(texts: Sequence[str]) -> np.ndarray:
    """int64 (texts,): the number of each text's group. A near-copy of a near-copy also belongs to the group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(texts)
    if not count:
        return np.zeros(0, dtype=np.int64)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sketches.npy"
        save_sketches(path, sketch(texts, DuplicatesParams().permutations))
        sketches = SketchFiles([path])
        candidates = Candidates(sketches, np.arange(count, dtype=np.int32), ALIKE)
        # Comparing with the one before it and the first is enough, since groups grow from text to text.
        pairs = candidates.pairs(np.ones(count, dtype=bool), np.zeros(0, dtype=np.uint64), 0, leaders=1, neighbours=1)
        left, right = split(pairs)
        alike = estimate(sketches, left, right) >= ALIKE
    joined = coo_array((np.ones(alike.sum(), dtype=bool), (left[alike], right[alike])), shape=(count, count))
    return connected_components(joined, directed=False)[1].astype(np.int64)
