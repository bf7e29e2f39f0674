"""Packs examples into sequences, in which attention stays within each example, and batches of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from components.order import PhasedOrder
from components.phi.model import IGNORE
from components.training.data import Batch
from components.tuning.examples import Example

OPEN = 64  # bins that take further examples; more would fill them little better


@dataclass(frozen=True)
class Texts(Batch):
    """A micro-batch of packed examples.

    Attributes:
        count: number of answers; `documents` numbers them from 0, and the padding of each row from `count`.
        reference: log-probability of each answer under the start, float32 (count,); None if the objective needs none.
        weight: of this micro-batch's mean loss within its step.
        kept: for unlearning, of which answers the loss must stay low; bool (count,).
    """

    count: int = 0
    reference: Tensor | None = None
    weight: float = 1.0
    kept: Tensor | None = None

    def to(self, device: torch.device | str) -> "Texts":
        moved = {
            name: value.to(device)
            for name in ("tokens", "targets", "documents", "reference", "kept")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **moved)


def pack(examples: Sequence[Example], length: int, seed: int) -> list[list[int]]:
    """Numbers of the examples of each bin, first fit in an order drawn by the seed. A bin has a sequence of `length` for
    each side of its examples."""
    bins: list[list[int]] = []
    free: list[list[int]] = []  # of the last OPEN bins, by side
    for number in np.random.default_rng(seed).permutation(len(examples)).tolist():
        needed = examples[number].lengths
        for place, left in enumerate(free):
            if all(need <= have for need, have in zip(needed, left, strict=True)):
                bins[len(bins) - len(free) + place].append(number)
                free[place] = [have - need for need, have in zip(needed, left, strict=True)]
                break
        else:
            bins.append([number])
            free = [*free, [length - need for need in needed]][-OPEN:]
    return bins


@dataclass(eq=False)
class Packed:
    """Examples of one file in bins.

    Attributes:
        references: log-probabilities of each example's sides under the start, float32 (examples, sides).
    """

    examples: Sequence[Example]
    length: int
    end: int
    seed: int
    references: Tensor | None = None

    @cached_property
    def bins(self) -> list[list[int]]:
        return pack(self.examples, self.length, self.seed)

    @cached_property
    def order(self) -> PhasedOrder:
        return PhasedOrder(np.array([0, len(self.bins)]), self.seed)

    @property
    def sides(self) -> int:
        return len(self.examples[0].tokens)

    def at(self, first: int, count: int) -> list[int]:
        """Numbers of the bins at `count` places of an endless run from `first` on."""
        return self.order.at(np.arange(first, first + count)).tolist()

    def batch(self, bins: Sequence[int]) -> Texts:
        """The sequences of some bins: for each bin one of each side. Answers are numbered by bin, example and side."""
        rows = [(number, side) for number in bins for side in range(self.sides)]
        shape = len(rows), self.length
        tokens, targets = np.full(shape, self.end), np.full(shape, IGNORE)
        documents = np.empty(shape, dtype=np.int64)
        count = sum(len(self.bins[number]) for number in bins) * self.sides
        documents[:] = count + np.arange(len(rows))[:, None]
        first, row, references = 0, 0, []
        for number in bins:
            members = self.bins[number]
            for side in range(self.sides):
                place = 0
                for i, member in enumerate(members):
                    example = self.examples[member]
                    here = slice(place, place := place + example.lengths[side])
                    tokens[row, here], targets[row, here] = example.tokens[side], example.targets[side]
                    documents[row, here] = first + i * self.sides + side
                row += 1
            first += len(members) * self.sides
            if self.references is not None:
                references.append(self.references[members].flatten())
        return Texts(
            torch.from_numpy(tokens),
            torch.from_numpy(targets),
            tuple(bins),
            torch.from_numpy(documents),
            count,
            torch.cat(references) if references else None,
        )


def joined(first: Texts, second: Texts) -> Texts:
    """Two micro-batches as one, the answers of the second as those to keep."""
    assert first.documents is not None
    assert second.documents is not None
    own, whole = first.count, first.count + second.count
    rows = len(first.tokens)
    numbers = torch.cat(  # answers first, then padding
        [
            torch.where(first.documents < own, first.documents, first.documents - own + whole),
            torch.where(second.documents < second.count, second.documents + own, second.documents + own + rows),
        ]
    )
    references = [one.reference if one.reference is not None else torch.zeros(one.count) for one in (first, second)]
    return Texts(
        torch.cat([first.tokens, second.tokens]),
        torch.cat([first.targets, second.targets]),
        first.starts,
        numbers,
        whole,
        torch.cat(references) if first.reference is not None else None,
        kept=torch.arange(whole) >= own,
    )


@dataclass(eq=False)
class Loader:
    """Micro-batches of a whole run, in order.

    Attributes:
        packed: the examples.
        bins: bins per micro-batch.
        micro_batches: micro-batches per step.
        steps: steps of the run; after an epoch the next one's order follows.
        retain: examples to retain; each micro-batch gets `bins` of them too.
        first: micro-batch to begin with.
    """

    packed: Packed
    bins: int
    micro_batches: int
    steps: int
    retain: Packed | None = None
    first: int = 0
    rank: int = field(default=0)  # the training loop sets it; there is one device

    def __len__(self) -> int:
        return self.steps * self.micro_batches - self.first

    def __iter__(self) -> Iterator[Texts]:
        for number in range(self.first, self.steps * self.micro_batches):
            batch = self.packed.batch(self.packed.at(number * self.bins, self.bins))
            if self.retain is not None:
                batch = joined(batch, self.retain.batch(self.retain.at(number * self.bins, self.bins)))
            yield replace(batch, weight=self.weight(number))

    def weight(self, number: int) -> float:
        """The share of a micro-batch in its step's answers, times the number of micro-batches: so a step's loss is the mean
        over its tokens (its answers, for objectives other than sft), however it is cut."""
        if self.micro_batches == 1:
            return 1.0
        start = number - number % self.micro_batches
        sizes = [self._size(other) for other in range(start, start + self.micro_batches)]
        return sizes[number - start] * self.micro_batches / sum(sizes)

    def _size(self, number: int) -> int:
        examples = self.packed.examples
        members = [m for one in self.packed.at(number * self.bins, self.bins) for m in self.packed.bins[one]]
        if self.packed.references is not None:
            return len(members)
        return sum(int((targets != IGNORE).sum()) for m in members for targets in examples[m].targets)
