"""Measure how far two models' functions are apart, in float64."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from components.errors import StepError
from components.phi.model import Phi
from components.tokens import Tokens


@dataclass(frozen=True)
class Difference:
    """How a target's logits differ from a source's over some sequences.

    Attributes:
        absolute: largest difference of a logit.
        relative: largest over positions of (largest difference of a logit) / (largest magnitude of a source logit).
        kl: mean of KL(source || target), in nats a position.
        source_loss, target_loss: mean cross-entropy of the tokens that follow, in nats.
    """

    absolute: float
    relative: float
    kl: float
    source_loss: float
    target_loss: float


@torch.no_grad()
def compare(source: Phi, target: Phi, rows: Tensor) -> Difference:
    """Run both models over `rows` (B, T + 1), a row at a time. Logits of tokens that the source has not are left out
    of the differences and of KL; the target's loss counts them."""
    vocabulary, positions = source.config.vocab_size, rows.shape[0] * (rows.shape[1] - 1)
    absolute = relative = kl = source_loss = target_loss = 0.0
    for row in rows:
        inputs, following = row[None, :-1], row[1:]
        s, t = source(inputs)[0], target(inputs)[0]
        apart = (t[:, :vocabulary] - s).abs().amax(-1)
        absolute = max(absolute, float(apart.max()))
        relative = max(relative, float((apart / s.abs().amax(-1)).max()))
        log_p, log_q = s.log_softmax(-1), t[:, :vocabulary].log_softmax(-1)
        kl += float((log_p.exp() * (log_p - log_q)).sum())
        source_loss += float(F.cross_entropy(s, following, reduction="sum"))
        target_loss += float(F.cross_entropy(t, following, reduction="sum"))
    # KL is never negative; what is left of it at equality is rounding of either sign.
    return Difference(absolute, relative, max(0.0, kl / positions), source_loss / positions, target_loss / positions)


def proof_rows(tokens: Tokens | None, wanted: int, positions: int, vocabulary: int, seed: int) -> Tensor:
    """Token sequences (B, T + 1) to compare on, about `wanted` tokens with T <= positions.

    Held-out sequences, evenly spread over the validation split; without tokens random ones.

    Raises:
        StepError: the tokens have ids beyond the source's vocabulary, or fewer than two are held out.
    """
    if tokens is None:
        length = min(positions, wanted)
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(vocabulary, (max(1, wanted // length), length + 1), generator=generator)
    if tokens.manifest.vocab_size > vocabulary:
        raise StepError(
            f"--tokens {tokens.directory} has a vocabulary of {tokens.manifest.vocab_size:,}, the source one of "
            f"{vocabulary:,}; name the tokens that the source was trained on"
        )
    split = tokens.split("validation")
    length = min(positions, wanted, len(split) - 1)
    if length < 1:
        raise StepError(f"--tokens {tokens.directory} holds out {len(split)} tokens; the proof needs at least 2")
    available = (len(split) - 1) // length
    count = min(available, max(1, wanted // length))
    starts = np.arange(count) * available // count * length
    return torch.from_numpy(np.stack([split.read(int(start), length + 1) for start in starts]))
