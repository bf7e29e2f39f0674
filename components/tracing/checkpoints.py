"""Checkpoints and token sets of all states, and what each checkpoint has read, by the order of training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.order import MOST_TOKENS, PhasedOrder, initial_lineage, sequence_borders, sequences_before
from components.tokens import INDEX, MANIFEST, phase_positions
from components.tracing.states import Files, State, read_columns

LINEAGE = "lineage.json"
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class TokenSet:
    """A tokens directory of a state."""

    state: State
    path: str
    manifest: Mapping[str, Any]
    files: Files

    @property
    def fingerprint(self) -> str:
        return str(self.manifest["fingerprint"])

    def table(self, split: str, columns: Sequence[str]) -> pa.Table | None:
        """Columns of a split's index; None if the file is not on this machine."""
        found = self.files.find(self.state, f"{self.path}/{split}/{INDEX}")
        return None if found is None else read_columns(found, columns)

    def shards(self) -> list[Path]:
        """The files of the training tokens; empty if one is not on this machine."""
        names = [shard["file"] for shard in self.manifest["splits"]["train"]["shards"]]
        found = [self.files.find(self.state, f"{self.path}/train/{name}") for name in names]
        return [path for path in found if path is not None] if None not in found else []

    @cached_property
    def _order(self) -> Any:
        phases = phase_positions(self.manifest["splits"]["train"])
        return lru_cache(maxsize=None)(lambda length, seed: PhasedOrder(sequence_borders(phases, length), seed))

    def order(self, length: int, seed: int) -> PhasedOrder:
        return self._order(length, seed)


