"""Checkpoints and token sets of all states, and what each checkpoint has read, by the order of training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.order import PhasedOrder, initial_lineage, sequence_borders, sequences_before
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
            length, fingerprint, seed = settings["context_length"], lineage["tokens_fingerprint"], lineage["seed"]
            before = sequences_before(initial_lineage(lineage), fingerprint, length, seed)
            return cls(fingerprint, seed, length, settings["batch_tokens"] // length, lineage["steps"], before)
        except (KeyError, TypeError, ZeroDivisionError):
            return None

    def exposure(self, tokens: TokenSet, starts: np.ndarray, lengths: np.ndarray) -> "Exposure":
        """What the run has read of some documents.

        Args:
            starts: position of each document's first token, int64 (documents,).
            lengths: tokens of each, int64 (documents,).
        """
        order = tokens.order(self.length, self.seed)
        last = np.minimum((starts + lengths - 1) // self.length, order.count - 1)  # the end of the stream is not read
        first = np.minimum(starts // self.length, order.count - 1)
        each = last - first + 1
        offsets = np.arange(each.sum()) - np.repeat(np.cumsum(each) - each, each)
        numbers, rows = np.repeat(first, each) + offsets, np.repeat(np.arange(len(starts)), each)
        begin, end = np.maximum(starts[rows], numbers * self.length), (numbers + 1) * self.length
        overlap = np.maximum(np.minimum(starts[rows] + lengths[rows], end) - begin, 0)
        distinct, inverse = np.unique(numbers, return_inverse=True)
        times, steps = np.zeros(len(distinct), dtype=np.int64), []
        stop = self.before + self.steps * self.batch
        for epoch in range(self.before // order.count, (stop - 1) // order.count + 1):
            indices = order.indices(distinct, epoch)
            inside = (indices >= self.before) & (indices < stop)
            times += inside
            steps.append((indices[inside] - self.before) // self.batch + 1)
        read = np.bincount(rows, weights=overlap * times[inverse], minlength=len(starts)).astype(np.int64)
        return Exposure(read, np.unique(np.concatenate(steps)) if steps else np.empty(0, dtype=np.int64))


@dataclass(frozen=True)
class Exposure:
    """Tokens read of each document, int64 (documents,), and the steps that read them, int64, ascending, from 1."""

    tokens: np.ndarray
    steps: np.ndarray


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
