"""Averages the weights over the steps (Polyak averaging); validation and the checkpoint use the average."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from components.training.sharding import placed


class WeightAverage:
    """Exponential moving average of a model's parameters.

    The average starts as the weights. After t updates the decay is at most (1 + t) / (10 + t), so that the random start
    soon has no effect.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay, self.updates = model, decay, 0
        self.tensors: dict[str, Tensor] = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self) -> None:
        """Add the current weights to the average."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(list(self.tensors.values()), [p.detach() for p in self.model.parameters()], 1 - decay)

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor], updates: int) -> None:
        """Restore a saved average after `updates` updates."""
        for name, value in self.tensors.items():
            value.copy_(placed(tensors[name], value))
        self.updates = updates

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Use the averaged weights within the block, and the model's own again after it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self.model.named_parameters():
            own = parameter.detach().clone()
            parameter.copy_(self.tensors[name])
            self.tensors[name].copy_(own)
