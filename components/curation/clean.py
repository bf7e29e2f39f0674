"""The first phase of curation: a row group of raw documents, repaired and judged.

Its result is a folder:

- `documents.parquet`: the documents that pass all rules
- `drops.parquet`: the others, as rows of the ledger
- `sketches.npy`: MinHash sketches of the documents, for deduplication
- `lengths.npy`: their lengths in characters, for the strata of the labelled sample
- `foreign.npy`: which of them are not in English
- `figures.json`: counts, and the benchmark items in the documents
"""

import functools
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.curation import language
from components.curation.decontamination import BenchmarkIndex, Hit, shown
from components.curation.duplicates.sketches import save_sketches
from components.curation.filters import code, web
from components.curation.filters.urls import UrlLists, address_of
from components.curation.privacy.redact import redact
from components.curation.rules import Failure, first_failure
from components.curation.tally import count_rows
from components.curation.text import repair
from components.documents import DOCUMENT, KINDS, Document, Drop, LedgerWriter, document_id, metadata_of
from components.errors import StepError
from components.files import save_array, write_json
from components.params import CurationParams, LanguageParams
from components.params.web_rules import WebRulesParams
from components.text.shingles import sketch

STEP = "curation"
DOCUMENTS, DROPS, SKETCHES, FIGURES = "documents.parquet", "drops.parquet", "sketches.npy", "figures.json"
LENGTHS, FOREIGN = "lengths.npy", "foreign.npy"
# Keys of the metadata that curation writes.
OWN = ("cluster_size", "language", "lines_removed", "passages_removed", "raw_id", "redacted")
DETAIL = 400  # maximum characters of a sentence in the ledger
REMEDY = "run the step that wrote it again"
CHARACTERS = 4_000_000  # of text judged at once (at least one document); bounds the memory of a worker

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class RowGroup:
    """A unit of work: row groups bound the memory of a worker whatever the size of a shard."""

    path: Path
    stamp: tuple[int, ...]  # of the shard when it was hashed; shows whether it has changed since
    number: int
    params: CurationParams
    benchmarks: Path | None  # the index of benchmark items, which no document may contain; None = no index
    urls: Path | None = None  # the block lists of addresses; None = no lists


def row_groups(
    paths: Sequence[Path], params: CurationParams, benchmarks: Path | None, urls: Path | None = None
) -> dict[str, RowGroup]:
    """The row groups of shards, in order, each by a name that identifies its content."""
    found = {}
    for path in paths:
        stamp = _stamp(path)
        for number, sha256 in enumerate(_sha256_of_row_groups(path)):
            name = sha256[:32]
            while name in found:  # a repeated row group is curated each time
                name += "+"
            found[name] = RowGroup(path.resolve(), stamp, number, params, benchmarks, urls)
    return found


def _sha256_of_row_groups(path: Path) -> Iterator[str]:
    """The hash of each row group's bytes, which are contiguous, so that adding a row group changes no other hash."""
    metadata = pq.read_metadata(path)
    with open(path, "rb") as file:
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            columns = [group.column(place) for place in range(group.num_columns)]
            file.seek(min(column.dictionary_page_offset or column.data_page_offset for column in columns))
            size = sum(column.total_compressed_size for column in columns)
            yield hashlib.sha256(file.read(size)).hexdigest()


