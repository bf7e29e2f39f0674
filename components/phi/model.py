"""Phi in one file: the architecture of Phi-1.5 and Phi-2, with the same results as transformers' PhiForCausalLM.

Notable:
- parallel block: attention and feed-forward read one LayerNorm and are added to the residual stream together
- rotary positions on the first dimensions of each head only (half of 64 in Phi-1.5, 0.4 of 80 in Phi-2)
- biases everywhere, untied head with a bias, tanh GELU ("gelu_new"), no dropout
- weights are float32; activations are in `Phi.dtype`, to which each layer casts its weights
- attention by matmul and softmax or by PyTorch's fused kernel, whichever is faster for the shape and the device; for
  documents packed into one sequence by FlexAttention on CUDA, which skips blocks without attention between them
- cross-entropy one chunk of tokens at a time, in float32, so that a float32 copy of all logits never exists
- `hidden` continues from a cache of keys and values; generation is in generation.py, the shape and its config.json in
  config.py

Shapes in names and comments: B sequences, T positions, S positions with those of the cache, D hidden size, H heads,
K head_dim, R rotary dims, F feed-forward width, V vocabulary, N = B * T.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.utils.checkpoint import checkpoint

from components.errors import StepError
from components.phi.cache import KVCache
from components.phi.config import PhiConfig, chunk_tokens

Rotary = tuple[Tensor, Tensor]
Mask = Tensor | BlockMask | None  # added to the scores; FlexAttention's blocks; or plainly causal

GELU = 2 * math.sqrt(2 / math.pi)  # twice the factor within its tanh
IGNORE = -100  # an ignored target, as in PyTorch and transformers


class Linear(nn.Module):
    """`x W^T + b` with weight (out, in) and bias in their own dtype, cast to that of `x`. Created without values."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


class LayerNorm(nn.Module):
    """LayerNorm over the last dimension, with gain and bias cast to the dtype of `x`. Created without values."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


def gelu(x: Tensor) -> Tensor:
    """Phi's GELU, approximated by tanh."""
    if x.device.type == "cpu" and torch.compiler.is_compiling():
        # The same function, since (1 + tanh u) / 2 = sigmoid(2 u); compiled code needs a third of the time for it.
        return x * torch.sigmoid(x * (GELU + GELU * 0.044715 * x * x))
    return F.gelu(x, approximate="tanh")


