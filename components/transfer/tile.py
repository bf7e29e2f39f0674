"""Tiling, as Phi-2 and ModernBERT-large were started: the source's tensor in the middle of the target's, wrapped around.

Faithful (`tile`): each tensor by itself, including embedding, gains and biases; q, k and v without regard to heads. No
factor compensates for the wider sums, so the function is lost and only structure is kept. The wrapping is that of
ModernBERT's default mode, tile_weights_from_middle (github.com/AnswerDotAI/ModernBERT, pull request 119); Phi-2's own
code is not public. At head_dim 64 -> 80 most rows move to another head or to another rotary place.

Head-aware (`tile_heads`): whole heads are tiled, and inside a head rotary dimensions keep their places.
"""

import torch
from torch import Tensor

from components.phi.model import PhiConfig
from components.transfer.depth import Layer
from components.transfer.maps import Axis, Plan, axis
from components.transfer.options import Options
from components.transfer.plan import Axes, build, headed, vocabulary


def plan(source: PhiConfig, target: PhiConfig, layers: list[Layer], options: Options) -> Plan:
    """Maps of all tensors of `target`, q, k and v tiled flat."""
    return _plan(source, target, layers, axis(tiled(source.hidden_size, target.hidden_size), source.hidden_size))


def plan_heads(source: PhiConfig, target: PhiConfig, layers: list[Layer], options: Options) -> Plan:
    """Maps of all tensors of `target`, q, k and v tiled by heads."""
    heads = tiled(source.num_attention_heads, target.num_attention_heads)
    rotary = source.rotary_dims
    plain = source.head_dim - rotary
    # If a whole head is rotary, its new dimensions can only repeat rotary ones.
    rest = rotary + torch.arange(target.head_dim - rotary) % plain if plain else torch.arange(target.head_dim - rotary)
    dims = torch.cat([torch.arange(rotary), rest]) % source.head_dim
    return _plan(source, target, layers, headed(heads, dims, source))


def _plan(source: PhiConfig, target: PhiConfig, layers: list[Layer], head: Axis) -> Plan:
    width = axis(tiled(source.hidden_size, target.hidden_size), source.hidden_size)
    units = axis(tiled(source.intermediate_size, target.intermediate_size), source.intermediate_size)
    return build(Axes.uniform(width, head, units, **vocabulary(source, target)), layers)


def tiled(size: int, wanted: int) -> Tensor:
    """(wanted,) source coordinates with the source in the middle, wrapped around on both sides."""
    return (torch.arange(wanted) - (wanted - size) // 2) % size
