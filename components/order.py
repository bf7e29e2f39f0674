"""The order in which a training run reads the sequences of a token stream: a pure function of (seed, epoch, index).

An index is the whole state of the order, so any step can be reached directly, and two models with the same seed and tokens
see the same batches. In every epoch the phases of the stream (a curriculum) follow one another; within a phase the
sequences are shuffled. The order can be inverted, so that a document leads to the steps that read it. Nothing here
imports torch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.tokens import split_mix

ROUNDS = 6
MOST_TOKENS = 2**53  # a larger number in a lineage is a mistake or an attack, and too large for int64 positions


class SequenceOrder:
    """A permutation of range(count) for every epoch, computed index by index (a Feistel network with cycle walking;
    Black and Rogaway, "Ciphers with Arbitrary Finite Domains"). Its memory does not depend on the count."""

    def __init__(self, count: int, seed: int) -> None:
        if count < 1:
            raise ValueError(f"an order of {count} sequences")
        self.count, self.seed = count, seed
        self._half_bits = max(1, ((count - 1).bit_length() + 1) // 2)
        self._mask = np.uint64((1 << self._half_bits) - 1)

    def at(self, index: np.ndarray) -> np.ndarray:
        """Sequence numbers, int64, at the positions `index` of an endless run: epoch = index // count."""
        epoch, place = np.divmod(np.asarray(index, dtype=np.int64), self.count)
        key = split_mix(epoch.astype(np.uint64) + split_mix(np.full(epoch.shape, self.seed, dtype=np.uint64)))
        place = self._encrypt(place.astype(np.uint64), key)
        while (outside := place >= self.count).any():
            place[outside] = self._encrypt(place[outside], key[outside])
        return place.astype(np.int64)

    def places(self, numbers: np.ndarray, epoch: int) -> np.ndarray:
        """The inverse of `at` within one epoch: the places, int64 below `count`, at which sequences are read."""
        key = split_mix(np.uint64(epoch) + split_mix(np.array([self.seed], dtype=np.uint64)))
        found = self._decrypt(np.asarray(numbers).astype(np.uint64), key)
        while (outside := found >= self.count).any():
            found[outside] = self._decrypt(found[outside], key)
        return found.astype(np.int64)

    def _decrypt(self, place: np.ndarray, key: np.ndarray) -> np.ndarray:
        left, right = place >> np.uint64(self._half_bits), place & self._mask
        for number in reversed(range(ROUNDS)):
            left, right = right ^ (split_mix(left + split_mix(key + np.uint64(number))) & self._mask), left
        return left << np.uint64(self._half_bits) | right

    def _encrypt(self, place: np.ndarray, key: np.ndarray) -> np.ndarray:
        left, right = place >> np.uint64(self._half_bits), place & self._mask
        for number in range(ROUNDS):
            left, right = right, left ^ (split_mix(right + split_mix(key + np.uint64(number))) & self._mask)
        return left << np.uint64(self._half_bits) | right


class PhasedOrder:
    """Sequence numbers of the whole run: each epoch reads every sequence once, phase by phase.

    Args:
        borders: sequence numbers at which phases begin, and the end; int64 (phases + 1,), ascending from 0.
    """

    def __init__(self, borders: np.ndarray, seed: int) -> None:
        self.borders = np.unique(np.asarray(borders, dtype=np.int64))  # a phase shorter than a sequence is left out
        self.count = int(self.borders[-1])
        self._orders = [SequenceOrder(int(n), seed + i) for i, n in enumerate(np.diff(self.borders))]

    def at(self, index: np.ndarray) -> np.ndarray:
        """Sequence numbers, int64, at the positions `index` of an endless run: epoch = index // count."""
        epoch, place = np.divmod(np.asarray(index, dtype=np.int64), self.count)
        phase = np.searchsorted(self.borders, place, side="right") - 1
        numbers = np.empty_like(place)
        for i, order in enumerate(self._orders):
            here, first = phase == i, self.borders[i]
            numbers[here] = first + order.at(epoch[here] * order.count + place[here] - first)
        return numbers

    def indices(self, numbers: np.ndarray, epoch: int) -> np.ndarray:
        """The inverse of `at`: the positions, int64, at which an epoch of the run reads these sequences."""
        numbers = np.asarray(numbers, dtype=np.int64)
        phase = np.searchsorted(self.borders, numbers, side="right") - 1
        places = np.empty_like(numbers)
        for i, order in enumerate(self._orders):
            here, first = phase == i, self.borders[i]
            places[here] = first + order.places(numbers[here] - first, epoch)
        return epoch * self.count + places


def sequence_borders(phases: np.ndarray, length: int) -> np.ndarray:
    """Borders of a stream's phases in whole sequences, int64 (phases + 1,). A sequence across a border belongs to the
    later phase.

    Args:
        phases: positions at which phases begin, and the end of the stream; int64 (phases + 1,).
    """
    borders = phases // length
    borders[-1] = (phases[-1] - 1) // length
    return np.minimum(borders, borders[-1])


def initial_lineage(lineage: Mapping[str, Any]) -> Mapping[str, Any]:
    """The lineage of the checkpoint that this one was made from; empty if it is unknown or not in this project's form."""
    initial = lineage.get("initial")
    before = initial.get("lineage") if isinstance(initial, Mapping) else None
    return before if isinstance(before, Mapping) else {}


def sequences_before(lineage: Mapping[str, Any], fingerprint: str, length: int, seed: int) -> int:
    """Sequences that a run's start and its ancestors were trained on in the order of this run, which goes on after them.

    An ancestor with other tokens or another seed had another order, and one of another project says nothing, so what it
    read is not known to come first: the count ends there.

    Args:
        lineage: that of the start; empty for random weights.
        fingerprint: of the run's tokens.
        length: tokens per sequence.
    """
    count = 0
    while lineage:
        if lineage.get("tokens_fingerprint") not in (None, fingerprint):
            break
        if lineage.get("step") == "training":
            read = lineage.get("training_tokens")
            if lineage.get("seed") != seed or not isinstance(read, int) or not 0 <= read < MOST_TOKENS:
                break
            count += read // length
        lineage = initial_lineage(lineage)
    return count
