"""Which heads copy: the induction score of each head (Olsson et al., arXiv 2209.11895).

On a random sequence that is repeated, an induction head attends from each token of the repetition to the token after its
first occurrence. Random tokens carry no other structure, so the score needs no text.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from components.inside.looking import look
from components.phi.model import Phi

SEQUENCES, LONGEST = 8, 64
SEED = 1


def induction(model: Phi) -> dict[str, Any]:
    """Scores of each head by block, in [0, 1], and the loss on both halves of the repeated sequences.

    Returns:
        `length` of the sequence that is repeated; `heads` and `previous`, by block and head, the mean attention to the
        token after the first occurrence and to the token before; `first_loss` and `repeated_loss` in nats per token.
    """
    config = model.config
    length = max(2, min(LONGEST, config.max_position_embeddings // 2))
    drawn = torch.randint(config.vocab_size, (SEQUENCES, length), generator=torch.Generator().manual_seed(SEED))
    rows = drawn.repeat(1, 2)
    copying, previous, losses = [], [], []
    for row in rows:
        logits, _, attention = look(model, row)
        copying.append(attention.diagonal(1 - length, -2, -1)[..., 1:].mean(-1))  # of the repetition only
        previous.append(attention.diagonal(-1, -2, -1).mean(-1))
        losses.append(F.cross_entropy(logits[:-1].float(), row[1:].to(logits.device), reduction="none"))
    nats = torch.stack(losses).mean(0)
    return {
        "length": length,
        "heads": _mean(copying),
        "previous": _mean(previous),
        "first_loss": float(nats[: length - 1].mean()),
        "repeated_loss": float(nats[length:].mean()),
    }


def _mean(values: list[Tensor]) -> list[list[float]]:
    return torch.stack(values).double().mean(0).tolist()
