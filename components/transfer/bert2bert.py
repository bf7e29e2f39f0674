"""bert2BERT's operators (Chen et al., arXiv 2110.07143), after Net2Net.

FPI, function-preserving initialization: a new coordinate copies a randomly chosen old one; a weight that reads c copies
of an activation is divided by c. Through LayerNorm that preserves the function only if all coordinates are copied
equally often: a copied coordinate counts more often in mean and variance. So it is approximate.

AKI, advanced knowledge initialization: as FPI, but the new outputs of a block's matrices are those of the source's next
block, so that no output has a twin.

The paper adds heads and leaves head_dim. If head_dim grows, new dimensions copy those that are not rotary, keys share
their weight as any inputs do, and queries compensate for softmax's larger root, as in exact growth.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from components.phi.model import PhiConfig
from components.transfer.depth import Layer
from components.transfer.maps import FREE, ZERO, Axis, Plan, axis
from components.transfer.options import Options
from components.transfer.plan import Axes, build, headed, vocabulary

OUTPUTS = {
    "query": "hidden_size",
    "key": "hidden_size",
    "value": "hidden_size",
    "written": "hidden_size",
    "inner": "intermediate_size",
}


def plan_fpi(source: PhiConfig, target: PhiConfig, layers: list[Layer], options: Options) -> Plan:
    """Maps of all tensors of `target` by FPI."""
    return build(_axes(source, target, options), layers)


def plan_aki(source: PhiConfig, target: PhiConfig, layers: list[Layer], options: Options) -> Plan:
    """Maps of all tensors of `target` by AKI."""
    axes = _axes(source, target, options)
    return build(axes, layers, upper=axes.changed(**{name: _upper(getattr(axes, name)) for name in OUTPUTS}))


def _axes(source: PhiConfig, target: PhiConfig, options: Options) -> Axes:
    generator = torch.Generator().manual_seed(options.seed)
    width = axis(_drawn(0, source.hidden_size, target.hidden_size, generator), source.hidden_size)
    units = axis(_drawn(0, source.intermediate_size, target.intermediate_size, generator), source.intermediate_size)
    heads = _drawn(0, source.num_attention_heads, target.num_attention_heads, generator)
    k, dims, rotary = source.head_dim, target.head_dim, source.rotary_dims
    if rotary < k:
        plain = _drawn(rotary, k, dims, generator)
        query = key = value = plain
    else:  # a rotary dimension cannot move: new queries are drawn, new keys 0
        query, key = (torch.cat([torch.arange(k), torch.full((dims - k,), code)]) for code in (FREE, ZERO))
        value = _drawn(0, k, dims, generator)
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


def _drawn(first: int, size: int, wanted: int, generator: torch.Generator) -> Tensor:
    """0 ... size - 1, then random coordinates from first ... size - 1, up to `wanted`."""
    return torch.cat([torch.arange(size), torch.randint(first, size, (wanted - size,), generator=generator)])


def _divided(whole: Axis) -> Axis:
    """The axis of the weights that read it: divided by the number of copies."""
    return whole.times(1 / whole.copies[whole.source].to(torch.float64))


def _upper(whole: Axis) -> Axis:
    """The axis with its new coordinates from a second block below the first: coordinates n and on."""
    from_upper = whole.is_new & whole.copied
    return replace(whole, source=torch.where(from_upper, whole.source + whole.size, whole.source))
