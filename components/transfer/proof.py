"""Measure how far two models' functions are apart."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from components.errors import StepError
from components.tokens import Tokens
from components.transfer.streamed import LOGITS, StreamedPhi

SCORES = 2**26  # attention scores of one block in memory at once: 512 MB in float64


@dataclass(frozen=True)
class Difference:
    """How a target's logits differ from a source's over some sequences.

    Attributes:
        relative_norm: Euclidean norm of all differences over that of all source logits. Logits are centred at each position
            first: softmax does not see what all have in common, and a shift would make the error look small.
        absolute: largest difference of a logit, as it is.
        relative: largest over positions of (largest difference of a logit) / (largest magnitude of a source logit), centred.
            A single position with small logits, or a small divisor in LayerNorm, decides it.
        kl: mean of KL(source || target) over the target's whole vocabulary, in nats per position.
        source_loss, target_loss: mean cross-entropy of the tokens that follow, in nats.
    """

    relative_norm: float
    absolute: float
    relative: float
    kl: float
    source_loss: float
    target_loss: float

    def record(self) -> dict[str, float]:
        """As metrics of transfer.json."""
        return {
            "relative_logit_error": self.relative_norm,
            "max_absolute_logit_difference": self.absolute,
            "max_relative_logit_difference": self.relative,
            "kl": self.kl,
            "source_loss": self.source_loss,
            "target_loss": self.target_loss,
            "loss_delta": self.target_loss - self.source_loss,
        }


@dataclass
class _Sums:
    """Sums for `Difference` over the positions so far."""

    positions: int = 0
    apart: float = 0.0
    size: float = 0.0
    absolute: float = 0.0
    relative: float = 0.0
    kl: float = 0.0
    source_loss: float = 0.0
    target_loss: float = 0.0

    def add(self, s: Tensor, t: Tensor, following: Tensor) -> None:
        """Logits (n, v) of the source and (n, V) of the target, and the tokens that followed. Sums are in float64."""
        s, t = s.to(torch.float64), t.to(torch.float64)
        known = t[:, : s.shape[1]]  # the source knows no others
        self.absolute = max(self.absolute, float((known - s).abs().max()))
        centred = s - s.mean(-1, keepdim=True)
        apart = (known - known.mean(-1, keepdim=True) - centred).abs()
        log_p, log_q = s.log_softmax(-1), t.log_softmax(-1)[:, : s.shape[1]]  # new tokens take from the old ones
        self.positions += len(following)
        self.apart += float(apart.square().sum())
        self.size += float(centred.square().sum())
        self.relative = max(self.relative, float((apart.amax(-1) / centred.abs().amax(-1)).max()))
        self.kl += float((log_p.exp() * (log_p - log_q)).sum())
        self.source_loss += float(F.cross_entropy(s, following, reduction="sum"))
        self.target_loss += float(F.cross_entropy(t, following, reduction="sum"))

    def difference(self) -> Difference:
        # KL is never negative; at equality, rounding may have either sign.
        kl = max(0.0, self.kl / self.positions)
        losses = self.source_loss / self.positions, self.target_loss / self.positions
        return Difference(math.sqrt(self.apart / self.size), self.absolute, self.relative, kl, *losses)


def compare(source: StreamedPhi, targets: Mapping[str, StreamedPhi], rows: Tensor) -> dict[str, Difference]:
    """Run a source and some targets over `rows` (B, T + 1). Logits of tokens that the source lacks are left out of the
    differences, but not of KL and of a target's loss. Each model's blocks are read once, or several times if attention
    scores need more than the allowed memory.
    """
    models = [source, *targets.values()]
    sums = [_Sums() for _ in targets]
    length = rows.shape[1] - 1
    at_once = max(1, SCORES // (max(model.config.num_attention_heads for model in models) * length**2))
    step = max(1, LOGITS // max(model.config.vocab_size for model in models))
    for part in rows.split(at_once):
        following = part[:, 1:].flatten().split(step)
        for (s, *others), tokens in zip(
            zip(*(_logits(m, part, step) for m in models), strict=True), following, strict=True
        ):
            for total, t in zip(sums, others, strict=True):
                total.add(s, t, tokens)
    return {name: total.difference() for name, total in zip(targets, sums, strict=True)}


def _logits(model: StreamedPhi, rows: Tensor, step: int) -> Iterator[Tensor]:
    return model.logits(model.hidden(rows[:, :-1]).flatten(0, 1), step)


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
        raise StepError(
            f"--tokens {tokens.directory} holds out {len(split)} tokens; the proof needs at least 2; add text to ingestion.sources"
        )
    available = (len(split) - 1) // length
    count = min(available, max(1, wanted // length))
    starts = np.arange(count) * available // count * length
    return torch.from_numpy(np.stack([split.read(int(start), length + 1) for start in starts]))
