"""What each layer of a Phi would predict: the logit lens, and the tuned lens (Belrose et al., arXiv 2303.08112).

The logit lens reads the stream after each layer as if it were the last: final norm and head. The tuned lens first maps it to
the last layer's stream with an affine map per layer. Ours is fitted by least squares instead of by gradient steps on the
divergence: it takes one pass and no settings, and its loss is an upper bound of what an affine map can reach.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from components.inside.looking import residuals
from components.phi.model import Phi

RIDGE = 1e-4  # of the mean variance of the stream, so that few tokens still give a map


@dataclass(frozen=True)
class TunedLens:
    """An affine map per layer from its stream to that after the last layer.

    Attributes:
        weights: (layers + 1, D, D); the last is the identity.
        biases: (layers + 1, D).
    """

    weights: Tensor
    biases: Tensor

    def __call__(self, residual: Tensor) -> Tensor:
        """The stream (layers + 1, ..., D) of each layer, mapped to the last layer's."""
        flat = residual.flatten(1, -2)
        return torch.baddbmm(self.biases[:, None], flat, self.weights).view_as(residual)


@torch.no_grad()
def logit_lens(model: Phi, residual: Tensor, tuned: TunedLens | None = None) -> Tensor:
    """Logits (layers + 1, ..., V) that each layer would give; those of the last are the model's.

    Args:
        residual: the stream before each block and after the last, (layers + 1, ..., D), as `look` returns it.
        tuned: the tuned lens; None for the logit lens.
    """
    stream = residual if tuned is None else tuned(residual)
    return model.head(model.final_norm(stream))


def fit_tuned_lens(model: Phi, batches: Iterable[Tensor]) -> TunedLens:
    """The tuned lens of a model, from tokens (B, T) that are not those it is judged on."""
    sums: AffineSums | None = None
    for tokens in batches:
        streams = residuals(model, tokens).flatten(1, -2)
        sums = sums or AffineSums(len(streams), streams.shape[-1], streams.shape[-1], streams.device)
        sums.add(streams, streams[-1:])
    if sums is None:
        raise ValueError("no tokens were given to fit a lens")
    weights, biases = sums.solve(RIDGE)
    weights[-1], biases[-1] = torch.eye(weights.shape[-1], device=weights.device), 0.0
    return TunedLens(weights, biases)


class AffineSums:
    """Least squares y = x W + b from batches, for several pairs of x and y at once, in float64."""

    def __init__(self, maps: int, inputs: int, outputs: int, device: torch.device | None = None) -> None:
        self.xx = torch.zeros(maps, inputs + 1, inputs + 1, dtype=torch.float64, device=device)
        self.xy = torch.zeros(maps, inputs + 1, outputs, dtype=torch.float64, device=device)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Points x (maps, n, inputs) and y (maps or 1, n, outputs)."""
        ones = torch.cat((x.double(), torch.ones(*x.shape[:2], 1, dtype=torch.float64, device=x.device)), dim=-1)
        self.xx += ones.transpose(1, 2) @ ones
        self.xy += ones.transpose(1, 2) @ y.double()

    def solve(self, ridge: float) -> tuple[Tensor, Tensor]:
        """W (maps, inputs, outputs) and b (maps, outputs) in float32; `ridge` is a share of the mean square of x."""
        penalty = ridge * self.xx.diagonal(dim1=1, dim2=2)[:, :-1].mean(-1)  # (maps,)
        penalties = penalty[:, None].repeat(1, self.xx.shape[-1])
        penalties[:, -1] = 0.0  # the bias is free
        solved = torch.linalg.solve(self.xx + torch.diag_embed(penalties), self.xy).float()
        return solved[:, :-1], solved[:, -1]
