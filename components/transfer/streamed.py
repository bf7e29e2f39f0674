"""A Phi that is never in memory as a whole: each block's weights are there only while the block runs.

The modules are those of `components.phi.model`, made without values; hooks bring a block's weights before it runs and
take them away after. So a model is evaluated in the memory of one block, the embedding or the head, and activations.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.phi.checkpoint import BLOCK_KEYS
from components.phi.model import Phi, PhiConfig, rotary_table

LOGITS = 2**24  # logits that are held at once: 128 MB in float64


class StreamedPhi:
    """Evaluates a Phi from weights by name, which may be read or made anew each time they are asked for.

    Attributes:
        config: its shape.
        dtype: of weights and activations.
    """

    def __init__(self, config: PhiConfig, weights: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        self.config, self.dtype, self._weights = config, dtype, weights
        with torch.device("meta"):
            self._model = Phi(config, dtype).eval().requires_grad_(False)
        cos, sin = rotary_table(config, config.max_position_embeddings)
        self._model.cos, self._model.sin = cos, sin
        self._hook(self._model.embed, lambda: {"weight": self._read("model.embed_tokens.weight")})
        self._hook(self._model.final_norm, lambda: self._pair("model.final_layernorm"))
        for number, block in enumerate(self._model.blocks):
            self._hook(block, lambda number=number: self._block(f"model.layers.{number}"))

    def _hook(self, module: nn.Module, weights: Any) -> None:
        module.register_forward_pre_hook(lambda module, _: module.load_state_dict(weights(), assign=True) and None)
        module.register_forward_hook(lambda module, *_: module.to("meta") and None)

    def _read(self, name: str) -> Tensor:
        return self._weights[name].to(self.dtype)

    def _pair(self, name: str) -> dict[str, Tensor]:
        return {part: self._read(f"{name}.{part}") for part in ("weight", "bias")}

    def _block(self, prefix: str) -> dict[str, Tensor]:
        state = {}
        for part in ("weight", "bias"):
            state[f"qkv.{part}"] = torch.cat([self._read(f"{prefix}.self_attn.{x}_proj.{part}") for x in "qkv"])
            state |= {f"{ours}.{part}": self._read(f"{prefix}.{theirs}.{part}") for ours, theirs in BLOCK_KEYS.items()}
        return state

    @torch.no_grad()
    def hidden(self, tokens_BT: Tensor) -> Tensor:
        """Final hidden states (B, T, D)."""
        return self._model.hidden(tokens_BT)

    @torch.no_grad()
    def logits(self, hidden_ND: Tensor, step: int) -> Iterator[Tensor]:
        """Logits (n, V) of the next token, `step` positions at a time."""
        head = self._pair("lm_head")
        for start in range(0, len(hidden_ND), step):
            yield F.linear(hidden_ND[start : start + step], head["weight"], head["bias"])
