"""Phi in one file: the architecture of Phi-1.5 and Phi-2, computing what transformers' PhiForCausalLM computes.

Notable:
- parallel block: attention and feed-forward read one LayerNorm and are added to the residual stream together
- rotary positions on the first dimensions of each head only (half of 64 in Phi-1.5, 0.4 of 80 in Phi-2)
- biases everywhere, untied head with a bias, tanh GELU ("gelu_new"), no dropout
- weights stay in float32; activations run in `Phi.dtype`, to which each layer casts its weights
- attention by matmul and softmax or by PyTorch's fused kernel, whichever is faster for the shape and the device
- cross-entropy a chunk of tokens at a time, in float32, so that no float32 copy of all logits ever exists

Shapes in names and comments: B sequences, T positions, D hidden size, H heads, K head_dim, R rotary dims, F
feed-forward width, V vocabulary.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from components.errors import StepError
from components.params import ModelShape

IGNORE = -100  # a target that counts for nothing, as in PyTorch and transformers


@dataclass(frozen=True)
class PhiConfig:
    """Shape of a Phi, in the names of the Hugging Face configuration."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    partial_rotary_factor: float = 0.5
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    rope_theta: float = 10_000.0
    eos_token_id: int = 0

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def rotary_dims(self) -> int:
        """Dimensions of a head that carry the position, as transformers counts them."""
        return int(self.head_dim * self.partial_rotary_factor)

    @classmethod
    def from_shape(cls, shape: ModelShape, vocab_size: int, positions: int, eos_token_id: int = 0) -> "PhiConfig":
        """The configuration of a `params.yaml` shape for a vocabulary and a number of positions."""
        return cls(
            **shape.model_dump(), vocab_size=vocab_size, max_position_embeddings=positions, eos_token_id=eos_token_id
        )

    @classmethod
    def from_hf(cls, values: Mapping[str, Any], origin: str = "config.json") -> "PhiConfig":
        """Read a Hugging Face config.json, with `rope_parameters` (transformers 5) or flat rotary keys (4.x).

        Dropout probabilities are ignored: Phi's pre-training and its evaluation use none.

        Raises:
            StepError: not a Phi, an option of transformers' Phi that the published models do not use, a missing or
                impossible value; the message names the key and `origin`.
        """
        _refuse_unsupported(values, origin)
        rope = values.get("rope_parameters") or {}
        eos = values.get("eos_token_id")
        fields = {
            "partial_rotary_factor": rope.get("partial_rotary_factor", values.get("partial_rotary_factor", 0.5)),
            "rope_theta": rope.get("rope_theta", values.get("rope_theta", 10_000.0)),
            "initializer_range": values.get("initializer_range", 0.02),
            "layer_norm_eps": values.get("layer_norm_eps", 1e-5),
            "eos_token_id": (eos[0] if isinstance(eos, list) and eos else eos) or 0,
        }
        for key in (
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "max_position_embeddings",
        ):
            value = values.get(key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise StepError(f"{origin}: {key} is {value!r}; a Phi needs a whole number of at least 1")
            fields[key] = value
        return cls(**fields).checked(origin)

    def checked(self, origin: str = "configuration") -> "PhiConfig":
        """This configuration, if a Phi of it can exist.

        Raises:
            StepError: heads that do not divide the width, or an odd or zero number of rotary dimensions.
        """
        if self.hidden_size % self.num_attention_heads:
            raise StepError(
                f"{origin}: hidden_size {self.hidden_size} is not a multiple of num_attention_heads "
                f"{self.num_attention_heads}"
            )
        if self.rotary_dims < 2 or self.rotary_dims % 2 or self.rotary_dims > self.head_dim:
            raise StepError(
                f"{origin}: partial_rotary_factor {self.partial_rotary_factor} of head_dim {self.head_dim} gives "
                f"{self.rotary_dims} rotary dimensions; an even number from 2 to {self.head_dim} is needed"
            )
        return self

    def to_hf(self) -> dict[str, Any]:
        """A config.json that transformers 4 and 5, vLLM and llama.cpp's converter read as a Phi."""
        values = asdict(self)
        rope = {key: values[key] for key in ("partial_rotary_factor", "rope_theta")}
        return values | {
            "architectures": ["PhiForCausalLM"],
            "model_type": "phi",
            "num_key_value_heads": self.num_attention_heads,
            "hidden_act": "gelu_new",
            "attention_dropout": 0.0,
            "embd_pdrop": 0.0,
            "resid_pdrop": 0.0,
            "qk_layernorm": False,
            "tie_word_embeddings": False,
            "use_cache": True,
            "rope_parameters": rope | {"rope_type": "default"},
            "bos_token_id": self.eos_token_id,
            "dtype": "float32",
            "torch_dtype": "float32",
        }

    def matmul_parameters(self) -> int:
        """Weights that take part in matrix products: all but embedding, norms and biases; the head counts."""
        block = 4 * self.hidden_size**2 + 2 * self.hidden_size * self.intermediate_size
        return self.num_hidden_layers * block + self.vocab_size * self.hidden_size

    def flops_per_token(self) -> int:
        """Training FLOPs a token, forward and backward: `6 N + 12 L D T` (PaLM, appendix B; no causal discount)."""
        attention = 12 * self.num_hidden_layers * self.hidden_size * self.max_position_embeddings
        return 6 * self.matmul_parameters() + attention


def _refuse_unsupported(values: Mapping[str, Any], origin: str) -> None:
    if values.get("model_type") != "phi":
        raise StepError(f"{origin}: model_type is {values.get('model_type')!r}; only 'phi' is read")
    heads = values.get("num_attention_heads")
    rope = values.get("rope_parameters") or {}
    allowed = {
        "num_key_value_heads": (values.get("num_key_value_heads"), (None, heads)),
        "qk_layernorm": (values.get("qk_layernorm"), (None, False)),
        "tie_word_embeddings": (values.get("tie_word_embeddings"), (None, False)),
        "hidden_act": (values.get("hidden_act"), (None, "gelu_new")),
        "rope_scaling": (values.get("rope_scaling"), (None,)),
        "rope_parameters.rope_type": (rope.get("rope_type"), (None, "default")),
    }
    for key, (given, fine) in allowed.items():
        if given not in fine:
            raise StepError(f"{origin}: {key} is {json.dumps(given)}; Phi-1.5 and Phi-2 have {json.dumps(fine[-1])}")


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

    def forward(self, x_BTD: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        h_BTD = self.norm(x_BTD)
        feed_forward = self.fc2(F.gelu(self.fc1(h_BTD), approximate="tanh"))
        return x_BTD + self.dense(self.attention(h_BTD, rotary)) + feed_forward

    def attention(self, h_BTD: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        """Causal self-attention before its output projection, (B, T, D) -> (B, T, D)."""
        heads, head_dim = self.config.num_attention_heads, self.config.head_dim
        batch, length, width = h_BTD.shape
        # split, not slices: the backward of a slice allocates and zeroes a tensor as large as the whole
        qk, v = self.qkv(h_BTD).view(batch, length, 3, heads, head_dim).split((2, 1), dim=2)
        q, k = rotate(qk, rotary).transpose(1, 3).unbind(2)  # each (B, H, T, K)
        out = causal_attention(q, k, v.squeeze(2).transpose(1, 2))
        return out.transpose(1, 2).reshape(batch, length, width)


def rotary_table(config: PhiConfig, positions: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary angles, each (positions, R / 2) in float32, as transformers computes them."""
    dims = config.rotary_dims
    frequencies = 1.0 / (config.rope_theta ** (torch.arange(0, dims, 2, dtype=torch.float32) / dims))
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), frequencies)
    return angles.cos(), angles.sin()


def rotate(qk: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the first R dimensions of queries and keys (B, T, 2, H, K) by their positions (RoFormer, half-split)."""
    cos, sin = rotary  # (T, 1, 1, R / 2)
    half = cos.shape[-1]
    first, second, rest = qk.split((half, half, qk.shape[-1] - 2 * half), dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin, rest), dim=-1)


def causal_attention(q: Tensor, k: Tensor, v: Tensor, method: str = "auto") -> Tensor:
    """softmax(q k^T / sqrt(K)) v under a causal mask; q, k, v are (B, H, T, K).

    Args:
        method: "matmul", "sdpa" (PyTorch's fused kernel), or "auto": on a CPU with bfloat16 and T <= 512 the fused
            kernel is the slower one, elsewhere the faster.
    """
    length = q.shape[-2]
    if method == "auto":
        method = "matmul" if q.device.type == "cpu" and q.dtype == torch.bfloat16 and length <= 512 else "sdpa"
    if method == "sdpa":
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    # The mask is added, not filled in: adding costs nothing in the backward pass.
    mask = torch.full((length, length), -math.inf, dtype=q.dtype, device=q.device).triu(1)
    scores = torch.baddbmm(mask, q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2), alpha=q.shape[-1] ** -0.5)
    return (scores.softmax(-1) @ v.flatten(0, 1)).view_as(v)


class HeadCrossEntropy(torch.autograd.Function):
    """Head and mean cross-entropy in one, a chunk of tokens at a time.

    Each chunk's gradient is taken with its loss, so all logits of a batch never exist at once: as fast as the plain
    way at a vocabulary of 2,048, and gigabytes smaller at 51,200 (the idea of Wijmans et al., "Cut Your Losses in
    Large-Vocabulary Language Models", without its filtering).
    """

    CHUNK = 512  # tokens

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, weight_VD: Tensor, bias_V: Tensor, targets_N: Tensor, learning: bool) -> Tensor:
        wide = torch.float64 if x_ND.dtype == torch.float64 else torch.float32
        w, b = weight_VD.to(x_ND.dtype), bias_V.to(x_ND.dtype)
        count = (targets_N != IGNORE).sum().clamp(min=1)
        total = torch.zeros((), dtype=wide, device=x_ND.device)
        if learning:
            dx, dw, db = torch.empty_like(x_ND), torch.zeros_like(weight_VD), torch.zeros_like(bias_V)
        for start in range(0, len(x_ND), HeadCrossEntropy.CHUNK):
            part = slice(start, start + HeadCrossEntropy.CHUNK)
            x, targets = x_ND[part], targets_N[part]
            log_p = F.linear(x, w, b).to(wide).log_softmax(-1)
            total += F.nll_loss(log_p, targets, ignore_index=IGNORE, reduction="sum")
            if learning:
                counts = targets != IGNORE
                d_logits = log_p.exp_()  # softmax minus one at the target, over the number of targets
                d_logits[torch.arange(len(x), device=x.device), targets.clamp(min=0)] -= 1
                d_logits *= (counts / count).to(wide)[:, None]
                db += d_logits.sum(0)
                narrow = d_logits.to(x.dtype)
                dx[part] = narrow @ w
                dw += narrow.T @ x
        if learning:
            ctx.save_for_backward(dx, dw, db)
        return total / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (upstream,) = gradients
        return *(saved * upstream.to(saved.dtype) for saved in ctx.saved_tensors), None, None


class Phi(nn.Module):
    """A Phi language model. Weights hold no values until `initialize` or `components.phi.checkpoint.load`.

    Attributes:
        config: its shape.
        dtype: of the activations.
    """

    def __init__(self, config: PhiConfig, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config.checked()
        self.dtype = dtype
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size, _weight=torch.empty(_table_shape(config)))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.final_norm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.head = Linear(config.hidden_size, config.vocab_size)
        cos, sin = rotary_table(config, config.max_position_embeddings)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    @torch.no_grad()
    def initialize(self, seed: int) -> "Phi":
        """Draw initial weights from `seed`: matrices N(0, initializer_range^2), norms 1, biases 0, as Phi's."""
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(0.0, self.config.initializer_range, generator=generator)
            else:
                parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
        return self

    def hidden(self, tokens_BT: Tensor) -> Tensor:
        """Final hidden states (B, T, D), from which the head reads.

        Raises:
            StepError: more positions than the model has.
        """
        length = tokens_BT.shape[1]
        if length > self.config.max_position_embeddings:
            raise StepError(
                f"a sequence of {length} tokens is longer than the model's "
                f"{self.config.max_position_embeddings} positions; shorten it"
            )
        cos, sin = (table[:length, None, None, :].to(self.dtype) for table in (self.cos, self.sin))
        x_BTD = self.embed(tokens_BT).to(self.dtype)
        for block in self.blocks:
            x_BTD = block(x_BTD, (cos, sin))
        return self.final_norm(x_BTD)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits (B, T, V) of the next token, in `dtype`, for token ids (B, T)."""
        return self.head(self.hidden(tokens_BT))

    def loss(self, tokens_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Mean cross-entropy in nats a target, float32 (float64 for a float64 model). Targets of -100 count not."""
        hidden_ND = self.hidden(tokens_BT).flatten(0, 1)
        head, learning = self.head, torch.is_grad_enabled()
        return HeadCrossEntropy.apply(hidden_ND, head.weight, head.bias, targets_BT.flatten(), learning)

    @torch.no_grad()
    def generate(
        self,
        tokens_BT: Tensor,
        max_new_tokens: int,
        temperature: float = 0.0,
        top_k: int = 0,
        seed: int = 0,
        stop_at_eos: bool = True,
    ) -> Tensor:
        """Continue prompts of equal length, (B, T) -> (B, T + n) with n <= max_new_tokens.

        Beyond the model's positions the window slides. A sequence that has ended is filled with the end token.

        Args:
            temperature: 0 takes the likeliest token; else tokens are drawn from softmax(logits / temperature).
            top_k: draw only from the k likeliest tokens; 0 means all.
        """
        generator = torch.Generator(device=tokens_BT.device).manual_seed(seed)
        eos = self.config.eos_token_id
        ended = torch.zeros(len(tokens_BT), dtype=torch.bool, device=tokens_BT.device)
        for _ in range(max_new_tokens):
            window = tokens_BT[:, -self.config.max_position_embeddings :]
            logits = self.head(self.hidden(window)[:, -1]).float()
            following = choose(logits, temperature, top_k, generator)
            if stop_at_eos:
                following = following.masked_fill(ended, eos)
                ended = ended | (following == eos)
            tokens_BT = torch.cat((tokens_BT, following[:, None]), dim=1)
            if ended.all():
                break
        return tokens_BT

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


def choose(logits_BV: Tensor, temperature: float, top_k: int, generator: torch.Generator) -> Tensor:
    """The next token of each sequence, (B, V) -> (B,): greedy at temperature 0, else sampled."""
    if temperature <= 0:
        return logits_BV.argmax(-1)
    scaled = logits_BV / temperature
    if 0 < top_k < scaled.shape[-1]:
        kth = scaled.topk(top_k).values[:, -1:]
        scaled = scaled.masked_fill(scaled < kth, -math.inf)
    return torch.multinomial(scaled.softmax(-1), 1, generator=generator).squeeze(1)


def _table_shape(config: PhiConfig) -> tuple[int, int]:
    return config.vocab_size, config.hidden_size
