"""Curation: normalise, apply the rules, drop exact duplicates. Every drop stands in the ledger.

Shards are judged by the engine, in parallel and in order; duplicates are found here, over all shards, by the digest of
the normalised text, so the first document of a text in the order of the sources is the one that stays.
"""

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components.curation.rules import first_failure
from components.curation.text import normalise
from components.documents import (
    Document,
    DocumentWriter,
    Drop,
    check_balance,
    document_id,
    shards,
    write_ledger,
)
from components.engine import map_shards
from components.errors import StepError
from components.files import atomic_directory
from components.params import CurationParams, Params
from components.progress import Progress
from components.tracking import Tracker

STEP = "curation"


def run(inputs: dict[str, Any], outputs: dict[str, Any], params: Params, tracker: Tracker) -> dict[str, Any]:
    units = _row_groups(inputs["documents"])
    drops: list[Drop] = []
    figures: Counter[str] = Counter()
    with atomic_directory(outputs["output"]) as output:
        with DocumentWriter(output) as writer:
            for verdict in _curate(units, params, figures):
                if isinstance(verdict, Drop):
                    drops.append(verdict)
                else:
                    writer.write(verdict)
                    figures[f"kept_{verdict.kind}"] += 1
                    figures["kept_bytes"] += len(verdict.text.encode())
        check_balance(STEP, figures["rows_in"], writer.rows, len(drops))
        if not writer.rows:
            raise StepError(
                f"no document of {figures['rows_in']:,} is left; first drops: {_first(drops)}; loosen curation.*"
            )
    write_ledger(outputs["ledger"], drops)  # last: it may lie in the directory, which is replaced as a whole
    return _summary(writer.rows, drops, figures)


def _row_groups(directory: Path) -> list[tuple[Path, int]]:
    """The units of work: row groups, which bound the memory of a worker whatever the size of a shard."""
    return [(path, group) for path in shards(directory) for group in range(pq.ParquetFile(path).num_row_groups)]


def _curate(units: list[tuple[Path, int]], params: Params, figures: Counter[str]) -> Iterator[Document | Drop]:
    seen: set[bytes] = set()  # 16 bytes a document: a hundred million fit in a few GB
    progress = Progress(len(units))
    judge = partial(judge_row_group, params=params.curation)
    for done, verdicts in enumerate(map_shards(judge, units, params.engine), start=1):
        for verdict in verdicts:
            figures["rows_in"] += 1
            yield _unless_seen(verdict, seen)
        progress.update(done, documents=figures["rows_in"])


def _unless_seen(verdict: Document | Drop, seen: set[bytes]) -> Document | Drop:
    if isinstance(verdict, Drop):
        return verdict
    digest = bytes.fromhex(verdict.id)
    if digest in seen:
        raw_id = verdict.metadata.get("raw_id", verdict.id)
        return Drop(
            raw_id,
            STEP,
            "exact_duplicate",
            None,
            None,
            f"same normalised text as document {verdict.id}",
            verdict.source,
        )
    seen.add(digest)
    return verdict


def judge_row_group(unit: tuple[Path, int], params: CurationParams) -> list[Document | Drop]:
    """Normalise and judge the documents of one row group, in order."""
    path, group = unit
    return [judge(row, params) for row in pq.ParquetFile(path).read_row_group(group).to_pylist()]


def judge(row: dict[str, Any], params: CurationParams) -> Document | Drop:
    """One raw row as a curated document, or as a drop with the first rule that it fails."""
    text = normalise(row["text"])
    failure = first_failure(text, row["kind"], params)
    if failure:
        return Drop(row["id"], STEP, failure.rule, failure.value, failure.threshold, failure.detail, row["source"])
    metadata = json.loads(row["metadata"])
    new_id = document_id(text)
    if new_id != row["id"]:
        metadata["raw_id"] = row["id"]  # leads back to the raw document
    return Document(**{**row, "id": new_id, "text": text, "metadata": metadata})


def _first(drops: list[Drop]) -> str:
    return "; ".join(f"{drop.source}: {drop.rule}: {drop.detail}" for drop in drops[:3])


def _summary(kept: int, drops: list[Drop], figures: Counter[str]) -> dict[str, Any]:
    rules = Counter(drop.rule for drop in drops)
    return {
        "documents_in": figures["rows_in"],
        "documents_kept": kept,
        "documents_dropped": len(drops),
        "keep_fraction": round(kept / figures["rows_in"], 4),
        "kept_megabytes": round(figures["kept_bytes"] / 1e6, 3),
        "kept": {
            name.removeprefix("kept_"): n
            for name, n in sorted(figures.items())
            if name.startswith("kept_") and name != "kept_bytes"
        },
        "dropped": dict(sorted(rules.items())),
    }
