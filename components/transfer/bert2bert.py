"""bert2BERT's operators (Chen et al., arXiv 2110.07143), after Net2Net.

FPI, function-preserving initialization: a new coordinate copies a randomly chosen old one; a weight that reads c copies
of an activation is divided by c. Through LayerNorm that preserves the function only if all coordinates are copied
equally often: a copied coordinate counts more often in mean and variance. So it is approximate.

AKI, advanced knowledge initialization: like FPI, but the new outputs of a block's matrices are those of the source's next
block, so that no two outputs are equal.

The paper adds heads and keeps head_dim. If head_dim grows, new dimensions copy those that are not rotary, copied keys
share their weight as all inputs do, and queries compensate for softmax's larger root, as in exact growth.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from components.phi.model import PhiConfig
from components.transfer.depth import Layer
from components.transfer.maps import FREE, ZERO, Axis, Plan, axis, extended
from components.transfer.options import Options
from components.transfer.plan import Axes, build, headed, vocabulary

OUTPUTS = ("query", "key", "value", "written", "inner")  # axes of a block's outputs


def plan_fpi(source: PhiConfig, target: PhiConfig, layers: list[Layer], options: Options) -> Plan:
    """Maps of all tensors of `target` by FPI."""
    return build(_axes(source, target, options), layers)


def plan_aki(source: PhiConfig, target: PhiConfig, layers: list[Layer], options: Options) -> Plan:
    """Maps of all tensors of `target` by AKI."""
    axes = _axes(source, target, options)
    return build(axes, layers, upper=replace(axes, **{name: _upper(getattr(axes, name)) for name in OUTPUTS}))


def _axes(source: PhiConfig, target: PhiConfig, options: Options) -> Axes:
    generator = torch.Generator().manual_seed(options.seed)
    width = axis(_random(0, source.hidden_size, target.hidden_size, generator), source.hidden_size)
    units = axis(_random(0, source.intermediate_size, target.intermediate_size, generator), source.intermediate_size)
    heads = _random(0, source.num_attention_heads, target.num_attention_heads, generator)
    k, dims, rotary = source.head_dim, target.head_dim, source.rotary_dims
    if rotary < k:
        query = key = value = _random(rotary, k, dims, generator)
    else:  # a rotary dimension cannot move: new queries are free, new keys 0
        query, key = (extended(k, dims, code).source for code in (FREE, ZERO))
        value = _random(0, k, dims, generator)
    counts = torch.bincount(key[key >= 0], minlength=k).to(torch.float64)
    per_key = torch.where(key >= 0, 1 / counts[key.clamp(min=0)], 1.0).repeat(len(heads))
    values = headed(heads, value, source)
    return Axes(
        written=width,
        read=_divided(width),
        gain=width,
        shift=width,
        query=headed(heads, query, source).times(math.sqrt(dims / k)),
        key=headed(heads, key, source).times(per_key),
        value=values,
        attended=_divided(values),
        inner=units,
        activated=_divided(units),
        **vocabulary(source, target),
    )


def _random(first: int, size: int, wanted: int, generator: torch.Generator) -> Tensor:
    """`wanted` coordinates: 0 ... size - 1, then random ones from first ... size - 1."""
    return torch.cat([torch.arange(size), torch.randint(first, size, (wanted - size,), generator=generator)])


def _divided(whole: Axis) -> Axis:
    """The axis of the weights that read `whole`: divided by the number of copies."""
    return whole.times(1 / whole.copies[whole.source].to(torch.float64))


def _upper(whole: Axis) -> Axis:
    """The axis with its new coordinates from a second block, stacked below the first (coordinates from `size` on)."""
    from_upper = whole.is_new & whole.copied
    return replace(whole, source=torch.where(from_upper, whole.source + whole.size, whole.source))
