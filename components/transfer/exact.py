"""Exact growth of a Phi: the larger model computes the smaller one's logits.

Why it works. The residual stream is written by the embedding and by `dense` and `fc2`, and read only through LayerNorm.

- width d -> D: a new coordinate of the residual stream carries c times the mean of the old ones, an old one c times
  itself. The mean stays in place, the variance becomes c^2 (d / D) of what it was, so with
  c = sqrt(D eps' / (d eps)) and gains times sqrt(d / D) every old coordinate leaves LayerNorm as before and every new
  one as 0. What reads the new coordinates is therefore free (LEMON, arXiv 2310.07999, with the variance instead of
  the epsilon adjusted: epsilon is part of the published shapes).
- head_dim k -> K: rotary dimensions keep their places, new ones come after the old. Softmax divides by sqrt(K), so
  queries, weight and bias, grow by sqrt(K / k). New keys of an old head are 0, so that its new queries are free;
  columns of `dense` that read new values are 0, so that new values are free, and all of a new head.
- feed-forward: columns of `fc2` that read new units are 0, so that new units are free.
- depth: an inserted block has `dense` and `fc2` of 0, biases too, and so adds nothing (LLaMA-Pro, arXiv 2401.02415,
  which zeroes no biases and has none).
- vocabulary: a new token's logit is NEW_TOKEN_LOGIT, whatever the input.

Of each pair that makes a product 0 one side is not 0, so gradients reach everything after a step or two.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from components.phi.checkpoint import State
from components.phi.model import PhiConfig
from components.transfer.shapes import depth_map

NEW_TOKEN_LOGIT = -30.0  # a share of 1e-13 of the probability, against a logit of 0
FINAL = "model.final_layernorm"


def grow(state: Mapping[str, Tensor], source: PhiConfig, target: PhiConfig, seed: int, free_std: float) -> State:
    """Weights of `target` that compute what `state` computes, in Hugging Face's names and float64.

    Args:
        state: weights to grow, in Hugging Face's names.
        source: their shape.
        target: a shape that `check_growth` has accepted.
        seed: of the free entries, which are drawn from N(0, free_std^2).
    """
    growth = Growth(source, target, free_std, torch.Generator().manual_seed(seed))
    wide = {name: tensor.to(torch.float64) for name, tensor in state.items()}
    grown: State = {"model.embed_tokens.weight": growth.embedding(wide["model.embed_tokens.weight"])}
    for layer, (origin, inserted) in enumerate(depth_map(source.num_hidden_layers, target.num_hidden_layers)):
        prefix = f"model.layers.{origin}."
        block = {name.removeprefix(prefix): tensor for name, tensor in wide.items() if name.startswith(prefix)}
        block = growth.block(block)
        if inserted:
            silence(block)
        grown |= {f"model.layers.{layer}.{name}": tensor for name, tensor in block.items()}
    norm = {"weight": wide[f"{FINAL}.weight"], "bias": wide[f"{FINAL}.bias"]}
    grown |= {f"{FINAL}.{name}": tensor for name, tensor in growth.norm(norm["weight"], norm["bias"]).items()}
    grown |= growth.head(wide["lm_head.weight"], wide["lm_head.bias"])
    return grown


def silence(block: State) -> None:
    """Make a block the identity, in place."""
    for name in ("self_attn.dense", "mlp.fc2"):
        for part in ("weight", "bias"):
            block[f"{name}.{part}"] = torch.zeros_like(block[f"{name}.{part}"])


@dataclass
class Growth:
    """Grows single tensors from one shape to another. `scale` is c of the module's docstring."""

    source: PhiConfig
    target: PhiConfig
    free_std: float
    generator: torch.Generator
    scale: float = field(init=False)

    def __post_init__(self) -> None:
        wider = self.target.hidden_size / self.source.hidden_size
        self.scale = math.sqrt(wider * self.target.layer_norm_eps / self.source.layer_norm_eps)

    def free(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator).to(torch.float64) * self.free_std

    def written(self, rows: Tensor) -> Tensor:
        """Widen what is written to the residual stream: its coordinates are the first dimension of `rows`."""
        new = self.target.hidden_size - self.source.hidden_size
        mean = rows.mean(0, keepdim=True)
        return self.scale * torch.cat([rows, mean.expand(new, *rows.shape[1:])])

    def reading(self, weight: Tensor) -> Tensor:
        """Widen a matrix (outputs, d) that reads from LayerNorm; its new columns meet zeros and are free."""
        new = self.target.hidden_size - self.source.hidden_size
        return torch.cat([weight, self.free(len(weight), new)], 1)

    def norm(self, weight: Tensor, bias: Tensor) -> State:
        shrunk = math.sqrt(self.source.hidden_size / self.target.hidden_size)
        new = self.target.hidden_size - self.source.hidden_size
        ones, zeros = torch.ones(new, dtype=torch.float64), torch.zeros(new, dtype=torch.float64)
        return {"weight": shrunk * torch.cat([weight, ones]), "bias": torch.cat([bias, zeros])}

    def embedding(self, weight: Tensor) -> Tensor:
        """(v, d) -> (V, D); the rows of new tokens are free."""
        grown = self.written(weight.T).T
        return torch.cat([grown, self.free(self.target.vocab_size - len(weight), self.target.hidden_size)])

    def head(self, weight: Tensor, bias: Tensor) -> State:
        """(v, d) -> (V, D); new tokens have a constant logit."""
        new = self.target.vocab_size - len(weight)
        silent = torch.zeros(new, self.target.hidden_size, dtype=torch.float64)
        constant = torch.full((new,), NEW_TOKEN_LOGIT, dtype=torch.float64)
        return {
            "lm_head.weight": torch.cat([self.reading(weight), silent]),
            "lm_head.bias": torch.cat([bias, constant]),
        }

    def block(self, block: State) -> State:
        """All tensors of a block, by their names inside it."""
        grown = {
            f"input_layernorm.{name}": tensor
            for name, tensor in self.norm(block["input_layernorm.weight"], block["input_layernorm.bias"]).items()
        }
        return grown | self.attention(block) | self.feed_forward(block)

    def attention(self, block: State) -> State:
        grown: State = {}
        sharper = math.sqrt(self.target.head_dim / self.source.head_dim)
        for part, factor in (("q_proj", sharper), ("k_proj", 1.0), ("v_proj", 1.0)):
            weight = self.headed(self.reading(factor * block[f"self_attn.{part}.weight"]), free=True)
            if part == "k_proj":
                weight = self.without_new_dimensions(weight)
            grown[f"self_attn.{part}.weight"] = weight
            bias = factor * block[f"self_attn.{part}.bias"]
            grown[f"self_attn.{part}.bias"] = self.headed(bias[:, None], free=False)[:, 0]
        dense = self.headed(block["self_attn.dense.weight"].T, free=False).T  # its columns belong to the heads
        grown["self_attn.dense.weight"] = self.written(dense)
        grown["self_attn.dense.bias"] = self.written(block["self_attn.dense.bias"])
        return grown

    def headed(self, rows: Tensor, free: bool) -> Tensor:
        """(h * k, n) -> (H * K, n): each head keeps its rows at its beginning; new rows and heads are free, or 0."""
        old, new, width = self.source, self.target, rows.shape[1]
        shape = (new.num_attention_heads, new.head_dim, width)
        grown = self.free(*shape) if free else torch.zeros(shape, dtype=torch.float64)
        grown[: old.num_attention_heads, : old.head_dim] = rows.view(old.num_attention_heads, old.head_dim, width)
        return grown.view(-1, width)

    def without_new_dimensions(self, rows: Tensor) -> Tensor:
        """(H * K, n) with the rows beyond k of each old head set to 0."""
        by_head = rows.view(self.target.num_attention_heads, self.target.head_dim, -1).clone()
        by_head[: self.source.num_attention_heads, self.source.head_dim :] = 0
        return by_head.view_as(rows)

    def feed_forward(self, block: State) -> State:
        new = self.target.intermediate_size - self.source.intermediate_size
        fc1 = torch.cat([self.reading(block["mlp.fc1.weight"]), self.free(new, self.target.hidden_size)])
        zeros = torch.zeros(self.source.hidden_size, new, dtype=torch.float64)
        return {
            "mlp.fc1.weight": fc1,
            "mlp.fc1.bias": torch.cat([block["mlp.fc1.bias"], torch.zeros(new, dtype=torch.float64)]),
            "mlp.fc2.weight": self.written(torch.cat([block["mlp.fc2.weight"], zeros], 1)),
            "mlp.fc2.bias": self.written(block["mlp.fc2.bias"]),
        }
