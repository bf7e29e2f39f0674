"""Which documents are kept, which kept document represents each dropped one, and how similar the two are.

A document is dropped only for a kept document that it resembles itself: their Jaccard similarity reaches the threshold of
its kind. If A ~ B and B ~ C but not A ~ C, then A and C are kept and B is dropped for the better one, or both are dropped for
B if B is the best; connected components, which most tools use, would drop C for an A that it does not resemble. The better
document has the higher score, then the smaller id, so the order of the input does not matter, and no two documents are kept
that were compared and found alike. Documents of earlier runs are better than all others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.curation.duplicates import ids as document_ids
from components.curation.duplicates.candidates import Candidates, split
from components.curation.duplicates.containment import find_contained
from components.curation.duplicates.index import Index
from components.curation.duplicates.similarity import ShingleSets, TextsByPosition, estimate
from components.curation.duplicates.sketches import SketchFiles
from components.documents import KINDS
from components.params import DuplicatesParams

_FIRST = {"leaders": 1, "neighbours": 0}  # removes plain duplicates, however many copies a text has
_LATER = {"leaders": 8, "neighbours": 8}
_ROUNDS = 8  # maximum; two or three find all, except in large groups of texts just under the threshold
_EDGES = 1 << 16  # read from the arrays at once


@dataclass(frozen=True)
class Clusters:
    """The verdict on each document, by position.

    Attributes:
        keeper: int32, the position that represents it: its own if it is kept; from `len(keeper)` on, a document of an
            earlier run.
        jaccard: float32, similarity to the keeper: 1 for a kept or equal text, an estimate from sketches where the keeper
            is of an earlier run.
        ids: uint64 (documents and those of earlier runs that they may be duplicates of, 2), packed.
        contained: float32, the share of its shingles in the larger document for which it is dropped; 0 for the others.
    """

    keeper: np.ndarray
    jaccard: np.ndarray
    ids: np.ndarray
    contained: np.ndarray

    @property
    def kept(self) -> np.ndarray:
        """bool, by position."""
        return self.keeper == np.arange(len(self.keeper))

    @property
    def exact(self) -> np.ndarray:
        """bool, by position: dropped because the keeper has exactly the same text."""
        return ~self.kept & (self.ids[self.keeper] == self.ids[: len(self.keeper)]).all(axis=1)

    @property
    def known(self) -> np.ndarray:
        """bool, by position: the keeper is a document of an earlier run."""
        return self.keeper >= len(self.keeper)

    def sizes(self, counted: np.ndarray) -> np.ndarray:
        """int32, by position: the number of `counted` documents (bool, by position) with the same keeper."""
        return np.bincount(self.keeper[counted], minlength=len(self.ids)).astype(np.int32)[self.keeper]

    def cluster(self, positions: np.ndarray) -> list[str]:
        """The ids of documents' keepers, which identify their clusters."""
        return document_ids.unpack(self.ids[self.keeper[positions]])


def find(
    sketches: SketchFiles,
    ids: np.ndarray,
    kinds: np.ndarray,
    scores: np.ndarray,
    texts: TextsByPosition,
    params: DuplicatesParams,
    scratch: Path,
    earlier: Index | None = None,
) -> Clusters:
    """Exact and near-duplicates among documents.

    Args:
        sketches: of all, by position.
        ids: uint64 (documents, 2), see `ids.pack`.
        kinds: int8 (documents,): indexes into `components.documents.KINDS`.
        scores: float32 (documents,): the higher is kept; NaN is below all, and -inf (dropped in any case) below NaN.
        texts: called a few times with ascending positions (int64); returns their texts in that order.
        scratch: folder with room for a file of about the size of the duplicates' texts.
        earlier: documents of earlier runs, which are never dropped.

    Memory: about 220 bytes per document, 200 more if there are earlier ones, and 120 MB; the time is linear in the documents.
    Only those earlier documents are compared that may have duplicates here.
    """
    if earlier is not None:
        near = earlier.near(ids, sketches, params, scratch)
        sketches = sketches.followed_by(near.sketches)
        ids = np.concatenate([ids, near.ids])
    if sketches.rows != len(ids):
        raise ValueError(f"{sketches.rows} sketches, but {len(ids)} ids")
    scores = np.where(np.isnan(scores), np.finfo(np.float32).min, scores).astype(np.float32)
    same, distinct = _same(ids, kinds, scores)
    ranked = _rank(ids, scores, distinct)
    container, contained = _contained(ranked, scores, texts, params, scratch)
    left, right, values = _alike(sketches, ranked, kinds, texts, params, scratch, container < 0)
    stands, jaccard = _decide(left, right, values, len(ranked))
    inside = np.flatnonzero(container >= 0)
    stands[inside] = stands[container[inside]]
    ranks = np.empty(len(ids), dtype=np.int32)
    ranks[ranked] = np.arange(len(ranked), dtype=np.int32)
    rank = ranks[same]  # of the best document with the text
    return Clusters(ranked[stands[rank]], jaccard[rank], ids, contained[rank])


