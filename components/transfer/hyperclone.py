"""HyperCloning (Samragh et al., arXiv 2409.12903): whole copies of the residual stream, of heads and of units.

Every coordinate is copied equally often, so LayerNorm sees the same mean and variance, and the weights that read n copies
of an activation are divided by n: the function is preserved, for whole factors only. head_dim and so rotary positions do
not change. With noise, the weights that read the copies differ while their sum stays the same (the paper's paired noise,
10 dB below the weights: `transfer.noise` 0.32); without it, copies stay equal forever, as Phi has no dropout.
"""

import math
from dataclasses import replace

import torch

from components.phi.model import PhiConfig
from components.transfer.depth import Layer
from components.transfer.maps import Axis, Plan, axis
from components.transfer.options import Options
from components.transfer.plan import Axes, build, headed, vocabulary


def reasons(source: PhiConfig, target: PhiConfig) -> list[str]:
    """Why `target` is not a whole multiple of `source`; empty if it is."""
    unequal = [
        f"{name} {getattr(target, name)} is not a whole multiple of the source's {getattr(source, name)}"
        for name in ("hidden_size", "intermediate_size")
        if getattr(target, name) % getattr(source, name)
    ]
    if target.head_dim != source.head_dim:
        unequal.append(f"head_dim {target.head_dim} is not the source's {source.head_dim}")
    return unequal


def plan(source: PhiConfig, target: PhiConfig, layers: list[Layer], options: Options) -> Plan:
    """Maps of all tensors of `target`."""
    width = _repeated(source.hidden_size, target.hidden_size)
    units = _repeated(source.intermediate_size, target.intermediate_size)
    heads = _repeated(source.num_attention_heads, target.num_attention_heads).source
    head = headed(heads, torch.arange(source.head_dim), source)
    times = target.hidden_size // source.hidden_size
    axes = replace(
        Axes.uniform(width, head, units, **vocabulary(source, target)),
        written=width.times(math.sqrt(target.layer_norm_eps / source.layer_norm_eps)),
        read=width.times(1 / times),
        attended=head.times(1 / times),
        activated=units.times(source.intermediate_size / target.intermediate_size),
    )
    return build(axes, layers, noise="null")


def _repeated(size: int, wanted: int) -> Axis:
    return axis(torch.arange(wanted) % size, size)
