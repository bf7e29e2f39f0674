"""Batches of a token stream in the order of `components.order`, and the held-out sequences."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.errors import StepError
from components.order import PhasedOrder, sequence_borders
from components.results.statistics import ratio
from components.tokens import TokenSplit


@dataclass(frozen=True)
class Batch:
    """Tokens and their targets, both int64 (B, T).

    Attributes:
        starts: positions in the stream at which sequences begin, for all devices' parts of the micro-batch.
        documents: number of the document that each token belongs to, int64 (B, T); None if attention does not need it.
    """

    tokens: Tensor
    targets: Tensor
    starts: tuple[int, ...]
    documents: Tensor | None = None

    def to(self, device: torch.device | str) -> "Batch":
        documents = None if self.documents is None else self.documents.to(device)
        return Batch(self.tokens.to(device), self.targets.to(device), self.starts, documents)


def read_batch(split: TokenSplit, sequences: np.ndarray, length: int, documents: bool = False) -> Batch:
    """Sequences by number: number i covers tokens [i * length, (i + 1) * length], targets shifted by one."""
    starts = tuple(int(number) * length for number in sequences)
    rows = torch.from_numpy(np.stack([split.read(start, length + 1) for start in starts]))
    numbers = None
    if documents:
        numbers = torch.from_numpy(split.rows_at(np.add.outer(np.array(starts), np.arange(length))))
    return Batch(rows[:, :-1].contiguous(), rows[:, 1:].contiguous(), starts, numbers)


@dataclass(eq=False)
class BatchLoader:
    """Micro-batches of a whole training run, in order. It has a length, so that Lightning does not prefetch.

    Attributes:
        split: the training tokens, cut into `(len - 1) // length` sequences.
        length: tokens per sequence.
        sequences: sequences per micro-batch of one device.
        batches: micro-batches of the run; after an epoch the next epoch's order follows.
        seed: seed of the order.
        first: micro-batch to begin with.
        devices: number of devices that share a micro-batch: each reads its `sequences` of `sequences * devices`.
        documents: whether each batch has the document of every token.
        rank: number of this device.
        read: sequences that the start of the run was trained on in this order; the run goes on after them.
    """

    split: TokenSplit
    length: int
    sequences: int
    batches: int
    seed: int
    first: int = 0
    devices: int = 1
    documents: bool = False
    rank: int = 0
    read: int = 0

    @cached_property
    def order(self) -> PhasedOrder:
        return PhasedOrder(sequence_borders(self.split.phases, self.length), self.seed)

    def __len__(self) -> int:
        return self.batches - self.first

    def __iter__(self) -> Iterator[Batch]:
        for number in range(self.first, self.batches):
            everyone = self.numbers(number)
            mine = everyone[self.rank * self.sequences : (self.rank + 1) * self.sequences]
            batch = read_batch(self.split, mine, self.length, self.documents)
            yield replace(batch, starts=tuple(int(n) * self.length for n in everyone))

    def numbers(self, batch: int) -> np.ndarray:
        """Sequence numbers of a micro-batch, of all devices; int64 (sequences * devices,)."""
        together = self.sequences * self.devices
        return self.order.at(self.read + np.arange(batch * together, (batch + 1) * together))

    @property
    def total(self) -> int:
        """Sequences that the whole run reads."""
        return self.batches * self.sequences * self.devices

    @property
    def phases_unread(self) -> int:
        """The number of phases at the end of the stream that neither the run nor its start reaches."""
        return int((self.order.borders[:-1] >= self.read + self.total).sum())

    def tokens_by_kind(self) -> dict[str, int]:
        """Tokens that the whole run reads, by kind of document; kinds that it doesn't read are left out."""
        counts = self._first(self.read + self.total) - self._first(self.read)
        return {kind: int(n) for kind, n in zip(self.split.kinds[0], counts, strict=True) if n}

    def _first(self, sequences: int) -> np.ndarray:
        """Tokens of each kind in the first `sequences` of the order, int64 (kinds,)."""
        passes, rest = divmod(sequences, self.order.count)
        first = int(self.order.borders[self.order.borders <= rest].max())  # the phase in which the last pass ends
        counts = passes * self._count(np.array([0]), self.order.count) + self._count(np.array([0]), first)
        # Blocks limit the memory. They are large, since counting a few sequences costs as much as counting many.
        block = max(100_000, self.split.counts["documents"])
        for begin in range(first, rest, block):
            index = np.arange(begin, min(begin + block, rest))
            counts += self._count(self.order.at(passes * self.order.count + index), 1)
        return counts

    def _count(self, numbers: np.ndarray, together: int) -> np.ndarray:
        """Tokens of each kind in `together` sequences from each number on, int64 (kinds,)."""
        starts = np.sort(numbers) * self.length
        return self.split.tokens_by_kind(starts + together * self.length) - self.split.tokens_by_kind(starts)

    @property
    def epochs(self) -> float:
        """Number of passes of the run over the data."""
        return self.total / self.order.count


