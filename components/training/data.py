"""Sequences of a token stream in an order that is a pure function of (seed, epoch, index).

Nothing but an index says where a run stands, so any step can be reached without walking there, and two models that
share seed and tokens see the same batches.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from components.errors import StepError
from components.tokens import TokenSplit

ROUNDS = 6


class SequenceOrder:
    """A permutation of range(count) for every epoch, computed index by index (a Feistel network with cycle walking;
    Black and Rogaway, "Ciphers with Arbitrary Finite Domains"). Takes no memory, whatever the count."""

    def __init__(self, count: int, seed: int) -> None:
        if count < 1:
            raise ValueError(f"an order of {count} sequences")
        self.count, self.seed = count, seed
        self._half_bits = max(1, ((count - 1).bit_length() + 1) // 2)
        self._mask = np.uint64((1 << self._half_bits) - 1)

    def at(self, index: np.ndarray) -> np.ndarray:
        """Sequence numbers, int64, at the positions `index` of the endless run: epoch = index // count."""
        index = np.asarray(index, dtype=np.int64)
        epoch, place = np.divmod(index, self.count)
        key = _mix(epoch.astype(np.uint64) + _mix(np.full(epoch.shape, self.seed, dtype=np.uint64)))
        place = self._encrypt(place.astype(np.uint64), key)
        while (outside := place >= self.count).any():
            place[outside] = self._encrypt(place[outside], key[outside])
        return place.astype(np.int64)

    def _encrypt(self, place: np.ndarray, key: np.ndarray) -> np.ndarray:
        left, right = place >> np.uint64(self._half_bits), place & self._mask
        for number in range(ROUNDS):
            left, right = right, left ^ (_mix(right + _mix(key + np.uint64(number))) & self._mask)
        return left << np.uint64(self._half_bits) | right


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: every bit of the result depends on every bit of `x`, modulo 2^64."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


@dataclass(frozen=True)
class Batch:
    """Tokens and their targets, both int64 (B, T); `starts` are the sequences' positions in the stream."""

    tokens: Tensor
    targets: Tensor
    starts: tuple[int, ...]

    def to(self, device: torch.device | str) -> "Batch":
        return Batch(self.tokens.to(device), self.targets.to(device), self.starts)


def read_batch(split: TokenSplit, sequences: np.ndarray, length: int) -> Batch:
    """Sequences by number: number i covers tokens [i * length, (i + 1) * length], targets shifted by one."""
    starts = tuple(int(number) * length for number in sequences)
    rows = torch.from_numpy(np.stack([split.read(start, length + 1) for start in starts]))
    return Batch(rows[:, :-1].contiguous(), rows[:, 1:].contiguous(), starts)


class BatchLoader:
    """Micro-batches of a whole training run, in order. Sized, so that Lightning prefetches none.

    Args:
        split: the training tokens, cut into `(len - 1) // length` sequences.
        length: tokens a sequence.
        sequences: sequences a micro-batch.
        batches: micro-batches of the run; where they exceed an epoch the next epoch's order follows.
        first: micro-batch to begin with.
    """

    def __init__(self, split: TokenSplit, length: int, sequences: int, batches: int, seed: int, first: int = 0) -> None:
        self.split, self.length, self.sequences, self.batches, self.first = split, length, sequences, batches, first
        self.order = SequenceOrder((len(split) - 1) // length, seed)

    def __len__(self) -> int:
        return self.batches - self.first

    def __iter__(self) -> Iterator[Batch]:
        for number in range(self.first, self.batches):
            index = np.arange(number * self.sequences, (number + 1) * self.sequences)
            yield read_batch(self.split, self.order.at(index), self.length)

    @property
    def epochs(self) -> float:
        """Passes over the data that the run makes."""
        return self.batches * self.sequences / self.order.count


@dataclass(frozen=True)
class HeldOut:
    """Validation sequences, evenly spread over the held-out stream, and the UTF-8 bytes that their targets stand for."""

    batches: tuple[Batch, ...]
    tokens: int
    bytes: float

    @classmethod
    def choose(cls, split: TokenSplit, length: int, tokens: int, micro_batch_tokens: int) -> "HeldOut":
        """Take up to `tokens` held-out tokens as whole sequences of `length`.

        Raises:
            StepError: the split is shorter than one sequence.
        """
        available = (len(split) - 1) // length
        if available < 1:
            raise StepError(
                f"the validation split has {len(split):,} tokens; one sequence of training.context_length {length} needs "
                f"{length + 1}: raise tokenization.validation_fraction or give more text"
            )
        count = min(available, max(1, tokens // length))
        numbers = np.arange(count) * available // count
        group = max(1, micro_batch_tokens // length)
        batches = tuple(read_batch(split, numbers[i : i + group], length) for i in range(0, count, group))
        return cls(batches, count * length, bytes_of(split, numbers * length + 1, length))


def bytes_of(split: TokenSplit, starts: np.ndarray, length: int) -> float:
    """UTF-8 bytes behind the tokens [start, start + length) for each start. A document that is covered in part counts
    in proportion to its tokens."""
    sizes = split.documents["bytes"].to_numpy()
    borders = np.append(split.documents["start"].to_numpy(), len(split))
    total = np.append(0, np.cumsum(sizes))
    return float((np.interp(starts + length, borders, total) - np.interp(starts, borders, total)).sum())
