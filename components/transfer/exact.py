"""Exact growth of a Phi: the larger model computes the smaller one's logits, for any shape at least as large.

Why it works. The residual stream is written by the embedding and by `dense` and `fc2`, and read only through LayerNorm.

- width d -> D, `mean_pad`: a new coordinate of the residual stream carries c times the mean of the old ones, an old one
  c times itself. The mean does not change and the variance is multiplied by c^2 (d / D), so with
  c = sqrt(D eps' / (d eps)) and gains times sqrt(d / D) LayerNorm's output is unchanged in every old coordinate and 0 in
  every new one. Weights that read the new coordinates are therefore free (LEMON, arXiv 2310.07999, with the variance
  adjusted instead of epsilon, which is part of the published shapes). `zero_pad`: LayerNorm subtracts the mean anyway,
  so everything that is written may be centred first; then the mean is 0 and new coordinates are written as 0.
- head_dim k -> K: rotary dimensions keep their places, new ones come after the old. Softmax divides by sqrt(K), so the
  weights and biases of queries are multiplied by sqrt(K / k). New keys of an old head are 0, so its new queries are
  free; columns of `dense` that read new values are 0, so new values are free, and so is all of a new head.
- feed-forward: columns of `fc2` that read new units are 0, so new units are free.
- depth: in an inserted block the weights and biases of `dense` and `fc2` are 0, so it adds nothing (LLaMA-Pro, arXiv
  2401.02415, in which there are no biases). Its other weights have no effect yet and get noise, so that neighbours
  made from the same block differ.
- vocabulary: a new token's logit is the mean of the old tokens' logits plus NEW_TOKEN_LOGIT, whatever the input, so its
  probability is below e^-30 of the likeliest token's, also where all logits lie far from 0.

In each product that is 0 one factor is not 0, so gradients reach every parameter after a step or two.

With `new_units: copies` new queries, values, units and heads copy old ones instead of being random, and the weights that
read the copies of one activation share its old weight in unequal parts. Noise that sums to 0 over the copies is added to
these weights: the function is preserved, and the copies' gradients differ from the first step on. Two equal halves would
stay equal forever.
"""

import math

import torch
from torch import Tensor

from components.phi.model import PhiConfig
from components.transfer.depth import Layer
from components.transfer.maps import CONSTANT, FREE, MEAN, ZERO, Axis, Plan, axis, extended
from components.transfer.options import Options
from components.transfer.plan import Axes, build, headed, vocabulary

UNEVEN = (0.3, 0.7)  # range of the random shares of copies, before they are scaled to sum to 1


def plan(source: PhiConfig, target: PhiConfig, layers: list[Layer], options: Options) -> Plan:
    """Maps of all tensors of `target`, a shape that `check_growth` has accepted."""
    grow = _with_copies if options.new_units == "copies" else _with_free_units
    axes = Axes(
        **_residual(source, target, options.residual), **vocabulary(source, target), **grow(source, target, options)
    )
    return build(axes, layers, noise="null")


def _residual(source: PhiConfig, target: PhiConfig, padding: str) -> dict[str, Axis]:
    """Axes of the residual stream and of LayerNorm."""
    d, wide = source.hidden_size, target.hidden_size
    scale = math.sqrt(wide / d * target.layer_norm_eps / source.layer_norm_eps)  # c of the module's docstring
    zero_pad = padding == "zero_pad"
    written = extended(d, wide, ZERO if zero_pad else MEAN, scale)
    if zero_pad:
        written = Axis(written.source, written.scale, d, centred=True)
    return {
        "written": written,
        "read": extended(d, wide, FREE),
        "gain": extended(d, wide, CONSTANT, math.sqrt(d / wide)),
        "shift": extended(d, wide, ZERO),
    }


def _with_free_units(source: PhiConfig, target: PhiConfig, options: Options) -> dict[str, Axis]:
    """Axes of heads and of the feed-forward layer, with random new coordinates, or 0 where they meet random ones."""
    h, k, heads, dims = source.num_attention_heads, source.head_dim, target.num_attention_heads, target.head_dim
    f, inner = source.intermediate_size, target.intermediate_size

    def of(new_heads: int, new_dims: int) -> Axis:
        return headed(extended(h, heads, new_heads).source, extended(k, dims, new_dims).source, source)

    return {
        "query": of(FREE, FREE).times(math.sqrt(dims / k)),
        "key": of(FREE, ZERO),
        "value": of(FREE, FREE),
        "attended": of(ZERO, ZERO),
        "inner": extended(f, inner, FREE),
        "activated": extended(f, inner, ZERO),
    }


def _with_copies(source: PhiConfig, target: PhiConfig, options: Options) -> dict[str, Axis]:
    """Axes of heads and of the feed-forward layer, with new coordinates that copy old ones.

    A rotary dimension's frequency depends on its place, so it cannot be copied to another; if a whole head is rotary, its
    new queries are random and its new keys are 0.
    """
    generator = torch.Generator().manual_seed(options.seed)
    h, k, rotary = source.num_attention_heads, source.head_dim, source.rotary_dims
    heads = _cycled(0, h, target.num_attention_heads)
    values = _cycled(0, k, target.head_dim)
    plain = _cycled(rotary, k, target.head_dim)
    query, key = plain, plain
    if rotary == k:
        query, key = (extended(k, target.head_dim, code).source for code in (FREE, ZERO))
    inner = axis(_cycled(0, source.intermediate_size, target.intermediate_size), source.intermediate_size)
    return {
        "query": headed(heads, query, source).times(math.sqrt(target.head_dim / k)),
        "key": _shared_in_heads(headed(heads, key, source), target, generator),
        "value": headed(heads, values, source),
        "attended": _shared(headed(heads, values, source), generator),
        "inner": inner,
        "activated": _shared(inner, generator),
    }


def _cycled(first: int, size: int, wanted: int) -> Tensor:
    """`wanted` coordinates: 0 ... size - 1, then first ... size - 1 repeated."""
    period = max(1, size - first)
    return torch.cat([torch.arange(size), first + torch.arange(wanted - size) % period])


def _shared(whole: Axis, generator: torch.Generator) -> Axis:
    """The axis with each source coordinate's weight divided among its copies, in unequal parts that sum to 1."""
    low, high = UNEVEN
    parts = low + (high - low) * torch.rand(len(whole), generator=generator, dtype=torch.float64)
    where = whole.source.clamp(min=0)
    totals = torch.zeros(whole.size, dtype=torch.float64).index_add_(0, where[whole.copied], parts[whole.copied])
    return whole.times(torch.where(whole.copied, parts / totals[where], 1.0))


def _shared_in_heads(whole: Axis, target: PhiConfig, generator: torch.Generator) -> Axis:
    """Like `_shared`, within each head: a copied head attends like its original."""
    parts = [
        _shared(whole.among(start, start + target.head_dim), generator)
        for start in range(0, len(whole), target.head_dim)
    ]
    return Axis(whole.source, torch.cat([part.scale for part in parts]), whole.size)