def _contained(
    ranked: np.ndarray, scores: np.ndarray, texts: TextsByPosition, params: DuplicatesParams, scratch: Path
) -> tuple[np.ndarray, np.ndarray]:
    """By rank: the rank of the larger document that contains it, or -1; and the contained share, or 0."""
    container = np.full(len(ranked), -1, dtype=np.int64)
    share = np.zeros(len(ranked), dtype=np.float32)
    if params.containment:
        new = np.flatnonzero(ranked < len(scores))
        new = new[scores[ranked[new]] > -np.inf]
        outer, held = find_contained(ranked[new], len(scores), texts, params.containment, scratch)
        inner = np.flatnonzero(outer >= 0)
        container[new[inner]], share[new[inner]] = new[outer[inner]], held[inner]
    return container, share


def _same(ids: np.ndarray, kinds: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each document, the position of the best one with its text, where earlier ones are best; and all such positions.

    For equal scores the first kind is best, then the first position, which `verdicts` replaces by the best origin.
    """
    documents, older = len(kinds), len(ids) - len(kinds)
    new = np.arange(len(ids)) < documents
    worse = np.append(-scores, np.zeros(older, dtype=np.float32))
    kind = np.append(kinds, np.zeros(older, dtype=kinds.dtype))
    order = np.lexsort((kind, worse, new, ids[:, 1], ids[:, 0]))
    fresh = np.ones(len(ids), dtype=bool)
    fresh[1:] = (ids[order[1:]] != ids[order[:-1]]).any(axis=1)
    best = order[fresh].astype(np.int32)
    same = np.empty(len(ids), dtype=np.int32)
    same[order] = best[np.cumsum(fresh) - 1]
    return same[:documents], best


def _rank(ids: np.ndarray, scores: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The positions, best first: those of earlier runs, then by score, then by id."""
    new = positions < len(scores)
    worse = np.full(len(positions), -np.inf, dtype=np.float32)
    worse[new] = -scores[positions[new]]
    return positions[np.lexsort((ids[positions, 1], ids[positions, 0], worse, new))]


def _thresholds(kinds: np.ndarray, thresholds: Mapping[str, float]) -> np.ndarray:
    """float32, by position: the threshold of the kind, or the unreachable 2 if it has none."""
    return np.array([thresholds.get(kind, 2.0) for kind in KINDS], dtype=np.float32)[kinds]


def _alike(
    sketches: SketchFiles,
    ranked: np.ndarray,
    kinds: np.ndarray,
    texts: TextsByPosition,
    params: DuplicatesParams,
    scratch: Path,
    active: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of ranks that are near-duplicates, the better first, sorted by the lesser; and their similarity.

    In each round, the documents that the pairs so far would keep are compared with each other, until no pair is found.

    Args:
        active: bool (ranks,): which documents are compared.
    """
    none = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    documents = len(kinds)
    if not params.thresholds or not documents:
        return none
    ranks = np.full(sketches.rows, -1, dtype=np.int32)
    ranks[ranked] = np.arange(len(ranked), dtype=np.int32)
    fixed = int((ranked >= documents).sum())
    least = np.concatenate(
        [np.full(fixed, 2.0, dtype=np.float32), _thresholds(kinds[ranked[fixed:]], params.thresholds)]
    )
    candidates = Candidates(sketches, ranks, min(params.thresholds.values()))
    tested, (left, right, values) = np.zeros(0, dtype=np.uint64), none
    compared = active
    with ShingleSets(documents, texts, scratch) as sets:
        for number in range(_ROUNDS):
            pairs = candidates.pairs(active, tested, fixed, **(_LATER if number else _FIRST))
            better, lesser = split(pairs)
            similarity = _measure(ranked[better], ranked[lesser], sets, sketches, documents)
            alike = similarity >= least[lesser]
            if number and not alike.any():
                break
            tested = np.union1d(tested, pairs)
            left, right = np.append(left, better[alike]), np.append(right, lesser[alike])
            values = np.append(values, similarity[alike])
            order = np.lexsort((left, right))
            left, right, values = left[order], right[order], values[order]
            active = compared & (_decide(left, right, values, len(ranked))[0] == np.arange(len(ranked)))
    return left, right, values


def _measure(
    left: np.ndarray, right: np.ndarray, sets: ShingleSets, sketches: SketchFiles, documents: int
) -> np.ndarray:
    """Similarity of pairs of positions: by texts, or by sketches if the first is of an earlier run."""
    similarity = np.empty(len(left), dtype=np.float32)
    known = left < documents
    similarity[known] = sets.jaccard(left[known], right[known])
    similarity[~known] = estimate(sketches, left[~known], right[~known])
    return similarity


def _decide(left: np.ndarray, right: np.ndarray, values: np.ndarray, documents: int) -> tuple[np.ndarray, np.ndarray]:
    """The rank that represents each rank, and the similarity to it.

    From the best to the worst, a document is dropped if it resembles a kept one, for the best of those.
    """
    stands = np.arange(documents, dtype=np.int32)
    jaccard = np.ones(documents, dtype=np.float32)
    for start in range(0, len(left), _EDGES):
        block = slice(start, start + _EDGES)
        for better, lesser, value in zip(
            left[block].tolist(), right[block].tolist(), values[block].tolist(), strict=True
        ):
            if stands[lesser] == lesser and stands[better] == better:
                stands[lesser], jaccard[lesser] = better, value
    return stands, jaccard
