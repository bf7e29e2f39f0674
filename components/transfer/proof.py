"""Proof of a growth: source and target on the same held-out tokens, in float64."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from components.phi.model import Phi
from components.tokens import Tokens

BATCH = 8  # sequences at once


def proof_sequences(tokens: Path | None, vocab_size: int, positions: int, count: int, seed: int) -> tuple[Tensor, str]:
    """At least two and about `count` tokens as (N, T + 1): held-out ones, or random ids where no tokens are given."""
    if tokens is None:
        length = min(positions, count)
        rows = max(1, count // length)
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(vocab_size, (rows, length + 1), generator=generator), "random ids"
    split = Tokens.open(tokens).split("validation")
    length = max(1, min(positions, count, len(split) - 1))
    rows = max(1, min(count, len(split) - 1) // length)
    return torch.stack([torch.from_numpy(split.read(i * length, length + 1)) for i in range(rows)]), "held-out tokens"


@torch.no_grad()
def compare(source: Phi, target: Phi, sequences: Tensor) -> dict[str, Any]:
    """How far the target's logits are from the source's, over the source's vocabulary.

    Returns:
        max_absolute_logit_difference, max_relative_logit_difference (over the largest logit), kl (nats a token, from
        source to target), source_loss, target_loss and loss_delta (nats a token), proof_tokens.
    """
    largest_difference = largest_logit = divergence = source_loss = target_loss = 0.0
    vocabulary = source.config.vocab_size
    for rows in sequences.split(BATCH):
        inputs, targets = rows[:, :-1], rows[:, 1:].reshape(-1)
        ours, theirs = (model(inputs).double().flatten(0, 1) for model in (source, target))
        largest_difference = max(largest_difference, (ours - theirs[:, :vocabulary]).abs().max().item())
        largest_logit = max(largest_logit, ours.abs().max().item())
        log_p, log_q = ours.log_softmax(-1), theirs.log_softmax(-1)
        divergence += (log_p.exp() * (log_p - theirs[:, :vocabulary].log_softmax(-1))).sum().item()
        source_loss += torch.nn.functional.nll_loss(log_p, targets, reduction="sum").item()
        target_loss += torch.nn.functional.nll_loss(log_q, targets, reduction="sum").item()
    count = sequences.shape[0] * (sequences.shape[1] - 1)
    return {
        "max_absolute_logit_difference": largest_difference,
        "max_relative_logit_difference": largest_difference / largest_logit if largest_logit else math.inf,
        "kl": divergence / count,
        "source_loss": source_loss / count,
        "target_loss": target_loss / count,
        "loss_delta": (target_loss - source_loss) / count,
        "proof_tokens": count,
    }
