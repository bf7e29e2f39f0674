"""Text generation: sampling of the next token, and the loop around it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from components.errors import StepError
from components.phi.cache import KVCache
from components.phi.model import Phi


@dataclass(frozen=True)
class Sampling:
    """Sampling settings.

    Attributes:
        temperature: 0 = greedy decoding; else tokens are sampled from softmax(logits / temperature).
        top_k: sample only from the k most likely tokens; 0 = all.
        top_p: sample only from the most likely tokens that together reach this probability (nucleus sampling).
        seed: seed of the sampling; row b uses seed + b, independently of the other rows.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises StepError for an impossible value."""
        for name, fine, expected in (
            ("temperature", 0 <= self.temperature < math.inf, "a number of at least 0"),
            ("top_k", self.top_k >= 0, "at least 0"),
            ("top_p", 0 < self.top_p <= 1, "over 0, at most 1"),
            ("seed", 0 <= self.seed < 2**63, "a whole number of at least 0, below 2^63"),
        ):
            if not fine:
                raise StepError(f"{name} is {getattr(self, name)}; expected {expected}")


GREEDY = Sampling()


@torch.no_grad()
def stream(
    model: Phi,
    tokens_BT: Tensor,
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    end_tokens: Sequence[int] | None = None,
    seen: Callable[[Tensor], None] = lambda logits_BV: None,
) -> Iterator[Tensor]:
    """The next tokens of prompts, each (B,), as soon as they are chosen, until every sequence has ended.

    A sequence that has ended is filled with its end token. Beyond the model's positions the window slides: the last
    tokens that fit are computed again for each new token, since all cached positions would shift by one.

    Args:
        tokens_BT: prompts of equal length.
        end_tokens: tokens that end a sequence; None = the end-of-text token of the model's configuration.
        seen: called with the logits (B, V) before each token is chosen.

    Raises:
        StepError: `max_new_tokens` is negative, or as `Phi.hidden`.
    """
    if max_new_tokens < 0:
        raise StepError(f"max_new_tokens is {max_new_tokens}; expected at least 0")
    draws = [torch.Generator().manual_seed(sampling.seed + row) for row in range(len(tokens_BT))]
    ends = torch.tensor([model.config.eos_token_id] if end_tokens is None else list(end_tokens), dtype=torch.long)
    ends, ended = ends.to(tokens_BT.device), torch.zeros(len(tokens_BT), dtype=torch.bool, device=tokens_BT.device)
    cache = KVCache(min(tokens_BT.shape[1] + max_new_tokens, model.config.max_position_embeddings))
    for _ in range(max_new_tokens):
        logits_BV = model.head(_last_states(model, tokens_BT, cache))
        seen(logits_BV)
        following = choose(logits_BV, sampling.temperature, sampling.top_k, sampling.top_p, draws)
        following = torch.where(ended, tokens_BT[:, -1], following)
        ended = ended | torch.isin(following, ends)
        tokens_BT = torch.cat((tokens_BT, following[:, None]), dim=1)
        yield following
        if ended.all():
            break


def _last_states(model: Phi, tokens_BT: Tensor, cache: KVCache) -> Tensor:
    """Final hidden states (B, D) of the last tokens."""
    positions = model.config.max_position_embeddings
    if tokens_BT.shape[1] > positions:
        return model.hidden(tokens_BT[:, -positions:])[:, -1]
    return model.hidden(tokens_BT[:, cache.length :], cache=cache)[:, -1]


def choose(logits_BV: Tensor, temperature: float, top_k: int, top_p: float, draws: list[torch.Generator]) -> Tensor:
    """The next token of each sequence, (B, V) -> (B,): greedy at temperature 0, else one sample from each generator."""
    if temperature <= 0:
        return logits_BV.argmax(-1)
    p_BV = (logits_BV.double() / temperature).softmax(-1)  # float64, since up to 51,200 of them are summed
    if top_k or top_p < 1:
        sorted_p, order = p_BV.sort(dim=-1, descending=True, stable=True)
        keep = sorted_p.cumsum(-1) - sorted_p < top_p
        if top_k:
            keep[:, top_k:] = False
        p_BV = p_BV * torch.zeros_like(keep).scatter(1, order, keep)
    # Summed in the vocabulary's order, so that the rounding of a probability moves a border only by that much.
    reached = p_BV.cumsum(-1)
    uniform = torch.stack([torch.rand(1, generator=draw, dtype=torch.float64) for draw in draws]).to(reached.device)
    return (reached <= uniform * reached[:, -1:]).sum(-1).clamp(max=p_BV.shape[-1] - 1)