def _stamp(path: Path) -> tuple[int, ...]:
    """Values that change when a file is written or replaced."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


def clean(unit: RowGroup, folder: Path) -> None:
    """Write the result of a row group into a folder."""
    rows_in, checked, hits, lengths, foreign, counts = 0, 0, [], [], [], []
    redacted: Counter[str] = Counter()
    sketches = [sketch([], unit.params.duplicates.permutations)]
    index = _index(unit.benchmarks) if unit.benchmarks else None
    urls = _urls(unit.urls) if unit.urls else None
    with (
        pq.ParquetWriter(folder / DOCUMENTS, DOCUMENT, compression="zstd") as writer,
        LedgerWriter(folder / DROPS) as ledger,
    ):
        for rows in _portions(read_rows(unit)):
            kept, rules, rows_in = [], [], rows_in + len(rows)
            for row, (verdict, found) in zip(rows, judge(rows, unit.params, index, urls), strict=True):
                checked += found is not None
                if found:  # a pair for each row: the ledger lists equal documents separately
                    hits.append([row["id"], [asdict(hit) for hit in found]])
                rules.append(verdict.rule if isinstance(verdict, Drop) else "")
                if isinstance(verdict, Drop):
                    ledger.write(verdict)
                else:
                    kept.append(verdict)
                    lengths.append(len(verdict.text))
                    foreign.append(language.is_foreign(verdict.metadata.get("language")))
                    redacted.update(verdict.metadata.get("redacted", {}))
            counts += count_rows(rows, rules)
            writer.write_table(pa.Table.from_pylist([document.row() for document in kept], schema=DOCUMENT))
            sketches.append(sketch([document.text for document in kept], unit.params.duplicates.permutations))
    save_sketches(folder / SKETCHES, np.concatenate(sketches))
    save_array(folder / LENGTHS, np.array(lengths, dtype=np.int64))
    save_array(folder / FOREIGN, np.array(foreign, dtype=bool))
    figures = {"documents": rows_in, "checked": checked, "redacted": redacted, "hits": hits, "counts": counts}
    write_json(folder / FIGURES, figures)


def read_rows(unit: RowGroup) -> pa.Table:
    """The rows of a unit, checked against the contract of documents.

    Raises:
        StepError: the shard is damaged, breaks the contract, or has been changed since the run began.
    """
    place = f"{unit.path}, row group {unit.number}"
    try:
        with pq.ParquetFile(unit.path) as file:
            table = file.read_row_group(unit.number, columns=DOCUMENT.names).select(DOCUMENT.names)
        table.validate(full=True)  # also that texts are UTF-8
    except (pa.ArrowException, OSError) as error:
        raise StepError(f"{place} cannot be read ({error}); {REMEDY}") from error
    if _stamp(unit.path) != unit.stamp:
        raise StepError(f"{unit.path} changed while it was curated; run again once nothing writes there")
    _check_rows(table, place)
    return table


def _check_rows(table: pa.Table, place: str) -> None:
    for column in DOCUMENT:
        if not column.nullable and (empty := table[column.name].null_count):
            row = pc.index(pc.is_null(table[column.name]), True).as_py()
            raise StepError(f"{place}: {column.name} is null in {empty} rows, first in row {row}; {REMEDY}")
    unknown = set(pc.unique(table["kind"]).to_pylist()) - set(KINDS)
    if unknown:
        raise StepError(f"{place}: kind {sorted(unknown)[0]!r}; expected one of {', '.join(KINDS)}; {REMEDY}")


@functools.lru_cache(maxsize=1)
def _index(folder: Path) -> BenchmarkIndex:
    return BenchmarkIndex.load(folder)


@functools.lru_cache(maxsize=1)
def _urls(folder: Path) -> UrlLists:
    return UrlLists.load(folder)


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
    rows: Rows, params: CurationParams, benchmarks: BenchmarkIndex | None = None, urls: UrlLists | None = None
) -> Iterator[tuple[Document | Drop, list[Hit] | None]]:
    """Each raw row as a repaired document, or as a drop with the first rule that it fails; and the benchmark items that it
    contains. These are None if nobody searched for them: the row failed a rule, or its kind is not checked.
    """
    kinds = [row["kind"] for row in rows]
    own = [metadata_of(row["metadata"], f"{row['id']} from {row['source']}") for row in rows]
    texts = [repair(row["text"], row["kind"]) for row in rows]
    languages = language.verdicts(texts, kinds, params.language)
    failures = [
        (urls.first_failure(address_of(row["source"], said)) if urls else None)
        or _foreign(found, row["kind"], params.language)
        or first_failure(text, row["kind"], params)
        or (code.first_failure(text, row["source"], params.code, said) if row["kind"] in params.code.kinds else None)
        for row, said, text, found in zip(rows, own, texts, languages, strict=True)
    ]
    of_web = [index for index, kind in enumerate(kinds) if kind in params.web.kinds and not failures[index]]
    removed = [0] * len(rows)  # lines
    spoken = [language.of(languages[index]) for index in of_web]
    for index, verdict in zip(of_web, web_verdicts([texts[i] for i in of_web], spoken, params.web), strict=True):
        failures[index], texts[index], removed[index] = verdict.failure, verdict.text, verdict.lines_removed
    passed = [index for index, failure in enumerate(failures) if not failure]
    hits: list[list[Hit] | None] = [None] * len(rows)
    if benchmarks:
        checked = [index for index in passed if kinds[index] in params.decontamination.kinds]
        looked_for = benchmarks.find([texts[index] for index in checked], [kinds[index] for index in checked])
        for index, found in zip(checked, looked_for, strict=True):
            if found:  # few documents have a hit, so redacting only those costs almost nothing
                found = shown(found, _redacted(texts[index], kinds[index], params, languages[index])[0])
                if params.decontamination.action == "drop":
                    failures[index] = _contaminated(found[0])
            hits[index] = found
    judged = zip(rows, own, texts, removed, languages, failures, hits, strict=True)
    for row, said, text, gone, identified, failure, found in judged:
        if failure:
            # Cut after redaction, which would miss half a secret.
            detail = _redacted(failure.detail, row["kind"], params, identified)[0][:DETAIL]
            yield Drop(row["id"], STEP, failure.rule, failure.value, failure.threshold, detail, row["source"]), found
            continue
        metadata = {_apart(key): value for key, value in said.items()}
        text, redacted = _redacted(text, row["kind"], params, identified)
        if identified:
            metadata["language"] = identified[0]
        if gone:
            metadata["lines_removed"] = gone
        if redacted:
            metadata["redacted"] = dict(sorted(redacted.items()))
        new_id = document_id(text)
        if new_id != row["id"]:
            metadata["raw_id"] = row["id"]  # leads back to the raw document
        yield Document(**{**row, "id": new_id, "text": text, "metadata": metadata}), found


def web_verdicts(texts: Sequence[str], languages: Sequence[str], params: WebRulesParams) -> list[web.Verdict]:
    """The verdict of the web rules on each text, by the rules for its language."""
    found = [web.Verdict(None, text) for text in texts]
    for spoken in sorted(set(languages)):
        these = [index for index, one in enumerate(languages) if one == spoken]
        verdicts = web.judge([texts[index] for index in these], language.web_rules(params, spoken))
        for index, verdict in zip(these, verdicts, strict=True):
            found[index] = verdict
    return found


def _redacted(
    text: str, kind: str, params: CurationParams, identified: tuple[str, float] | None
) -> tuple[str, Counter[str]]:
    return redact(text, kind, params.privacy, identified[0] if identified else None)


def _apart(key: str) -> str:
    """A key of the source's metadata, renamed where it equals one of ours."""
    return f"source_{key}" if key in OWN else key


def _contaminated(hit: Hit) -> Failure:
    detail = f"holds {hit.benchmark} {hit.item}: {hit.excerpt}"
    return Failure(f"contaminated_{hit.rule}", hit.value, hit.threshold, detail)


def _foreign(found: tuple[str, float] | None, kind: str, params: LanguageParams) -> Failure | None:
    """The failure of a text in a language that is not kept; None if the language is kept."""
    if not found or not params.keep or kind not in params.kinds:
        return None
    name, probability = found
    if name not in params.keep:
        detail = f"language {name} ({probability:.2f}); {', '.join(params.keep)} stay"
        return Failure("language", probability, params.min_probability, detail)
    if probability < params.min_probability:
        detail = f"language {name} with a probability of {probability:.2f} alone"
        return Failure("language_probability", probability, params.min_probability, detail)
    return None
