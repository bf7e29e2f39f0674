"""Documents of all states: found by id, source, licence, teacher or prompt; with their fate and its reason."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.documents import DOCUMENT
from components.exclusions import inside
from components.tracing.states import Files, State, read_columns

COLUMNS = ["id", "kind", "source", "license", "created_by", "educational_value", "metadata"]
RAW, CURATED, WRITTEN = "ingest", "curate", "synthesize"  # the stages whose outputs are sets of documents
STAGES = (CURATED, WRITTEN, RAW)  # in the order in which a document is looked for
LEAST_DIGITS = 8  # of an id
REPORT = "reports/curation/curation.json"


Condition = Callable[[pa.Table], Any]  # rows to the mask of those that are meant


@dataclass(frozen=True)
class DocumentSet:
    """A set of documents of a state: what a stage of STAGES wrote."""

    state: State
    stage: str
    path: str
    md5: str
    files: Files

    def read(self, columns: Sequence[str], condition: Condition | None = None) -> pa.Table:
        """The rows that meet a condition, of the files that are on this machine."""
        parts = (read_columns(path, columns) for path in self.shards)
        return joined([part.filter(condition(part)) if condition else part for part in parts], columns)

    def describe(self, needed: Sequence[str], condition: Condition, most: int) -> list[dict[str, Any]]:
        """The first documents that meet a condition on the columns `needed`, as plain values."""
        found: list[dict[str, Any]] = []
        for path in self.shards:
            if len(found) < most:
                matches = condition(read_columns(path, needed))
                if pc.any(matches).as_py():
                    found += read_columns(path, COLUMNS).filter(matches).slice(0, most - len(found)).to_pylist()
        return [describe(row, self) for row in found]

    @property
    def shards(self) -> list[Path]:
        names = filter(is_shard, self.files.names(self.state, self.path))
        found = (self.files.find(self.state, f"{self.path}/{name}") for name in names)
        return [path for path in found if path is not None]


def joined(parts: Sequence[pa.Table], columns: Sequence[str]) -> pa.Table:
    """Tables of documents one after another; an empty one without any."""
    nothing = pa.Table.from_batches([], pa.schema([DOCUMENT.field(name) for name in columns]))
    return pa.concat_tables([nothing, *parts])


def is_shard(name: str) -> bool:
    return name.startswith("part-") and name.endswith(".parquet")


def find_sets(files: Files, states: Sequence[State], stages: Sequence[str] = STAGES) -> list[DocumentSet]:
    """The sets of documents, each once, in the order of `stages`."""
    found: dict[str, DocumentSet] = {}
    for stage in stages:
        for state in states:
            for out in state.stages.get(stage, {}).get("outs", []):
                path, md5 = out["path"], out.get("md5", "")
                if md5 not in found and md5.endswith(".dir") and any(map(is_shard, files.names(state, path))):
                    found[md5] = DocumentSet(state, stage, path, md5, files)
    return list(found.values())


def _starts(column: Any, text: str) -> Any:
    return pc.starts_with(column, text)


def by_id(given: str) -> Condition:
    """Documents with this id or its first digits, and those made from it (`raw_id`, `seed_document`)."""
    made = [f'"{key}": "{given}' for key in ("raw_id", "seed_document")]
    return lambda rows: pc.or_(
        _starts(rows["id"], given),
        pc.or_(*(pc.match_substring(rows["metadata"], text) for text in made)),
    )


def exactly(column: Any, text: str, after: str = "$", ignore_case: bool = False) -> Any:
    """The rows that are a text, or begin with it and go on as a pattern says.

    Not `pc.equal`: a Python value makes pyarrow import pandas, a quarter of a second.
    """
    pattern = "^" + "".join(rf"\x{{{ord(char):x}}}" for char in text) + after
    return pc.match_substring_regex(column, pattern, ignore_case=ignore_case)


def _once(column: Any, test: Callable[[Any], Any]) -> Any:
    """A test of a column with few distinct values, made once for each of them."""
    values = column.combine_chunks().dictionary_encode()
    return test(values.dictionary).take(values.indices)


def by_source(given: str) -> Condition:
    """Documents of a source, or inside it as for exclusions: `python:json` also means `python:json.loads`."""
    below = inside(given)
    stem = given.rstrip(below)

    def matches(rows: pa.Table) -> Any:
        begins = _starts(rows["source"], stem)  # ten times as fast as the pattern
        return exactly(rows["source"], stem, f"([{below}]|$)") if pc.any(begins).as_py() else begins

    return matches


def by_licence(given: str) -> Condition:
    return lambda rows: _once(rows["license"], lambda values: exactly(values, given, ignore_case=True))


def by_teacher(given: str) -> Condition:
    """Documents written by a teacher: `procedural`, `procedural/1`, or the name of a model."""

    def matches(values: Any) -> Any:
        named = pc.or_(_starts(values, f"{given}:"), _starts(values, f"{given}/"))
        return pc.and_(pc.match_substring(values, ":"), pc.or_(named, pc.match_substring(values, f"/{given}:")))

    return lambda rows: _once(rows["created_by"], matches)


def by_prompt(given: str) -> Condition:
    """Documents written from a prompt: its id (`exercises`), or the hash of the prompt or of the request."""

    def matches(rows: pa.Table) -> Any:
        found = _once(rows["created_by"], lambda values: pc.ends_with(values, f":{given}"))
        if not is_hex(given):
            return found
        hashes = [f'"{key}": "{given}' for key in ("prompt_sha256", "request_sha256")]
        return pc.or_(found, pc.or_(*(pc.match_substring(rows["metadata"], text) for text in hashes)))

    return matches


def is_hex(given: str, least: int = LEAST_DIGITS) -> bool:
    return len(given) >= least and set(given) <= set("0123456789abcdef")


FINDERS = {"document": by_id, "source": by_source, "licence": by_licence, "teacher": by_teacher, "prompt": by_prompt}
NEEDS = {"document": ["id", "metadata"], "source": ["source"], "licence": ["license"], "teacher": ["created_by"]}


def needs(kind: str) -> list[str]:
    """The columns that a finder reads."""
    return NEEDS.get(kind, ["created_by", "metadata"])


def describe(row: Mapping[str, Any], place: DocumentSet) -> dict[str, Any]:
    """A document as plain values, with the reason why it was kept."""
    metadata = _metadata(row["metadata"])
    described = {name: row[name] for name in ("id", "kind", "source", "license", "created_by")}
    described |= {"stage": place.stage, "why": why(row, metadata, place)}
    for key in ("raw_id", "seed_document", "format", "job", "teacher", "verification", "part_of"):
        if metadata.get(key):
            described[key] = metadata[key]
    return described


def _metadata(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def why(row: Mapping[str, Any], metadata: Mapping[str, Any], place: DocumentSet) -> str:
    """Why a document stands in its set, in one line."""
    if place.stage == RAW:
        return "read from its source"
    if place.stage == WRITTEN:
        record = metadata.get("verification") or {}
        return f"verified: {record.get('method', 'unknown')}, {record.get('passed', 'unknown')} passed"
    parts = ["passed every rule"]
    value = row["educational_value"]
    if value is not None:
        threshold = thresholds(place).get(row["kind"])
        least = "no threshold" if threshold is None else f"at least {threshold:g}"
        parts.append(f"educational value {value:.2f} of 5 ({least})")
    if size := metadata.get("cluster_size"):
        parts.append(f"stands for {size} documents with equal or nearly equal text")
    if redacted := metadata.get("redacted"):
        parts.append("redacted: " + ", ".join(f"{name} {count}" for name, count in sorted(redacted.items())))
    return "; ".join(parts)


def thresholds(place: DocumentSet) -> dict[str, float]:
    """The least educational value by kind that decided in this state: computed by the run, or else configured."""
    report = place.files.json(place.state, REPORT)
    if learned := (report.get("education") or {}).get("thresholds"):
        return learned
    params = place.state.stages[CURATED].get("params", {}).get("params.yaml", {})
    return params.get("curation", {}).get("education", {}).get("min_value", {})


def drops(files: Files, states: Sequence[State], condition: Condition) -> Iterator[dict[str, Any]]:
    """The ledgers' rows that meet a condition, each once."""
    seen = set()
    for state in states:
        for out, (stage, md5) in state.outs.items():
            if out.startswith("data/ledger/") and md5 not in seen and (path := files.find(state, out)):
                seen.add(md5)
                table = read_columns(path, ["id", "rule", "detail", "source"])
                yield from ({"stage": stage} | row for row in table.filter(condition(table)).to_pylist())
