"""A grown checkpoint's weights, computed one tensor at a time from the source's, in memory or on disk."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from components.phi.weights import TensorSpec, rounded, stack, write_weights
from components.transfer.maps import TensorMap, grown, grown_chunks
from components.transfer.operators import Growth


class GrownWeights(Mapping[str, Tensor]):
    """The target's weights by name, in float64 before rounding for storage; each is computed on access."""

    def __init__(self, growth: Growth, source: Mapping[str, Tensor]) -> None:
        """`source`: the source's weights, in Hugging Face's names and any dtype."""
        self.growth, self.source = growth, source

    def __getitem__(self, name: str) -> Tensor:
        how = self.growth.plan[name]
        return grown(name, how, stacked(how, self.source), self.growth.draws)

    def chunks(self, name: str) -> Iterator[Tensor]:
        """The tensor `name`, a few rows at a time."""
        how = self.growth.plan[name]
        return grown_chunks(name, how, stacked(how, self.source), self.growth.draws)

    def __iter__(self) -> Iterator[str]:
        return iter(self.growth.plan)

    def __len__(self) -> int:
        return len(self.growth.plan)


def stacked(how: TensorMap, source: Mapping[str, Tensor]) -> Tensor:
    """The source tensors of a map, stacked along their rows; a placeholder for a map without sources."""
    if not how.sources:
        return torch.zeros(1) if how.columns is None else torch.zeros(1, 1)
    return stack([source[name] for name in how.sources])


def write_grown(weights: GrownWeights, directory: Path, dtype: torch.dtype, shard: int) -> None:
    """Write the target's weights into a checkpoint's directory, rounded once.

    Raises:
        StepError: a weight is out of the range of `dtype`.
    """
    specs = {name: TensorSpec(how.shape, dtype) for name, how in weights.growth.plan.items()}
    tensors = ((name, _rounded(name, weights.chunks(name), dtype)) for name in specs)
    write_weights(directory, specs, tensors, shard)


def _rounded(name: str, chunks: Iterable[Tensor], dtype: torch.dtype) -> Iterator[Tensor]:
    return (rounded(name, chunk, dtype, "set transfer.dtype to float32") for chunk in chunks)
