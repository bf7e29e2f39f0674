"""Curation: repair, judge by rules, drop duplicates. Every drop stands in the ledger.

In phases: row groups are repaired and judged in parallel (`clean`), whose results stay until nobody has used them for
two weeks, so that a killed run goes on (`work`); then it is decided over all documents which duplicates go; then
documents and ledger are written, in the order of the sources.
"""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from components.curation.clean import DROPS, FIGURES, STEP, clean, row_groups
from components.curation.cleaned import Cleaned
from components.curation.duplicates.clusters import Clusters, find
from components.curation.duplicates.index import Index, write_index
from components.curation.duplicates.sketches import algorithm
from components.curation.language import check_languages
from components.curation.work import Work, drop_abandoned
from components.documents import KINDS, Document, DocumentWriter, Drop, LedgerWriter, check_balance, read_ledger
from components.errors import StepError
from components.files import atomic_directory, atomic_file
from components.params import CurationParams, Params
from components.progress import Progress
from components.tracking import Tracker, project_home

WORK = Path(".phiforge") / "curation"  # in the project's main folder


def run(inputs: dict[str, Any], outputs: dict[str, Any], params: Params, tracker: Tracker) -> dict[str, Any]:
    check_languages(params.curation.language)
    earlier = _earlier(params.curation)
    folder = Path(inputs.get("work") or project_home() / WORK)
    drop_abandoned(folder)
    units = row_groups(inputs["documents"], params.curation)
    work = Work(folder, params.engine, Progress(len(units)))
    documents = Cleaned(work.map("clean", _facts_of_cleaning(params.curation), units, clean))
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=folder) as scratch:
        scores = np.zeros(len(documents), dtype=np.float32)
        clusters = _clusters(documents, scores, params.curation, Path(scratch), earlier)
        summary = _write(documents, clusters, params.curation, outputs, Path(scratch))
        if outputs.get("index"):
            write_index(
                outputs["index"],
                documents.sketches,
                documents.ids,
                clusters.kept,
                params.curation.duplicates,
                earlier,
            )
    return summary


def _earlier(params: CurationParams) -> Index | None:
    return Index(Path(params.duplicates.earlier), params.duplicates) if params.duplicates.earlier else None


def _facts_of_cleaning(params: CurationParams) -> dict[str, Any]:
    """What the results of `clean` depend on beside the text."""
    return params.model_dump(mode="json", exclude={"duplicates"}) | {"sketches": algorithm(params.duplicates)}


def _clusters(
    documents: Cleaned, scores: np.ndarray, params: CurationParams, scratch: Path, earlier: Index | None
) -> Clusters:
    kinds, texts = documents.kinds, documents.texts
    return find(documents.sketches, documents.ids, kinds, scores, texts, params.duplicates, scratch, earlier)


def _write(
    documents: Cleaned, clusters: Clusters, params: CurationParams, outputs: dict[str, Any], scratch: Path
) -> dict[str, Any]:
    """Write documents and ledger; returns the summary."""
    figures: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    with atomic_directory(outputs["output"]) as output:
        with DocumentWriter(output) as writer, LedgerWriter(scratch / "ledger.parquet") as ledger:
            for verdict in _verdicts(documents, clusters, params):
                if isinstance(verdict, Drop):
                    ledger.write(verdict)
                    rules[verdict.rule] += 1
                else:
                    writer.write(verdict)
                    figures[verdict.kind] += 1
                    figures["bytes"] += len(verdict.text.encode())
        rows_in = sum(_figures(folder)["documents"] for folder in documents.folders)
        check_balance(STEP, rows_in, writer.rows, ledger.rows)
        if not writer.rows:
            drops = _first(scratch / "ledger.parquet")
            raise StepError(f"no document of {rows_in:,} is left; first drops: {drops}; loosen curation.*")
    with atomic_file(outputs["ledger"]) as partial:  # last: it may lie in the directory, which is replaced as a whole
        shutil.copyfile(scratch / "ledger.parquet", partial)
    return {
        "documents_in": rows_in,
        "documents_kept": writer.rows,
        "documents_dropped": ledger.rows,
        "keep_fraction": round(writer.rows / rows_in, 4),
        "kept_megabytes": round(figures["bytes"] / 1e6, 3),
        "kept": {kind: figures[kind] for kind in sorted(KINDS) if figures[kind]},
        "dropped": dict(sorted(rules.items())),
    }


def _verdicts(documents: Cleaned, clusters: Clusters, params: CurationParams) -> Iterator[Document | Drop]:
    """What becomes of each raw document, in the order of the results; in each, what the rules have dropped comes first."""
    kept, exact = clusters.kept, clusters.exact
    for number, start in enumerate(documents.starts[:-1].tolist()):
        yield from read_ledger(documents.folders[number] / DROPS)
        rows = documents.rows(number)
        positions = np.arange(start, start + len(rows))
        keepers = clusters.cluster(positions)
        for position, row, keeper in zip(positions.tolist(), rows, keepers, strict=True):
            row["metadata"] = json.loads(row["metadata"])
            size = int(clusters.size[position])
            if kept[position]:
                if size > 1:
                    row["metadata"]["cluster_size"] = size
                yield Document(**row)
            elif exact[position]:
                yield _drop(row, "exact_duplicate", None, None, f"same text as document {keeper}, one of {size}")
            else:
                threshold = params.duplicates.thresholds[row["kind"]]
                jaccard = round(float(clusters.jaccard[position]), 4)
                detail = f"resembles document {keeper}, which stands for {size}"
                yield _drop(row, "near_duplicate", jaccard, threshold, detail)


def _drop(row: dict[str, Any], rule: str, value: float | None, threshold: float | None, detail: str) -> Drop:
    raw_id = row["metadata"].get("raw_id", row["id"])
    return Drop(raw_id, STEP, rule, value, threshold, detail, row["source"])


def _figures(folder: Path) -> dict[str, int]:
    return json.loads((folder / FIGURES).read_text(encoding="utf-8"))


def _first(ledger: Path) -> str:
    return "; ".join(f"{drop.source}: {drop.rule}: {drop.detail}" for drop in islice(read_ledger(ledger), 3))