@dataclass(frozen=True)
class Reading:
    """The part of an order that a training run reads.

    Attributes:
        fingerprint: of the tokens.
        length: tokens per sequence.
        batch: sequences per step.
        before: sequences of the order that its start had read.
    """

    fingerprint: str
    seed: int
    length: int
    batch: int
    steps: int
    before: int

    @classmethod
    def of(cls, lineage: Mapping[str, Any]) -> "Reading | None":
        """From the lineage of a training run; None for another step or form."""
        try:
            settings = lineage["params"]["training"]
            numbers = settings["context_length"], settings["batch_tokens"], lineage["seed"], lineage["steps"]
            fingerprint = lineage["tokens_fingerprint"]
        except (KeyError, TypeError):
            return None
        length, batch, seed, steps = numbers
        known = all(isinstance(one, int) for one in numbers) and isinstance(fingerprint, str)
        if not known or min(length, steps) < 1 or batch < length or seed < 0 or steps * batch > MOST_TOKENS:
            return None
        before = sequences_before(initial_lineage(lineage), fingerprint, length, seed)
        return cls(fingerprint, seed, length, batch // length, steps, before)

    def touched(self, tokens: TokenSet, starts: np.ndarray) -> np.ndarray:
        """Which documents the run has read at all, bool (documents,), from the starts of all documents of the stream."""
        stop = self.before + self.steps * self.batch
        numbers = np.unique(tokens.order(self.length, self.seed).at(np.arange(self.before, stop)))
        change = np.zeros(len(starts) + 1, dtype=np.int64)
        np.add.at(change, np.searchsorted(starts, numbers * self.length, side="right") - 1, 1)
        np.add.at(change, np.searchsorted(starts, (numbers + 1) * self.length - 1, side="right"), -1)
        return np.cumsum(change)[:-1] > 0

    def exposure(self, tokens: TokenSet, places: "Places") -> "Exposure":
        """What the run has read of some documents, in places of sequences of `length` tokens."""
        order = tokens.order(self.length, self.seed)
        stop = self.before + self.steps * self.batch
        epochs = range(self.before // order.count, (stop - 1) // order.count + 1)
        if len(places.sequences) * len(epochs) <= stop - self.before:  # where are these read?
            indices = np.concatenate([order.indices(places.sequences, epoch) for epoch in epochs])
            at = np.tile(np.arange(len(places.sequences)), len(epochs))
            inside = (indices >= self.before) & (indices < stop)
        else:  # which of these does each index of the run read?
            indices = np.arange(self.before, stop)
            at = places.sequence_at[order.at(indices)]
            inside = at >= 0
        times = np.bincount(at[inside], minlength=len(places.sequences))
        return Exposure(places, times, np.unique((indices[inside] - self.before) // self.batch + 1))


@dataclass(frozen=True)
class Places:
    """Where documents stand in the sequences of a stream. Each piece is the part of a document in one sequence.

    Attributes:
        documents: their number.
        rows, tokens: document and tokens of each piece, int64 (pieces,).
        sequences: numbers of the sequences with a piece, int64, ascending.
        piece_at: index into `sequences` of each piece, int64 (pieces,).
        count: sequences of the stream.
    """

    documents: int
    rows: np.ndarray
    tokens: np.ndarray
    sequences: np.ndarray
    piece_at: np.ndarray
    count: int

    @classmethod
    def of(cls, starts: np.ndarray, lengths: np.ndarray, tokens: TokenSet, length: int) -> "Places":
        """The places of documents that begin at `starts` and have `lengths` tokens, int64 (documents,) each."""
        last_read = tokens.order(length, 0).count - 1  # the rest of the stream, shorter than a sequence, is not read
        first = np.minimum(starts // length, last_read)
        each = np.minimum((starts + lengths - 1) // length, last_read) - first + 1
        rows = np.repeat(np.arange(len(starts)), each)
        numbers = first[rows] + np.arange(len(rows)) - np.repeat(np.cumsum(each) - each, each)
        begin, end = (
            np.maximum(starts[rows], numbers * length),
            np.minimum(starts[rows] + lengths[rows], (numbers + 1) * length),
        )
        sequences, piece_at = np.unique(numbers, return_inverse=True)
        return cls(len(starts), rows, np.maximum(end - begin, 0), sequences, piece_at, last_read + 1)

    @cached_property
    def sequence_at(self) -> np.ndarray:
        """Index into `sequences` of each sequence of the stream, int64 (count,); -1 if none of them."""
        found = np.full(self.count, -1)
        found[self.sequences] = np.arange(len(self.sequences))
        return found

    @cached_property
    def tokens_at(self) -> np.ndarray:
        """Tokens of all documents in each sequence, int64 (sequences,)."""
        return np.bincount(self.piece_at, weights=self.tokens, minlength=len(self.sequences)).astype(np.int64)


@dataclass(frozen=True)
class Exposure:
    """How often a run has read each sequence of some places, and the steps that read one of them, ascending from 1."""

    places: Places
    times: np.ndarray
    steps: np.ndarray

    @property
    def tokens(self) -> int:
        """Tokens of the documents that were read."""
        return int(self.places.tokens_at @ self.times)

    @property
    def by_document(self) -> np.ndarray:
        """The same for each document, int64 (documents,)."""
        weights = self.places.tokens * self.times[self.places.piece_at]
        return np.bincount(self.places.rows, weights=weights, minlength=self.places.documents).astype(np.int64)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a state: its output or a folder in it."""

    state: State
    path: str
    key: str  # md5 of the output, and the path in it
    lineage: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The path below `models`."""
        return self.path.removeprefix("models/")

    @property
    def stage(self) -> str:
        return self.state.outs[self.state.owner(self.path)][0]

    def links(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The training runs behind it: itself, its start and that start's, and the teacher of each; name and lineage."""
        yield from _links(self.lineage, "itself")


def _links(lineage: Mapping[str, Any], name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    chain, label = lineage, name
    while chain:
        if chain.get("step") == "training":
            yield label, chain
            teacher = chain.get("teacher")
            if isinstance(teacher, Mapping) and isinstance(before := teacher.get("lineage"), Mapping):
                yield from _links(before, f"its teacher {before.get('model', '')}".strip())
        chain = initial_lineage(chain)
        label = f"its start {chain.get('model', '')}".strip()


def find_checkpoints(files: Files, states: Sequence[State]) -> dict[str, list[Checkpoint]]:
    """All checkpoints of the states by their content, each with the states that have it."""
    found: dict[str, list[Checkpoint]] = {}
    for state in states:
        for out, (_, md5) in state.outs.items():
            if not md5.endswith(".dir") or out.startswith(("reports", "data")):
                continue
            for name in files.names(state, out):
                if name.split("/")[-1] == LINEAGE:
                    below = name.removesuffix(LINEAGE).rstrip("/")
                    key = f"{md5}/{below}"
                    path = f"{out}/{below}".rstrip("/")
                    known = found.setdefault(key, [])
                    lineage = known[0].lineage if known else files.json(state, f"{out}/{name}")
                    known.append(Checkpoint(state, path, key, lineage))
    return found


def find_tokens(files: Files, states: Sequence[State]) -> dict[str, TokenSet]:
    """All token sets of the states by fingerprint."""
    found: dict[str, TokenSet] = {}
    seen: set[str] = set()
    for state in states:
        for out, (_, md5) in state.outs.items():
            if md5.endswith(".dir") and md5 not in seen and out.startswith("data/"):
                seen.add(md5)
                names = files.names(state, out)
                manifest = files.json(state, f"{out}/{MANIFEST}") if f"train/{INDEX}" in names else {}
                if isinstance(manifest.get("fingerprint"), str):
                    found.setdefault(manifest["fingerprint"], TokenSet(state, out, manifest, files))
    return found
