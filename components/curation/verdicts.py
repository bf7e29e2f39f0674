"""What becomes of each document, once all are scored and compared."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from components.curation.clean import DROPS, STEP
from components.curation.cleaned import Cleaned
from components.curation.duplicates.clusters import Clusters
from components.curation.tally import Tally
from components.documents import KINDS, Document, Drop, read_ledger
from components.params import CurationParams


class Verdicts:
    """The documents that stay and the ledger's rows, in the order of the results; in each, what the rules have dropped comes
    first.

    Attributes:
        tally: takes every verdict that has been given.

    Args:
        scores: float32 (documents,), educational value; NaN where it isn't known.
        low: bool (documents,), whose value is below what its kind asks for.
    """

    def __init__(
        self, documents: Cleaned, scores: np.ndarray, low: np.ndarray, clusters: Clusters, params: CurationParams
    ) -> None:
        self.documents, self.scores, self.low, self.clusters, self.params = documents, scores, low, clusters, params
        self._kept, self._exact = clusters.kept, clusters.exact
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
        size = int(self.clusters.size[position])
        if self.low[position]:
            least = self.params.education.min_value[row["kind"]]
            return _drop(row, "educational_value", round(score, 4), least, f"educational value {score:.2f} of 5")
        if self._kept[position]:
            row["educational_value"] = None if np.isnan(score) else score
            if size > 1:
                row["metadata"]["cluster_size"] = size
            return Document(**row)
        if self._exact[position]:
            return _drop(row, "exact_duplicate", None, None, f"same text as document {keeper}, one of {size}")
        threshold = self.params.duplicates.thresholds[row["kind"]]
        jaccard = round(float(self.clusters.jaccard[position]), 4)
        return _drop(row, "near_duplicate", jaccard, threshold, f"resembles document {keeper}, which stands for {size}")


def low_values(documents: Cleaned, scores: np.ndarray, params: CurationParams) -> np.ndarray:
    """bool (documents,): whose value is below what its kind asks for."""
    least = np.array([params.education.min_value.get(kind, -np.inf) for kind in KINDS], dtype=np.float32)
    return scores < least[documents.kinds]


def _drop(row: dict[str, Any], rule: str, value: float | None, threshold: float | None, detail: str) -> Drop:
    raw_id = row["metadata"].get("raw_id", row["id"])
    return Drop(raw_id, STEP, rule, value, threshold, detail, row["source"])