class Block(nn.Module):
    """`x + attention(norm(x)) + feed_forward(norm(x))`."""

    def __init__(self, config: PhiConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.norm = LayerNorm(width, config.layer_norm_eps)
        self.qkv = Linear(width, 3 * width)
        self.dense = Linear(width, width)
        self.fc1 = Linear(width, config.intermediate_size)
        self.fc2 = Linear(config.intermediate_size, width)

    def forward(
        self, x_BTD: Tensor, rotary: Rotary, mask: Mask = None, cache: KVCache | None = None, layer: int = 0
    ) -> Tensor:
        h_BTD = self.norm(x_BTD)
        feed_forward = self.fc2(gelu(self.fc1(h_BTD)))
        return x_BTD + self.dense(self.attention(h_BTD, rotary, mask, cache, layer)) + feed_forward

    def attention(self, h_BTD: Tensor, rotary: Rotary, mask: Mask, cache: KVCache | None, layer: int) -> Tensor:
        """Self-attention before its output projection, (B, T, D) -> (B, T, D)."""
        heads, head_dim = self.config.num_attention_heads, self.config.head_dim
        batch, length, width = h_BTD.shape
        # split, not slices: the backward of a slice allocates and zeroes a tensor as large as the whole
        qk, v = self.qkv(h_BTD).view(batch, length, 3, heads, head_dim).split((2, 1), dim=2)
        q, k = rotate(qk, rotary).transpose(1, 3).unbind(2)  # each (B, H, T, K)
        v = v.squeeze(2).transpose(1, 2)
        if cache is not None:
            k, v = cache.extend(layer, k, v)  # each (B, H, S, K)
        return attend(q, k, v, mask).transpose(1, 2).reshape(batch, length, width)


def rotary_table(config: PhiConfig, positions: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary angles, each (positions, R / 2) in float32, as transformers computes them."""
    dims = config.rotary_dims
    frequencies = 1.0 / (config.rope_theta ** (torch.arange(0, dims, 2, dtype=torch.float32) / dims))
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), frequencies)
    return angles.cos(), angles.sin()


def rotate(qk: Tensor, rotary: Rotary) -> Tensor:
    """Turn the first R dimensions of queries and keys (B, T, 2, H, K) by their positions (RoFormer, half-split)."""
    cos, sin = rotary  # (1 or B, T, 1, 1, R / 2)
    half = cos.shape[-1]
    first, second, rest = qk.split((half, half, qk.shape[-1] - 2 * half), dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin, rest), dim=-1)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask = None, method: str = "auto") -> Tensor:
    """softmax(q k^T / sqrt(K) + mask) v for queries (B, H, T, K), keys and values (B, H, S, K).

    Args:
        mask: (1 or B, 1, T, S), or FlexAttention's. None means causal if T == S, and no mask for a single query.
        method: "matmul", "sdpa" (PyTorch's fused kernel), or "auto": matmul on a CPU with bfloat16 and S <= 512, where it
            is faster, else sdpa.
    """
    if isinstance(mask, BlockMask):
        return _flex_attention()(q, k, v, block_mask=mask)
    causal = mask is None and q.shape[-2] > 1
    if method == "auto":
        method = "matmul" if q.device.type == "cpu" and q.dtype == torch.bfloat16 and k.shape[-2] <= 512 else "sdpa"
    if method == "sdpa":
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal)
    flat_q, flat_k, flat_v = q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1)
    if causal:
        return _causal_attention(flat_q, flat_k, flat_v).view_as(q)
    scores = (flat_q * q.shape[-1] ** -0.5) @ flat_k.transpose(1, 2)
    scores = scores if mask is None else (scores.view(*q.shape[:-1], -1) + mask).flatten(0, 1)
    return (scores.softmax(-1) @ flat_v).view_as(q)


def _causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention (B * H, T, K) by matmul, in two halves of the queries: the first half sees only half of the keys,
    which saves a quarter of the scores."""
    length, parts = q.shape[1], []
    borders = (0, length // 2, length) if length > 1 else (0, length)
    for start, end in pairwise(borders):
        above = torch.full((end - start, end), -math.inf, dtype=q.dtype, device=q.device).triu(start + 1)
        # The mask is added, not filled in: adding costs nothing in the backward pass.
        scores = torch.baddbmm(above, q[:, start:end], k[:, :end].transpose(1, 2), alpha=q.shape[-1] ** -0.5)
        parts.append(scores.softmax(-1) @ v[:, :end])
    return torch.cat(parts, 1)


def document_mask(documents_BT: Tensor, dtype: torch.dtype) -> Mask:
    """Causal attention within documents: position t sees s <= t if both have the same document number."""
    if documents_BT.device.type == "cuda":
        return block_mask(documents_BT)
    seen = (documents_BT[:, :, None] == documents_BT[:, None, :]).tril()
    return torch.zeros_like(seen, dtype=dtype).masked_fill_(~seen, -math.inf)[:, None]


def block_mask(documents_BT: Tensor) -> BlockMask:
    """`document_mask` for FlexAttention."""

    def seen(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return (q >= k) & (documents_BT[b, q] == documents_BT[b, k])

    batch, length = documents_BT.shape
    return create_block_mask(seen, batch, None, length, length, device=documents_BT.device)


@lru_cache(maxsize=1)
def _compiled_flex_attention() -> Any:
    return torch.compile(flex_attention, dynamic=False)  # uncompiled it would store all scores


def _flex_attention() -> Any:
    return flex_attention if torch.compiler.is_compiling() else _compiled_flex_attention()


class HeadCrossEntropy(torch.autograd.Function):
    """Head and mean cross-entropy in one, one chunk of tokens at a time.

    Each chunk's gradient is computed with its loss, so all logits of a batch never exist at once: as fast as separate
    steps at a vocabulary of 2,048, with gigabytes less memory at 51,200 (the idea of Wijmans et al., "Cut Your Losses in
    Large-Vocabulary Language Models", without its filtering). The head's gradients are summed over the chunks in
    float32, even if its weights are bfloat16.

    The value is the cross-entropy; the gradient is that of
    (1 - weight) * cross-entropy + weight * T^2 KL(teacher || model) + z_loss * mean(logsumexp(logits)^2),
    with the teacher's weight, 0 without a teacher, and both models' logits divided by the temperature T in the divergence.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor,
        targets_N: Tensor,
        learning: bool,
        z_loss: float,
        soft: "SoftTargets | None" = None,
        loss_of_chunk: Callable[..., tuple[Tensor, Tensor | None]] | None = None,
    ) -> Tensor:
        wide, w, b = _head(x_ND, weight_VD, bias_V)
        count = (targets_N != IGNORE).sum()
        total = torch.zeros((), dtype=wide, device=x_ND.device)
        if learning:
            dx, dw, db = torch.empty_like(x_ND), torch.zeros_like(w, dtype=wide), torch.zeros_like(b, dtype=wide)
        for part in chunks(x_ND):
            x, targets = x_ND[part], targets_N[part]
            taught = soft and soft.chunk(part)
            loss, d_logits = (loss_of_chunk or chunk_loss)(F.linear(x, w, b), targets, learning, z_loss, taught)
            total += loss
            if d_logits is not None:
                d_logits, counts = d_logits.to(x.dtype), (targets != IGNORE).to(x.dtype)[:, None]
                dx[part] = (d_logits @ w) * counts
                dw += d_logits.T @ (x * counts)
                db += (counts.T @ d_logits)[0]
            del d_logits
        if learning:
            ctx.save_for_backward(count, dx, dw, db)
        return total / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (upstream,) = gradients
        count, *saved = ctx.saved_tensors
        scale = (
            upstream / count
        )  # not rounded to bfloat16: that would change all gradients below the head by up to 0.2%
        return *((tensor.to(scale.dtype) * scale).to(tensor.dtype) for tensor in saved), *[None] * 5


@dataclass(frozen=True)
class SoftTargets:
    """A teacher's prediction of each next token, as the hidden states (N, D') that its head reads, its weight, and the
    temperature of the divergence."""

    hidden_ND: Tensor
    head: "Linear"
    weight: float | Tensor
    temperature: float

    def chunk(self, part: slice) -> "SoftTargets":
        return SoftTargets(self.hidden_ND[part], self.head, self.weight, self.temperature)

    def probabilities(self, logits: Tensor, dtype: torch.dtype) -> Tensor:
        """(N, V), at the temperature."""
        return (logits if self.temperature == 1 else logits.to(dtype) / self.temperature).softmax(-1, dtype=dtype)

    def gradient(self, logits: Tensor, p: Tensor) -> Tensor:
        """Gradient of the weighted divergence with respect to the model's `logits`, minus weight * `p`, its probabilities
        at temperature 1."""
        scale, taught = self.weight * self.temperature, self.probabilities(self.head(self.hidden_ND), p.dtype)
        if self.temperature == 1:
            return taught.mul_(-scale)
        return self.probabilities(logits, p.dtype).sub_(taught).mul_(scale).sub_(p * self.weight)


@dataclass(frozen=True)
class Compiled:
    """The parts of `Phi.loss`, compiled (`torch.compile`).

    The head's chunks are compiled apart, each after the other: in one graph with the rest the compiler computes the logits
    of all chunks first, and they no longer bound the memory.

    Attributes:
        hidden: `Phi.hidden`.
        chunk_loss: `chunk_loss`.
    """

    hidden: Callable[..., Tensor]
    chunk_loss: Callable[..., tuple[Tensor, Tensor | None]]


def chunks(x_ND: Tensor) -> list[slice]:
    size = chunk_tokens(x_ND.device.type)
    return [slice(start, start + size) for start in range(0, len(x_ND), size)]


def chunk_loss(
    logits: Tensor, targets: Tensor, learning: bool, z_loss: float, soft: SoftTargets | None
) -> tuple[Tensor, Tensor | None]:
    """Sum of the cross-entropies of a chunk, and the gradient of each token's objective with respect to its logits,
    ignored ones included."""
    wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
    chosen, counts = targets.clamp(min=0)[:, None], (targets != IGNORE)[:, None]
    p = logits.softmax(-1, dtype=wide)
    # The largest probability is 1 / sum(exp(logit - top)), which is never small, so no pass over logarithms is needed.
    lse = logits.amax(-1, keepdim=True).to(wide) - p.amax(-1, keepdim=True).log()
    loss = ((lse - logits.gather(1, chosen)) * counts).sum()
    if not learning:
        return loss, None
    divergence = None if soft is None else soft.gradient(logits, p)
    if z_loss:  # d lse^2 = 2 lse softmax
        p *= 1 + 2 * z_loss * lse
    if soft is None or divergence is None:
        return loss, p.scatter_add_(1, chosen, p.new_full(chosen.shape, -1.0))
    return loss, p.scatter_add_(1, chosen, p.new_ones(chosen.shape) * (soft.weight - 1)).add_(divergence)


def _head(x_ND: Tensor, weight_VD: Tensor, bias_V: Tensor) -> tuple[torch.dtype, Tensor, Tensor]:
    """The dtype to sum in, and the head's weights in the activations' dtype."""
    wide = torch.float64 if x_ND.dtype == torch.float64 else torch.float32
    return wide, weight_VD.to(x_ND.dtype), bias_V.to(x_ND.dtype)


class Phi(nn.Module):
    """A Phi language model. Weights have no values until `initialize` or `components.phi.checkpoint.load`.

    Attributes:
        config: the model's shape.
        dtype: data type of the activations.
        recompute: keep only each block's input for the backward pass and compute the block again there: far less
            memory, a third more time, the same bits.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, config: PhiConfig, dtype: torch.dtype = torch.float32, recompute: bool = False) -> None:
        super().__init__()
        self.config = config.checked()
        self.dtype, self.recompute = dtype, recompute
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size, _weight=torch.empty(_table_shape(config)))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.final_norm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.head = Linear(config.hidden_size, config.vocab_size)
        cos, sin = rotary_table(config, config.max_position_embeddings)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    @torch.no_grad()
    def initialize(self, seed: int) -> "Phi":
        """Set random initial weights, like Phi's: matrices N(0, initializer_range^2), norms 1, biases 0."""
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(0.0, self.config.initializer_range, generator=generator)
            else:
                parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
        for buffer, values in zip((self.cos, self.sin), rotary_table(self.config, len(self.cos)), strict=True):
            buffer.copy_(values)  # a model made on the meta device does not have them yet
        return self

    def hidden(self, tokens_BT: Tensor, documents_BT: Tensor | None = None, cache: KVCache | None = None) -> Tensor:
        """Final hidden states (B, T, D), from which the head reads.

        Args:
            documents_BT: document number of each position; attention stays within a document. Positions continue over
                the sequence: rotary attention depends only on distances, so a document's place does not matter.
            cache: keys and values of the earlier tokens, which `tokens_BT` continues; it is extended.

        Raises:
            StepError: there are no tokens, more positions than the model has, or an invalid id (checked on a CPU only).
        """
        self._check(tokens_BT, cache)
        rotary, mask = self._surroundings(tokens_BT, documents_BT, cache)
        x_BTD = self.embed(tokens_BT).to(self.dtype)
        recompute = self.recompute and torch.is_grad_enabled()
        for layer, block in enumerate(self.blocks):
            if recompute:  # no dropout, so no random state to keep
                x_BTD = checkpoint(block, x_BTD, rotary, mask, use_reentrant=False, preserve_rng_state=False)
            elif cache is None:  # without its number, for which each block would be compiled again
                x_BTD = block(x_BTD, rotary, mask)
            else:
                x_BTD = block(x_BTD, rotary, mask, cache, layer)
        if cache is not None:
            cache.length += tokens_BT.shape[1]
        return self.final_norm(x_BTD)

    def _surroundings(
        self, tokens_BT: Tensor, documents_BT: Tensor | None, cache: KVCache | None
    ) -> tuple[Rotary, Mask]:
        """The input that all blocks share: rotary angles and the attention mask."""
        length = tokens_BT.shape[1]
        if cache is None:
            positions: slice | Tensor = slice(length)
            mask: Mask = None
            if documents_BT is not None:
                mask = document_mask(documents_BT, self.dtype)
        elif documents_BT is None:
            positions, mask = cache.positions(length), cache.mask(length, self.dtype, tokens_BT.device)
        else:
            raise StepError("documents and a cache were given; a cache has one document per sequence; give one of them")
        cos, sin = (table[positions][..., None, None, :].to(self.dtype) for table in (self.cos, self.sin))
        return (cos, sin), mask

    def _check(self, tokens_BT: Tensor, cache: KVCache | None) -> None:
        length = tokens_BT.shape[1] + (cache.length if cache else 0)
        if length > self.config.max_position_embeddings:
            raise StepError(
                f"a sequence of {length} tokens is longer than the model's "
                f"{self.config.max_position_embeddings} positions; shorten it"
            )
        if not tokens_BT.numel():
            raise StepError(f"the batch is empty: {tokens_BT.shape[0]} sequences of {tokens_BT.shape[1]} tokens")
        if _cheap_to_look_at(tokens_BT):
            self._check_ids(tokens_BT, "token")

    def _check_ids(self, ids: Tensor, what: str) -> None:
        low, high = (int(bound) for bound in ids.aminmax())
        if low < 0 or high >= self.config.vocab_size:
            bad = low if low < 0 else high
            raise StepError(
                f"the {what} id is {bad}; expected 0 to {self.config.vocab_size - 1}; tokenize with the model's own tokenizer"
            )

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits (B, T, V) of the next token, in `dtype`, for token ids (B, T)."""
        return self.head(self.hidden(tokens_BT))

    def loss(
        self,
        tokens_BT: Tensor,
        targets_BT: Tensor,
        documents_BT: Tensor | None = None,
        z_loss: float = 0.0,
        teacher: "Phi | None" = None,
        teacher_weight: float | Tensor = 0.0,
        temperature: float = 1.0,
        compiled: "Compiled | None" = None,
    ) -> Tensor:
        """Mean cross-entropy in nats per target, float32 (float64 for a float64 model). Targets of -100 are ignored.

        Args:
            documents_BT: as for `hidden`.
            z_loss: weight of mean(logsumexp(logits)^2), which keeps logits from drifting (PaLM, section 5). It changes
                only the gradient, so that the value is the same with and without it.
            teacher: a model of the same vocabulary; its next-token distributions are learned too (knowledge distillation
                with the forward KL divergence; Hinton et al., arXiv 1503.02531).
            teacher_weight: weight of that divergence; the cross-entropy has the rest. It changes only the gradient.
            temperature: T by which both models' logits are divided within the divergence, which is multiplied by T^2, so
                that its gradient keeps its size.
            compiled: compiled forms of the parts, which are used instead.

        Raises:
            StepError: as `hidden`; or all targets are ignored (on a GPU a check would wait, so the loss is NaN there).
        """
        if _cheap_to_look_at(targets_BT):
            counted = targets_BT[targets_BT != IGNORE]
            if not counted.numel():
                raise StepError(f"all {targets_BT.numel()} targets of a batch are ignored; leave out the batch")
            self._check_ids(counted, "target")
        hidden, loss_of_chunk = (compiled.hidden, compiled.chunk_loss) if compiled else (Phi.hidden, chunk_loss)
        hidden_ND = hidden(self, tokens_BT, documents_BT).flatten(0, 1)
        head, learning, soft = self.head, torch.is_grad_enabled(), None
        if teacher is not None and learning:
            with torch.no_grad():
                taught_ND = hidden(teacher, tokens_BT, documents_BT).flatten(0, 1)
            soft = SoftTargets(taught_ND, teacher.head, teacher_weight, temperature)
        targets_N = targets_BT.flatten()
        return HeadCrossEntropy.apply(
            hidden_ND, head.weight, head.bias, targets_N, learning, z_loss, soft, loss_of_chunk
        )

    @torch.no_grad()
    def token_losses(self, tokens_BT: Tensor, targets_BT: Tensor, documents_BT: Tensor | None = None) -> Tensor:
        """Cross-entropy of each target in nats, (B, T) in float32, without gradient; 0 where a target is -100."""
        hidden_ND = self.hidden(tokens_BT, documents_BT).flatten(0, 1)
        wide, w, b = _head(hidden_ND, self.head.weight, self.head.bias)
        targets_N = targets_BT.flatten()
        losses = [
            F.cross_entropy(
                F.linear(hidden_ND[part], w, b).to(wide), targets_N[part], ignore_index=IGNORE, reduction="none"
            )
            for part in chunks(hidden_ND)
        ]
        return torch.cat(losses).view_as(targets_BT).float()


def _cheap_to_look_at(values: Tensor) -> bool:
    """Whether values can be checked without waiting for a device or breaking a compiled graph."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def _table_shape(config: PhiConfig) -> tuple[int, int]:
    return config.vocab_size, config.hidden_size
