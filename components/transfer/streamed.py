"""Evaluates a Phi that need not fit into memory: each block's weights are loaded only while the block runs.

The modules are those of `components.phi.model`, made without values; hooks load a block's weights before it runs and
free them afterwards. So evaluation needs memory for one block, the activations, and some rows of embedding and head.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.phi.model import Phi, PhiConfig
from components.phi.weights import PARTS, block_names, stack

LOGITS = 2**24  # logits in memory at once: 128 MB in float64
ROWS = 2048  # rows of embedding and head in memory at once


class StreamedPhi:
    """Evaluates a Phi from weights by name, which may be read or made again on each access.

    Attributes:
        config: the model's shape.
        dtype: data type of weights and activations.
    """

    def __init__(self, config: PhiConfig, weights: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        self.config, self.dtype, self._weights = config, dtype, weights
        # One block serves as all blocks; neither it nor the vocabulary has values until they are needed.
        model = Phi(replace(config, num_hidden_layers=1, vocab_size=1), dtype).eval().requires_grad_(False)
        rotary = model.cos, model.sin
        self._model = model.to("meta")
        model.cos, model.sin = rotary
        model.config = config
        model.embed = cast(nn.Embedding, _Embedding(self))  # has the method that the model calls
        block = model.blocks[0]
        model.blocks = nn.ModuleList([block] * config.num_hidden_layers)
        self._layers: Iterator[int] = iter(())  # numbers of the blocks that are still to run
        self._hook(block, lambda: self._block(next(self._layers)))
        self._hook(model.final_norm, lambda: self._pair("model.final_layernorm"))

    def _hook(self, module: nn.Module, weights: Callable[[], dict[str, Tensor]]) -> None:
        """Load a module's weights before it runs, and free them afterwards."""

        def load(module: nn.Module, _: Any) -> None:
            for name, tensor in weights().items():
                owner, _, part = name.rpartition(".")
                setattr(module.get_submodule(owner), part, nn.Parameter(tensor, requires_grad=False))

        def free(module: nn.Module, *_: Any) -> None:
            module.to("meta")

        module.register_forward_pre_hook(load)
        module.register_forward_hook(free)

    def _read(self, name: str) -> Tensor:
        return self._weights[name].to(self.dtype)

    def _pair(self, name: str) -> dict[str, Tensor]:
        return {part: self._read(f"{name}.{part}") for part in PARTS}

    def _block(self, layer: int) -> dict[str, Tensor]:
        return {
            ours: stack([self._read(name) for name in theirs])
            for part in PARTS
            for ours, theirs in block_names(layer, part).items()
        }

    def rows(self, name: str) -> Iterator[tuple[slice, Tensor]]:
        """The rows of a matrix, some at a time: their range and their values."""
        start = 0
        chunks = getattr(self._weights, "chunks", None)  # only weights that are computed on access have it
        for chunk in chunks(name) if chunks else self._weights[name].split(ROWS):
            yield slice(start, start + len(chunk)), chunk.to(self.dtype)
            start += len(chunk)

    @torch.no_grad()
    def hidden(self, tokens_BT: Tensor) -> Tensor:
        """Final hidden states (B, T, D)."""
        self._layers = iter(range(self.config.num_hidden_layers))
        return self._model.hidden(tokens_BT)

    @torch.no_grad()
    def logits(self, hidden_ND: Tensor, step: int) -> Iterator[Tensor]:
        """Logits (n, V) of the next token, `step` positions at a time."""
        bias = self._read("lm_head.bias")
        for part in hidden_ND.split(step):
            logits = torch.empty(len(part), self.config.vocab_size, dtype=self.dtype)
            for rows, weight in self.rows("lm_head.weight"):
                logits[:, rows] = F.linear(part, weight, bias[rows])
            yield logits


class _Embedding(nn.Module):
    """Looks up tokens in streamed rows."""

    def __init__(self, model: StreamedPhi) -> None:
        super().__init__()
        self._model = model

    def forward(self, tokens: Tensor) -> Tensor:
        known, places = tokens.unique(return_inverse=True)
        table = torch.empty(len(known), self._model.config.hidden_size, dtype=self._model.dtype)
        for rows, values in self._model.rows("model.embed_tokens.weight"):
            here = (known >= rows.start) & (known < rows.stop)
            table[here] = values[known[here] - rows.start]
        return table[places]
