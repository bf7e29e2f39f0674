"""The documents that passed the rules, over all results of the first phase, by position."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.curation.clean import DOCUMENTS, FIGURES, FOREIGN, LENGTHS, SKETCHES
from components.curation.duplicates import ids as document_ids
from components.curation.duplicates.sketches import SketchFiles
from components.documents import KINDS


class Cleaned:
    """Documents by position: those of the first result, then those of the second, and so on.

    Attributes:
        starts: int64 (results + 1,): position of each result's first document; the last value is the total.
        ids: uint64 (documents, 2), packed.
        kinds: int8 (documents,): indexes into `components.documents.KINDS`.
        foreign: bool (documents,): not in English; False where the language was not checked.
        sketches: of all documents.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = list(folders)
        counts = [pq.read_metadata(folder / DOCUMENTS).num_rows for folder in self.folders]
        self.starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
        self.ids = np.zeros((len(self), 2), dtype=np.uint64)
        self.kinds = np.zeros(len(self), dtype=np.int8)
        places = {kind: place for place, kind in enumerate(KINDS)}
        for number, start in enumerate(self.starts[:-1].tolist()):
            table = self._read(number, ["id", "kind"])
            block = slice(start, start + table.num_rows)
            self.ids[block] = document_ids.pack(table["id"].to_pylist())
            self.kinds[block] = [places[kind] for kind in table["kind"].to_pylist()]
        parts = [np.load(folder / FOREIGN, allow_pickle=False) for folder in self.folders]
        self.foreign = np.concatenate([np.zeros(0, dtype=bool), *parts])
        self.sketches = SketchFiles([folder / SKETCHES for folder in self.folders])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def texts(self, positions: np.ndarray) -> Iterator[str]:
        """The texts at ascending positions."""
        for table in self.take(positions, ["text"]):
            yield from table["text"].to_pylist()

    def take(self, positions: np.ndarray, columns: list[str]) -> Iterator[pa.Table]:
        """Columns of the documents at ascending positions, one table per result."""
        bounds = np.searchsorted(positions, self.starts)
        for number, (first, last) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
            if first < last:
                yield self._read(number, columns).take(positions[first:last] - self.starts[number])

    def strata(self, number: int) -> tuple[list[str], list[str], list[int]]:
        """Ids, kinds and characters of a result's documents."""
        table = self._read(number, ["id", "kind"])
        lengths = np.load(self.folders[number] / LENGTHS, allow_pickle=False).tolist()
        return table["id"].to_pylist(), table["kind"].to_pylist(), lengths

    def lengths(self) -> np.ndarray:
        """int64 (documents,): characters."""
        parts = [np.load(folder / LENGTHS, allow_pickle=False) for folder in self.folders]
        return np.concatenate([np.zeros(0, dtype=np.int64), *parts])

    def figures(self, number: int) -> dict[str, Any]:
        """The counts of a result."""
        return json.loads((self.folders[number] / FIGURES).read_text(encoding="utf-8"))

    def rows(self, number: int) -> list[dict[str, Any]]:
        """The documents of a result, as rows."""
        return self._read(number, None).to_pylist()

    def _read(self, number: int, columns: list[str] | None) -> Any:
        return pq.read_table(self.folders[number] / DOCUMENTS, columns=columns)
