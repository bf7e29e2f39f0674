"""The map of every tensor of a Phi, from the axes of its rows and columns."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from components.phi.model import PhiConfig
from components.transfer.depth import Layer
from components.transfer.maps import FREE, MEAN, Axis, Noise, Plan, TensorMap, axis

EMBEDDING, HEAD, FINAL_NORM = "model.embed_tokens", "lm_head", "model.final_layernorm"
NEW_TOKEN_LOGIT = (
    -30.0
)  # relative to the mean of the old tokens' logits: at most 1e-13 of the largest one's probability


@dataclass(frozen=True)
class Axes:
    """How each axis of a Phi grows. Sizes of the target are in capitals, of the source in small letters.

    Attributes:
        written: (D) residual stream, as the embedding, `dense` and `fc2` write it.
        read: (D) outputs of LayerNorm, as q, k, v, `fc1` and the head read them.
        gain, shift: (D) LayerNorm's own weight and bias.
        query, key, value: (H * K) rows of q, k and v; `attended`: columns of `dense`.
        inner: (F) rows of `fc1`; `activated`: columns of `fc2`.
        embedded, predicted: (V) rows of the embedding and of the head; `prior`: the head's bias.
    """

    written: Axis
    read: Axis
    gain: Axis
    shift: Axis
    query: Axis
    key: Axis
    value: Axis
    attended: Axis
    inner: Axis
    activated: Axis
    embedded: Axis
    predicted: Axis
    prior: Axis

    @classmethod
    def uniform(cls, width: Axis, head: Axis, units: Axis, **rows: Axis) -> "Axes":
        """One axis each for the residual stream, for attention, and for the feed-forward layer."""
        stream = dict.fromkeys(("written", "read", "gain", "shift"), width)
        attention = dict.fromkeys(("query", "key", "value", "attended"), head)
        return cls(**stream, **attention, inner=units, activated=units, **rows)

    def all_silent(self) -> "Axes":
        """The axes of biases: zero where weights are random."""
        return Axes(**{field.name: getattr(self, field.name).silent() for field in fields(self)})


def build(axes: Axes, layers: list[Layer], noise: Noise = "none", upper: Axes | None = None) -> Plan:
    """The map of every tensor of the target.

    Args:
        axes: how the axes grow.
        layers: the depth map.
        noise: noise of the matrices of blocks and head; if not "none", blocks that add nothing get it anywhere.
        upper: axes of a block's outputs, with coordinates from n on that mean the next source block (AKI).
    """
    plan: Plan = {f"{EMBEDDING}.weight": TensorMap((f"{EMBEDDING}.weight",), axes.embedded, axes.written)}
    last = max(layer.source for layer in layers)
    for number, layer in enumerate(layers):
        prefixes = [f"model.layers.{layer.source}"]
        if upper is not None:
            prefixes.append(f"model.layers.{min(layer.source + 1, last)}")
        block = _block(upper or axes, axes, prefixes, layer, noise)
        plan |= {f"model.layers.{number}.{name}": how for name, how in block.items()}
    plan[f"{FINAL_NORM}.weight"] = TensorMap((f"{FINAL_NORM}.weight",), axes.gain)
    plan[f"{FINAL_NORM}.bias"] = TensorMap((f"{FINAL_NORM}.bias",), axes.shift)
    plan[f"{HEAD}.weight"] = TensorMap((f"{HEAD}.weight",), axes.predicted, axes.read, noise=noise)
    plan[f"{HEAD}.bias"] = TensorMap((f"{HEAD}.bias",), axes.prior)
    return plan


def _block(rows: Axes, columns: Axes, prefixes: list[str], layer: Layer, noise: Noise) -> Plan:
    """The maps of one block, by names inside it. Weights that write to the residual stream get the layer's gain."""
    silent = rows.all_silent()
    matrices = {
        "self_attn.q_proj": (rows.query, silent.query, columns.read, 1.0),
        "self_attn.k_proj": (rows.key, silent.key, columns.read, 1.0),
        "self_attn.v_proj": (rows.value, silent.value, columns.read, 1.0),
        "self_attn.dense": (rows.written, silent.written, columns.attended, layer.gain),
        "mlp.fc1": (rows.inner, silent.inner, columns.read, 1.0),
        "mlp.fc2": (rows.written, silent.written, columns.activated, layer.gain),
    }
    if noise != "none" and layer.gain == 0:
        noise = "any"
    plan: Plan = {}

    def add(name: str, axis: Axis, columns: Axis | None = None, gain: float = 1.0, noise: Noise = "none") -> None:
        sources = tuple(f"{prefix}.{name}" for prefix in prefixes)
        plan[name] = TensorMap(sources, axis, columns, gain, noise, layer.new)

    add("input_layernorm.weight", rows.gain)
    add("input_layernorm.bias", rows.shift)
    for name, (weight, bias, read, gain) in matrices.items():
        add(f"{name}.weight", weight, read, gain, noise)
        add(f"{name}.bias", bias, None, gain)
    return plan


def headed(heads: Tensor, dims: Tensor, source: PhiConfig) -> Axis:
    """An axis (H * K) of heads, from the source head of each head (H) and the source dimension of each dimension (K).

    Codes stay codes; the head's takes precedence over the dimension's.
    """
    head, dim = heads[:, None].expand(-1, len(dims)), dims[None, :].expand(len(heads), -1)
    both = torch.where(head < 0, head, torch.where(dim < 0, dim, head * source.head_dim + dim))
    return axis(both.reshape(-1), source.hidden_size)


def vocabulary(source: PhiConfig, target: PhiConfig) -> dict[str, Axis]:
    """Embedding, head and its bias for the tokens of the source and new ones.

    A new token's embedding is free. Its logit is the mean of the old tokens' logits plus NEW_TOKEN_LOGIT, whatever the
    input: softmax does not see a shift of all logits, so a fixed logit would be likely where the others are far lower.
    """
    old, new = torch.arange(source.vocab_size), target.vocab_size - source.vocab_size
    embedded = axis(torch.cat([old, torch.full((new,), FREE)]), source.vocab_size)
    predicted = axis(torch.cat([old, torch.full((new,), MEAN)]), source.vocab_size)
    offset = torch.zeros(target.vocab_size, dtype=torch.float64)
    offset[source.vocab_size :] = NEW_TOKEN_LOGIT
    return {"embedded": embedded, "predicted": predicted, "prior": replace(predicted, offset=offset)}
