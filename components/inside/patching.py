"""Activation patching: run a Phi with its residual stream at one place taken from another run or another model.

Between a small model and one grown from it, the stream is carried over by the map of growth. That map need not be told: a
preserved function means that the grown model's stream is a linear map of the small model's, and the embeddings, which growth
maps in the same way, give that map. `known_map` measures how well it holds at each layer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from components.errors import StepError
from components.inside.looking import residuals
from components.phi.model import Phi


@dataclass(frozen=True)
class KnownMap:
    """How a small model's stream lies in that of a model grown from it.

    Attributes:
        matrix: (d, D): stream_grown = stream_small @ matrix.
        layers: for each place in the grown model, before each block and after the last, the same place in the small one.
        errors: relative error at each place: |stream_grown - stream_small @ matrix| / |stream_grown|.
    """

    matrix: Tensor
    layers: tuple[int, ...]
    errors: tuple[float, ...]

    def widen(self, small: Tensor) -> Tensor:
        """The stream (small layers + 1, ..., d) in the grown model's places and width."""
        return small[list(self.layers)] @ self.matrix

    def narrow(self, large: Tensor) -> Tensor:
        """The stream (..., D) in the small model's width: what lies outside the map's image is dropped."""
        return large @ torch.linalg.pinv(self.matrix)


@torch.no_grad()
def known_map(small: Phi, grown: Phi, tokens_BT: Tensor) -> KnownMap:
    """The map of growth, read off the embeddings and checked on a text.

    Args:
        grown: grown from `small` and not trained yet, or of the same shape and origin.
        tokens_BT: text to find the matching places with, and to measure the errors on.

    Raises:
        StepError: the second model is narrower, or has fewer tokens in its vocabulary.
    """
    ours, theirs = small.embed.weight.double(), grown.embed.weight.double()
    if ours.shape[1] > theirs.shape[1] or ours.shape[0] > theirs.shape[0]:
        raise StepError(
            f"the embedding of the second model has the shape {tuple(theirs.shape)}, smaller than {tuple(ours.shape)}; "
            "name the small model first"
        )
    matrix = (torch.linalg.pinv(ours) @ theirs[: len(ours)]).float()
    carried, reached = residuals(small, tokens_BT) @ matrix, residuals(grown, tokens_BT)
    layers, errors = [], []
    for place in reached:
        apart = [float((place - stream).norm() / place.norm()) for stream in carried]
        # Of equal ones the later: an inserted block that adds nothing stands after its original.
        best = min(range(len(apart)), key=lambda layer: (round(apart[layer], 4), -layer))
        layers.append(best)
        errors.append(apart[best])
    return KnownMap(matrix, tuple(layers), tuple(errors))


@contextmanager
def patched(model: Phi, layer: int, stream_BTD: Tensor, positions: Any = slice(None)) -> Iterator[Phi]:
    """The model with its stream before block `layer` (or, for the number of blocks, before the final norm) replaced.

    Args:
        stream_BTD: the stream to put there, for the tokens that the model is then given.
        positions: which positions to replace, an index or a slice; all by default.
    """
    places = (*model.blocks, model.final_norm)
    if not 0 <= layer < len(places):
        raise StepError(f"the model has no place {layer} to patch; expected 0 to {len(places) - 1}")

    def replace(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        stream = arguments[0].clone()
        stream[:, positions] = stream_BTD[:, positions].to(stream)
        return (stream, *arguments[1:])

    hook = places[layer].register_forward_pre_hook(replace)
    try:
        yield model
    finally:
        hook.remove()
