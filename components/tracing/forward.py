"""From documents forward to every checkpoint that has read them, how often and at which steps, and to its scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.tracing.checkpoints import SPLITS, Checkpoint, Places, Reading, TokenSet
from components.tracing.documents import FINDERS, RAW, Condition, drops, find_sets, needs
from components.tracing.project import Project
from components.tracing.starts import Start
from components.tracing.states import integers

MOST_LOOKED_UP = 1000  # documents for which the ledgers are read


@dataclass(frozen=True, eq=False)
class Found:
    """The chosen documents in a stream: start, length and id of each place, of which a repeated document has several."""

    tokens: TokenSet
    starts: np.ndarray
    lengths: np.ndarray
    ids: pa.Array

    @cached_property
    def one_copy(self) -> int:
        """Tokens of the documents, each counted once."""
        _, first = np.unique(integers(self._distinct.indices), return_index=True)
        return int(self.lengths[first].sum())

    @property
    def documents(self) -> int:
        return len(self._distinct.dictionary)

    @cached_property
    def _distinct(self) -> pa.DictionaryArray:
        return self.ids.dictionary_encode()

    @cached_property
    def _places(self) -> dict[int, Places]:
        return {}

    def figures(self, reading: Reading) -> dict[str, Any]:
        """Tokens that a run has read of them, how often it has read a document on average, and its steps."""
        length = reading.length
        if length not in self._places:
            self._places[length] = Places.of(self.starts, self.lengths, self.tokens, length)
        exposure = reading.exposure(self.tokens, self._places[length])
        tokens = exposure.tokens
        return {"tokens": tokens, "times": round(tokens / self.one_copy, 2), "steps": exposure.steps.tolist()}


Rows = dict[tuple[str, str], Found]  # by fingerprint and split


def forward(project: Project, start: Start, shown: int = 5) -> dict[str, Any]:
    """Everything that has read the documents of a start.

    Args:
        shown: maximum documents described one by one.

    Returns:
        start, documents (count, shown, dropped), tokens, checkpoints and missing.
    """
    ids, described, chosen = _chosen(project, start, shown)
    found: dict[str, Any] = {"start": {"kind": start.kind, "given": start.given}}
    dropped = list(drops(project.files, project.states, _named(ids, start.given))) if chosen <= MOST_LOOKED_UP else []
    found["documents"] = {"count": chosen, "shown": described, "dropped": dropped[:shown]}
    missing: list[str] = []
    rows = _rows(project, ids, missing)
    found["tokens"] = [
        {
            "fingerprint": fingerprint,
            "state": project.tokens[fingerprint].state.title,
            "split": split,
            "documents": one.documents,
            "times": len(one.ids),
            "tokens": int(one.lengths.sum()),
        }
        for (fingerprint, split), one in rows.items()
    ]
    known: dict[Reading, dict[str, Any]] = {}
    every = (_seen(project, same, rows, known) for same in project.checkpoints.values())
    found["checkpoints"] = [one for one in every if one]
    return found | {"missing": missing}


def _named(ids: pa.Array, given: str) -> Condition:
    """Rows with one of the ids; without ids, those whose id begins with what was given."""
    return lambda rows: pc.is_in(rows["id"], ids) if len(ids) else pc.starts_with(rows["id"], given)


def _chosen(project: Project, start: Start, shown: int) -> tuple[pa.Array, list[dict[str, Any]], int]:
    """Ids of the documents, some of them described, and their number; documents of ingestion only if no later set has any."""
    condition, ids = FINDERS[start.kind](start.given), []
    described: list[dict[str, Any]] = []
    later = False
    for place in find_sets(project.files, project.states):
        if place.stage == RAW and later and start.kind != "document":
            continue
        columns = sorted({"id", *needs(start.kind)})
        matched = place.read(columns, condition)
        if not matched.num_rows:
            continue
        later = later or place.stage != RAW
        ids.append(matched["id"].combine_chunks())
        if len(described) < shown:
            known = {(one["id"], one["stage"]) for one in described}
            new = place.describe(columns, condition, shown)
            described += [one for one in new if (one["id"], one["stage"]) not in known][: shown - len(described)]
    together = pc.unique(pa.chunked_array(ids, type=pa.string()))
    return together, described, len(together)


def _rows(project: Project, ids: pa.Array, missing: list[str]) -> Rows:
    """Where the documents stand in each token set."""
    found: Rows = {}
    for fingerprint, tokens in project.tokens.items():
        for split in SPLITS:
            table = tokens.table(split, ["id", "start", "length"])
            if table is None:
                missing.append(
                    f"{tokens.path} of {tokens.state.title} is not on this machine; get it with: phiforge pull {tokens.path}"
                )
                continue
            table = table.filter(pc.is_in(table["id"], ids))
            if table.num_rows:
                starts, lengths = integers(table["start"]), integers(table["length"])
                found[fingerprint, split] = Found(tokens, starts, lengths, table["id"].combine_chunks())
    return found


def _seen(
    project: Project, same: Sequence[Checkpoint], rows: Rows, known: dict[Reading, dict[str, Any]]
) -> dict[str, Any] | None:
    """What a checkpoint has read of the documents; None if nothing."""
    first = same[0]
    links: list[dict[str, Any]] = []
    for via, lineage in first.links():
        reading = Reading.of(lineage)
        found = rows.get((reading.fingerprint, "train")) if reading else None
        if reading is None or found is None:
            continue
        if reading not in known:
            known[reading] = found.figures(reading)
        if known[reading]["tokens"]:
            links.append({"via": via, "of_steps": reading.steps} | known[reading])
    if not links:
        return None
    weights = project.weights(first)
    return {
        "path": first.path,
        "states": [one.state.title for one in same],
        "weights_sha256": weights,
        "versions": [version.address for version in project.versions_of(weights)],
        "aliases": [alias for version in project.versions_of(weights) for alias in version.aliases],
        "read": links,
        "times": round(sum(link["times"] for link in links), 2),
        "scores": project.scores(first),
    }