def by_sequence(codes: np.ndarray, kinds: int, values: np.ndarray | None = None) -> np.ndarray:
    """Sum of values by sequence and kind, float64 (B, kinds); without values, the number of tokens.

    Args:
        codes: kind of each token, int64 (B, T).
        kinds: number of kinds.
        values: value of each token, (B, T).
    """
    places = np.arange(len(codes))[:, None] * kinds + codes
    weights = None if values is None else values.ravel()
    sums = np.bincount(places.ravel(), weights=weights, minlength=len(codes) * kinds)
    return sums.astype(np.float64).reshape(len(codes), kinds)


@dataclass(frozen=True)
class HeldOut:
    """Validation sequences at even distances over the held-out stream.

    Attributes:
        batches: the sequences.
        kinds: names of the kinds of documents among the targets.
        codes: for each batch, the index into `kinds` of every target's document, int64 (B, T).
        tokens: number of targets of each kind, int64 (kinds,).
        bytes: bytes of UTF-8 text in the targets of each kind, float64 (kinds,).
    """

    batches: tuple[Batch, ...]
    kinds: tuple[str, ...]
    codes: tuple[Tensor, ...]
    tokens: np.ndarray
    bytes: np.ndarray

    @classmethod
    def choose(
        cls,
        split: TokenSplit,
        length: int,
        tokens: int,
        micro_batch_tokens: int,
        documents: bool = False,
        every: int = 1,
    ) -> "HeldOut":
        """Take up to `tokens` held-out tokens as whole sequences of `length`, and of these every `every`-th.

        Raises:
            StepError: the split is shorter than one sequence.
        """
        numbers = split.spread(length, tokens)
        if not len(numbers):
            raise StepError(
                f"the validation split has {len(split):,} tokens; one sequence of training.context_length {length} needs "
                f"{length + 1}; lower training.context_length, raise tokenization.validation_kilobytes, or add text to ingestion.sources"
            )
        numbers, group = numbers[::every], max(1, micro_batch_tokens // length)
        groups = [numbers[i : i + group] for i in range(0, len(numbers), group)]
        batches = tuple(read_batch(split, group, length, documents) for group in groups)
        rows = [split.rows_at(np.add.outer(group * length + 1, np.arange(length))) for group in groups]
        names, of_row = split.kinds
        of_row = np.asarray(of_row)
        present = np.unique(np.concatenate([of_row[r].ravel() for r in rows]))
        codes = [np.searchsorted(present, of_row[r]) for r in rows]
        bytes_per_token = split.documents["bytes"].to_numpy() / split.documents["length"].to_numpy()  # (documents,)
        flat = np.concatenate([c.ravel() for c in codes])
        weights = np.concatenate([bytes_per_token[r].ravel() for r in rows])
        return cls(
            batches,
            tuple(names[i] for i in present),
            tuple(torch.from_numpy(c) for c in codes),
            np.bincount(flat, minlength=len(present)),
            np.bincount(flat, weights=weights, minlength=len(present)),
        )


@dataclass(frozen=True)
class HeldOutLoss:
    """Cross-entropy over held-out text: overall, and per kind of document.

    Attributes:
        nats: sum over the targets of each kind in each sequence, float64 (sequences, kinds).
    """

    held_out: HeldOut
    nats: np.ndarray

    @property
    def loss(self) -> float:
        """Nats per token."""
        return float(self.nats.sum() / self.held_out.tokens.sum())

    @property
    def stderr(self) -> float | None:
        """Standard error of the loss, in nats per token; None for a single sequence."""
        return ratio(self.nats.sum(axis=1), self.tokens.sum(axis=1)).stderr

    @property
    def bits_per_byte(self) -> float:
        """Bits per byte, comparable between tokenizers."""
        return float(self.nats.sum() / math.log(2) / self.held_out.bytes.sum())

    def by_kind(self) -> dict[str, dict[str, Any]]:
        """For each kind: tokens, nats per token with their standard error, and bits per byte."""
        rows = zip(self.held_out.kinds, self.nats.T, self.tokens.T, self.held_out.bytes, strict=True)
        return {
            kind: {
                "tokens": int(tokens.sum()),
                "validation_loss": float(nats.sum() / tokens.sum()),
                "validation_loss_stderr": ratio(nats, tokens).stderr,
                "bits_per_byte": float(nats.sum() / math.log(2) / size),
            }
            for kind, nats, tokens, size in rows
        }

    @property
    def tokens(self) -> np.ndarray:
        """Targets of each kind in each sequence, float64 (sequences, kinds)."""
        return np.concatenate([by_sequence(codes.numpy(), len(self.held_out.kinds)) for codes in self.held_out.codes])
