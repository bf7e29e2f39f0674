"""The first phase of curation: a row group of raw documents, repaired and judged.

Its result is a folder:

- `documents.parquet`: what passes all rules, as documents
- `drops.parquet`: what doesn't, as rows of the ledger
- `sketches.npy`: MinHash sketches of the documents, for deduplication
- `lengths.npy`: their characters, for the strata of the sample that is labelled
- `figures.json`: what was counted, and the items of benchmarks that were found
"""

import functools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.curation import language
from components.curation.decontamination import BenchmarkIndex, Hit
from components.curation.duplicates.sketches import save_sketches, sketch
from components.curation.gates import code, web
from components.curation.privacy.redact import redact
from components.curation.rules import Failure, first_failure
from components.curation.tally import count_rows
from components.curation.text import repair
from components.documents import DOCUMENT, Document, Drop, LedgerWriter, document_id, shards
from components.files import sha256_file, write_json
from components.params import CurationParams, LanguageParams

STEP = "curation"
DOCUMENTS, DROPS, SKETCHES, FIGURES = "documents.parquet", "drops.parquet", "sketches.npy", "figures.json"
LENGTHS = "lengths.npy"
OWN = ("cluster_size", "language", "lines_removed", "raw_id", "redacted")  # keys of the metadata that curation writes
CHARACTERS = 4_000_000  # of text judged at once, at least a document; bounds the memory of a worker

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class RowGroup:
    """A unit of work: row groups bound the memory of a worker whatever the size of a shard."""

    path: Path
    number: int
    params: CurationParams
    benchmarks: Path | None  # where the index of what may not stand in a document is, if there is any


def row_groups(directory: Path, params: CurationParams, benchmarks: Path | None) -> dict[str, RowGroup]:
    """The row groups of a document set, in order, each by a name that tells its content."""
    found = {}
    for path in shards(directory):
        sha256 = sha256_file(path)
        for number in range(pq.read_metadata(path).num_row_groups):
            name = f"{sha256[:24]}-{number}"
            while name in found:  # a shard that is there twice is curated twice
                name += "+"
            found[name] = RowGroup(path.resolve(), number, params, benchmarks)
    return found


def clean(unit: RowGroup, folder: Path) -> None:
    """Write the result of a row group into a folder."""
    rows_in, redacted, hits, lengths, counts = 0, Counter(), {}, [], []
    sketches = [sketch([], unit.params.duplicates)]
    index = _index(unit.benchmarks) if unit.benchmarks else None
    with (
        pq.ParquetWriter(folder / DOCUMENTS, DOCUMENT, compression="zstd") as writer,
        LedgerWriter(folder / DROPS) as ledger,
    ):
        for rows in _portions(pq.ParquetFile(unit.path).read_row_group(unit.number)):
            kept, rules, rows_in = [], [], rows_in + len(rows)
            for row, (verdict, found) in zip(rows, judge(rows, unit.params, index), strict=True):
                if found:
                    hits[row["id"]] = [asdict(hit) for hit in found]
                rules.append(verdict.rule if isinstance(verdict, Drop) else "")
                if isinstance(verdict, Drop):
                    ledger.write(verdict)
                else:
                    kept.append(verdict)
                    lengths.append(len(verdict.text))
                    redacted.update(verdict.metadata.get("redacted", {}))
            counts += count_rows(rows, rules)
            writer.write_table(pa.Table.from_pylist([document.row() for document in kept], schema=DOCUMENT))
            sketches.append(sketch([document.text for document in kept], unit.params.duplicates))
    save_sketches(folder / SKETCHES, np.concatenate(sketches))
    np.save(folder / LENGTHS, np.array(lengths, dtype=np.int64), allow_pickle=False)
    write_json(folder / FIGURES, {"documents": rows_in, "redacted": redacted, "hits": hits, "counts": counts})


@functools.lru_cache(maxsize=1)
def _index(folder: Path) -> BenchmarkIndex:
    return BenchmarkIndex.load(folder)


def _portions(table: pa.Table) -> Iterator[Rows]:
    """The rows, as many at a time as CHARACTERS allows, at least one."""
    ends = np.cumsum(pc.utf8_length(table["text"]).to_numpy())
    start = 0
    while start < table.num_rows:
        before = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + CHARACTERS, side="right")))
        yield table.slice(start, end - start).to_pylist()
        start = end


def judge(
    rows: Rows, params: CurationParams, benchmarks: BenchmarkIndex | None = None
) -> Iterator[tuple[Document | Drop, list[Hit]]]:
    """Each raw row as a document in its new form, or as a drop with the first rule that it fails; and the items of benchmarks
    that it holds, if the rules let it through.
    """
    kinds = [row["kind"] for row in rows]
    texts = [repair(row["text"], row["kind"]) for row in rows]
    languages = language.verdicts(texts, kinds, params.language)
    failures = [
        _foreign(found, params.language)
        or first_failure(text, row["kind"], params)
        or (code.first_failure(text, row["source"], params.code) if row["kind"] in params.code.kinds else None)
        for row, text, found in zip(rows, texts, languages, strict=True)
    ]
    of_web = [index for index, kind in enumerate(kinds) if kind in params.web.kinds and not failures[index]]
    removed = [0] * len(rows)  # lines
    for index, verdict in zip(of_web, web.judge([texts[index] for index in of_web], params.web), strict=True):
        failures[index], texts[index], removed[index] = verdict.failure, verdict.text, verdict.lines_removed
    passed = [index for index, failure in enumerate(failures) if not failure]
    hits: list[list[Hit]] = [[] for _ in rows]
    if benchmarks:
        looked_for = benchmarks.find([texts[index] for index in passed], [kinds[index] for index in passed])
        for index, found in zip(passed, looked_for, strict=True):
            hits[index] = found
            if found and params.decontamination.action == "drop":
                failures[index] = _contaminated(found[0])
    for row, text, gone, spoken, failure, found in zip(rows, texts, removed, languages, failures, hits, strict=True):
        if failure:
            reason = (failure.rule, failure.value, failure.threshold, failure.detail)
            yield Drop(row["id"], STEP, *reason, row["source"]), found
            continue
        metadata = {_apart(key): value for key, value in json.loads(row["metadata"]).items()}
        text, redacted = redact(text, row["kind"], params.privacy)
        if spoken:
            metadata["language"] = spoken[0]
        if gone:
            metadata["lines_removed"] = gone
        if redacted:
            metadata["redacted"] = dict(sorted(redacted.items()))
        new_id = document_id(text)
        if new_id != row["id"]:
            metadata["raw_id"] = row["id"]  # leads back to the raw document
        yield Document(**{**row, "id": new_id, "text": text, "metadata": metadata}), found


def _apart(key: str) -> str:
    """A key of the source's own metadata, which may not pass for one of ours."""
    return f"source_{key}" if key in OWN else key


def _contaminated(hit: Hit) -> Failure:
    detail = f"holds {hit.benchmark} {hit.item}: {hit.excerpt}"
    return Failure(f"contaminated_{hit.rule}", hit.value, hit.threshold, detail)


def _foreign(found: tuple[str, float] | None, params: LanguageParams) -> Failure | None:
    """The failure of a text in another language than those that stay."""
    if not found or not params.keep:
        return None
    name, probability = found
    if name not in params.keep:
        detail = f"language {name} ({probability:.2f}); {', '.join(params.keep)} stay"
        return Failure("language", probability, params.min_probability, detail)
    if probability < params.min_probability:
        detail = f"language {name} with a probability of {probability:.2f} alone"
        return Failure("language_probability", probability, params.min_probability, detail)
    return None
