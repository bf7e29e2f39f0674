"""The data of a run on disk: what curation reported, its documents and those that it dropped, read a page at a time."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.documents import count_documents, read_batches, shard_batches, shards
from components.files import read_json
from flows.settings import workspace_folders

REPORT = "reports/curation/curation.json"
SYNTHESIS = "reports/synthesize.json"
CURATED, TEXTBOOKS, DROPPED, RAW = "curated", "textbooks", "dropped", "raw"
FOLDERS = {CURATED: "data/curated", TEXTBOOKS: "data/textbooks", DROPPED: "data/ledger", RAW: "data/raw"}
LEDGER = "curation.parquet"  # of what curation dropped; that of synthesis has questions
COLUMNS = ("id", "kind", "source", "license", "created_by", "educational_value", "text")
LEDGER_COLUMNS = ("id", "source", "rule", "value", "threshold", "detail")
SEARCHED_S = 2.0  # seconds after which a search stops and says how far it got


@dataclass(frozen=True)
class Corpus:
    """The data of the main folder (an empty key) or of a workspace."""

    key: str
    folder: Path

    @property
    def report(self) -> dict[str, Any]:
        """The content of `curation.json`, as `components.curation.page.figures` describes it."""
        return read_json(self.folder / REPORT, "a run writes it when it curates")

    @property
    def teacher(self) -> dict[str, Any]:
        """Kind of the teacher that wrote the textbooks, and for an endpoint its calls, tokens and cost; empty without."""
        path = self.folder / SYNTHESIS
        return dict(read_json(path, "").get("teacher", {})) if path.is_file() else {}

    @property
    def changed(self) -> int:
        """When it was curated last."""
        return (self.folder / REPORT).stat().st_mtime_ns


@dataclass(frozen=True)
class Found:
    """A page of documents, and how many of all were looked at for it."""

    rows: Sequence[Mapping[str, Any]]
    looked_at: int
    of: int

    @property
    def whole(self) -> bool:
        return self.looked_at >= self.of


def corpora(root: Path) -> list[Corpus]:
    """The main folder and the workspaces whose run has curated, latest first."""
    places = [Corpus("", root), *(Corpus(folder.name, folder) for folder in workspace_folders(root))]
    return sorted((one for one in places if (one.folder / REPORT).is_file()), key=lambda one: -one.changed)


def documents(corpus: Corpus, which: str, text: str = "", rule: str = "", most: int = 50) -> Found:
    """The first documents of a set with all words of a text, without regard to case.

    Args:
        which: CURATED, TEXTBOOKS or DROPPED; a dropped document has rule, value and threshold, but no text.
        rule: of dropped documents, the only rule to show.
    """
    folder = corpus.folder / FOLDERS[which]
    ledger = folder / LEDGER
    if not (ledger.is_file() if which == DROPPED else folder.is_dir()):
        return Found([], 0, 0)
    if which == DROPPED:
        total, searched = pq.read_metadata(ledger).num_rows, ("source", "detail")
        batches = shard_batches(ledger, list(LEDGER_COLUMNS))
    else:
        total, searched = count_documents(folder), ("text", "source")
        batches = read_batches(folder, list(COLUMNS))
    rows: list[dict[str, Any]] = []
    began, looked_at = time.monotonic(), 0
    for batch in batches:
        part = pa.Table.from_batches([batch])
        rows += _matching(part, searched, text.split(), rule).slice(0, most - len(rows)).to_pylist()
        looked_at += part.num_rows
        if len(rows) >= most or time.monotonic() - began > SEARCHED_S:
            break
    return Found(rows, looked_at, total)


def document(corpus: Corpus, which: str, identifier: str) -> dict[str, Any] | None:
    """A document with its text; for a dropped one, that of the raw document with this id. None if it is not here."""
    folder = corpus.folder / FOLDERS[RAW if which == DROPPED else which]
    for path in shards(folder) if folder.is_dir() else ():
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):  # the ids alone: a row group of texts may have megabytes
                place = pc.index(file.read_row_group(group, columns=["id"])["id"], pa.scalar(identifier)).as_py()
                if place >= 0:
                    return dict(file.read_row_group(group, columns=list(COLUMNS)).slice(place, 1).to_pylist()[0])
    return None


def _matching(part: pa.Table, searched: Sequence[str], words: Sequence[str], rule: str) -> pa.Table:
    for word in words:
        found = [pc.fill_null(pc.match_substring(part[name], word, ignore_case=True), False) for name in searched]
        part = part.filter(pc.or_(*found))
    return part.filter(pc.equal(part["rule"], rule)) if rule else part
