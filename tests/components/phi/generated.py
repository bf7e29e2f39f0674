"""Whole continuations, of the tokens that come one at a time."""

from typing import Any

import torch
from torch import Tensor

from components.phi.generation import stream
from components.phi.model import Phi


def generate(model: Phi, tokens_BT: Tensor, max_new_tokens: int, **choices: Any) -> Tensor:
    """Continue prompts, (B, T) -> (B, T + n) with n <= max_new_tokens; arguments and errors are those of `stream`."""
    return torch.cat(
        (tokens_BT, *(token_B[:, None] for token_B in stream(model, tokens_BT, max_new_tokens, **choices))), 1
    )
