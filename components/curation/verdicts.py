"""Verdicts: whether each document is kept or dropped, once all are scored and compared."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.curation.clean import DROPS, STEP
from components.curation.cleaned import Cleaned
from components.curation.duplicates.clusters import Clusters
from components.curation.tally import Tally
from components.documents import KINDS, Document, Drop, read_ledger
from components.params import CurationParams


class Verdicts:
    """The kept documents and the ledger's rows, in the order of the results; in each result, documents dropped by rules
    come first.

    Attributes:
        tally: counts every verdict.

    Args:
        scores: float32 (documents,), educational value; NaN = unknown.
        low: bool (documents,), whether the value is below the threshold of the kind.
    """

    def __init__(
        self, documents: Cleaned, scores: np.ndarray, low: np.ndarray, clusters: Clusters, params: CurationParams
    ) -> None:
        clusters = with_best_origins(documents, clusters)
        self.documents, self.scores, self.low, self.clusters, self.params = documents, scores, low, clusters, params
        self._kept, self._exact, self._known = clusters.kept, clusters.exact, clusters.known
        self._sizes = clusters.sizes(~low)  # a document dropped for its value does not count as a duplicate
        self.tally = Tally()

    def __iter__(self) -> Iterator[Document | Drop]:
        for number, start in enumerate(self.documents.starts[:-1].tolist()):
            for drop in read_ledger(self.documents.folders[number] / DROPS):
                self.tally.drop(drop, None)
                yield drop
            rows = self.documents.rows(number)
            positions = np.arange(start, start + len(rows))
            keepers = self.clusters.cluster(positions)
            for position, row, keeper in zip(positions.tolist(), rows, keepers, strict=True):
                row["metadata"] = json.loads(row["metadata"])
                verdict = self._verdict(position, row, keeper)
                if isinstance(verdict, Drop):
                    self.tally.drop(verdict, row)
                else:
                    self.tally.keep(verdict)
                yield verdict

    def _verdict(self, position: int, row: dict[str, Any], keeper: str) -> Document | Drop:
        score = float(self.scores[position])
        if self.low[position]:
            least = self.params.education.min_value[row["kind"]]
            return _drop(row, "educational_value", score, least, f"educational value {score:.2f} of 5")
        if self._kept[position]:
            row["educational_value"] = None if np.isnan(score) else score
            if (size := int(self._sizes[position])) > 1:
                row["metadata"]["cluster_size"] = size
            return Document(**row)
        return self._duplicate(position, row, keeper)

    def _duplicate(self, position: int, row: dict[str, Any], keeper: str) -> Drop:
        """A duplicate's drop, with a sentence that names the keeper as `document ID`, for programs to find."""
        known, size = self._known[position], int(self._sizes[position])
        if self._exact[position]:
            about = "of an earlier run" if known else f"one of {size}"
            return _drop(row, "exact_duplicate", None, None, f"same text as document {keeper}, {about}")
        if share := float(self.clusters.contained[position]):
            least = self.params.duplicates.containment
            detail = f"{share:.0%} of its word runs are in a larger text, which document {keeper} is or represents"
            return _drop(row, "contained", max(round(share, 4), least), least, detail)
        about = "of an earlier run; the similarity is estimated" if known else f"which represents {size}"
        resembles = f"resembles document {keeper}, {about}"
        jaccard = self.clusters.jaccard[position]
        threshold = self.params.duplicates.thresholds.get(row["kind"])
        if threshold is None or jaccard < np.float32(threshold):  # another kind's threshold applied
            return _drop(row, "exact_duplicate", None, None, f"same text as one of another kind that {resembles}")
        value = max(round(float(jaccard), 4), threshold)  # float32 and rounding may put a value just below it
        return _drop(row, "near_duplicate", value, threshold, resembles)


def with_best_origins(documents: Cleaned, clusters: Clusters) -> Clusters:
    """Clusters in which, among equal texts of one kind, the one with a known licence and then the smallest source is kept,
    wherever it is. Origins are read here, only for such documents; `find` does not need them.
    """
    same = clusters.exact & ~clusters.known
    same[same] = documents.kinds[same] == documents.kinds[clusters.keeper[same]]
    tied = np.union1d(np.flatnonzero(same), clusters.keeper[same])
    if not len(tied):
        return clusters
    keepers = clusters.keeper[tied]
    origins = pa.concat_tables(documents.take(tied, ["license", "source"]))
    unknown = pc.equal(origins["license"], "unknown")
    for name, column in (("keeper", pa.array(keepers)), ("unknown", unknown), ("position", pa.array(tied))):
        origins = origins.append_column(name, column)
    ways = [(name, "ascending") for name in ("keeper", "unknown", "source", "license", "position")]
    order = pc.sort_indices(origins, sort_keys=ways).to_numpy()
    stays, first = np.unique(keepers[order], return_index=True)
    best = np.arange(len(clusters.ids), dtype=clusters.keeper.dtype)
    best[stays] = tied[order[first]]
    return replace(clusters, keeper=best[clusters.keeper])


def low_values(documents: Cleaned, scores: np.ndarray, params: CurationParams) -> np.ndarray:
    """bool (documents,): whether the value is below the threshold of the kind."""
    least = np.array([params.education.min_value.get(kind, -np.inf) for kind in KINDS], dtype=np.float32)
    return scores < least[documents.kinds]


def _drop(row: dict[str, Any], rule: str, value: float | None, threshold: float | None, detail: str) -> Drop:
    raw_id = row["metadata"].get("raw_id", row["id"])
    return Drop(raw_id, STEP, rule, value, threshold, detail, row["source"])
