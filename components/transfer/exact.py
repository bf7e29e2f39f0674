"""Exact growth of a Phi: any width, head size, head count, feed-forward width and depth at least the source's.

The grown model computes the source's function. Every statement below follows from two facts of the Phi block: the
residual stream is written only by linear maps with bias (embedding, dense, fc2), and read only through a LayerNorm.

- **Residual width d to D**, after LEMON (Wang et al. 2023, arXiv 2310.07999), average expansion: each new coordinate
  carries the mean of the old ones, so the mean is unchanged and the variance shrinks by d/D. Writing everything times
  sqrt(D/d) restores the variance, so that the same LayerNorm epsilon is right (the variance gauge); the gains take the
  factor back. The normalised new coordinates are exactly zero, so the columns that read them are free.
- **Head size**: the old dimensions of a head stay in place, rotary ones first; queries take sqrt(K/k), since the scores
  are divided by sqrt(head size). New query rows are free, new key rows zero, new value rows free with zero columns in
  dense. New heads likewise.
- **Feed-forward width**: new rows of fc1 are free, their columns in fc2 zero.
- **Depth**: a new block is a copy of its neighbour whose dense and fc2 are zero, weights *and biases*: attention and
  feed-forward vanish together and the block is the identity.

Free entries are drawn from a seeded generator, so that no two new units are equal and all come alive in training.
Everything is computed in float64 and cast once, at the end.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from components.phi.checkpoint import State
from components.phi.model import PhiConfig


def depth_map(source_layers: int, target_layers: int) -> list[tuple[int, bool]]:
    """For each target block its source block, and whether it is a new identity block; new ones evenly spread."""
    sources = [layer * source_layers // target_layers for layer in range(target_layers)]
    return [(source, index > 0 and sources[index - 1] == source) for index, source in enumerate(sources)]


def grow(state: State, source: PhiConfig, target: PhiConfig, seed: int, free_std: float) -> State:
    """The grown weights, float64, in Hugging Face's names.

    Args:
        state: the source's weights in Hugging Face's names.
        source, target: the shapes; `components.transfer.shapes.check_growth` has accepted them.
        seed: of the free entries.
        free_std: their standard deviation.
    """
    return dict(_grown(state, source, target, Growth(source, target, seed, free_std)))


def _grown(state: State, source: PhiConfig, target: PhiConfig, growth: "Growth") -> Iterator[tuple[str, Tensor]]:
    embed = growth.free(target.vocab_size, target.hidden_size)
    embed[: source.vocab_size] = growth.written(state["model.embed_tokens.weight"].double().T).T
    yield "model.embed_tokens.weight", embed
    for layer, (old, is_new) in enumerate(depth_map(source.num_hidden_layers, target.num_hidden_layers)):
        block = {
            name.removeprefix(f"model.layers.{old}."): tensor.double()
            for name, tensor in state.items()
            if name.startswith(f"model.layers.{old}.")
        }
        for name, tensor in growth.block(block, identity=is_new):
            yield f"model.layers.{layer}.{name}", tensor
    for name, tensor in growth.norm({k: state[f"model.final_layernorm.{k}"].double() for k in ("weight", "bias")}):
        yield f"model.final_layernorm.{name}", tensor
    head = growth.free(target.vocab_size, target.hidden_size)
    head[: source.vocab_size] = growth.read(state["lm_head.weight"].double())
    bias = torch.zeros(target.vocab_size, dtype=torch.float64)
    bias[: source.vocab_size] = state["lm_head.bias"].double()
    yield "lm_head.weight", head
    yield "lm_head.bias", bias


class Growth:
    """The maps of one growth; each method is one line of the construction in this module's docstring."""

    def __init__(self, source: PhiConfig, target: PhiConfig, seed: int, free_std: float) -> None:
        self.source, self.target, self.free_std = source, target, free_std
        self.generator = torch.Generator().manual_seed(seed)
        self.gauge = math.sqrt(target.hidden_size / source.hidden_size)

    def free(self, *shape: int) -> Tensor:
        """Entries that exactness leaves free."""
        return torch.randn(shape, generator=self.generator, dtype=torch.float64) * self.free_std

    def written(self, rows: Tensor) -> Tensor:
        """What writes the residual stream, (d, ...) to (D, ...): new rows are the mean of the old ones; all times the gauge."""
        extra = self.target.hidden_size - self.source.hidden_size
        mean = rows.mean(0, keepdim=True).expand(extra, *rows.shape[1:])
        return torch.cat([rows, mean]) * self.gauge

    def read(self, matrix: Tensor) -> Tensor:
        """What reads the normalised stream, (n, d) to (n, D): the new columns are free."""
        extra = self.target.hidden_size - self.source.hidden_size
        return torch.cat([matrix, self.free(matrix.shape[0], extra)], dim=1)

    def norm(self, norm: State) -> Iterator[tuple[str, Tensor]]:
        extra = self.target.hidden_size - self.source.hidden_size
        ones, zeros = torch.ones(extra, dtype=torch.float64), torch.zeros(extra, dtype=torch.float64)
        yield "weight", torch.cat([norm["weight"] / self.gauge, ones])
        yield "bias", torch.cat([norm["bias"], zeros])

    def block(self, block: State, identity: bool) -> Iterator[tuple[str, Tensor]]:
        """One block; as an identity block its two outputs are zero."""
        norm = {kind: block[f"input_layernorm.{kind}"] for kind in ("weight", "bias")}
        for kind, tensor in self.norm(norm):
            yield f"input_layernorm.{kind}", tensor
        rescale = math.sqrt(self.target.head_dim / self.source.head_dim)
        for name, scale, new in (("q_proj", rescale, "free"), ("k_proj", 1.0, "zero"), ("v_proj", 1.0, "free")):
            weight, bias = block[f"self_attn.{name}.weight"] * scale, block[f"self_attn.{name}.bias"] * scale
            yield f"self_attn.{name}.weight", self._heads(self.read(weight), new)
            yield f"self_attn.{name}.bias", self._heads(bias[:, None], "zero")[:, 0]
        # Columns of dense belong to value dimensions: lay them out as rows, grow with zeros, turn back.
        dense = self._heads(block["self_attn.dense.weight"].T, "none").T
        yield from self._output("self_attn.dense", dense, block["self_attn.dense.bias"], identity)
        extra = self.target.intermediate_size - self.source.intermediate_size
        fc1 = self.read(block["mlp.fc1.weight"])
        yield "mlp.fc1.weight", torch.cat([fc1, self.free(extra, self.target.hidden_size)])
        yield "mlp.fc1.bias", torch.cat([block["mlp.fc1.bias"], torch.zeros(extra, dtype=torch.float64)])
        fc2 = torch.cat(
            [block["mlp.fc2.weight"], torch.zeros(self.source.hidden_size, extra, dtype=torch.float64)], dim=1
        )
        yield from self._output("mlp.fc2", fc2, block["mlp.fc2.bias"], identity)

    def _output(self, name: str, weight: Tensor, bias: Tensor, identity: bool) -> Iterator[tuple[str, Tensor]]:
        keep = 0.0 if identity else 1.0
        yield f"{name}.weight", self.written(weight) * keep
        yield f"{name}.bias", self.written(bias) * keep

    def _heads(self, rows: Tensor, new: str) -> Tensor:
        """Rows of (heads x head size), grown in both: old dimensions stay at the front of their head.

        Args:
            new: `free` draws the new rows, `zero` keeps those of old heads zero and draws those of new heads (keys: a
                new head must not attend evenly for ever), `none` makes all new rows zero.
        """
        old_heads, old_size = self.source.num_attention_heads, self.source.head_dim
        heads, size, columns = self.target.num_attention_heads, self.target.head_dim, rows.shape[1]
        grown = torch.zeros(heads, size, columns, dtype=torch.float64)
        if new == "free":
            grown[:] = self.free(heads, size, columns)
        elif new == "zero" and heads > old_heads and columns > 1:
            grown[old_heads:] = self.free(heads - old_heads, size, columns)
        grown[:old_heads, :old_size] = rows.view(old_heads, old_size, columns)
        return grown.view(heads * size, columns)
