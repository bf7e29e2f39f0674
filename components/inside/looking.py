"""Run a prompt through a Phi and record its residual stream and attention patterns."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor

from components.inside.switches import NOTHING, Switches, switched_off
from components.phi.model import Block, Phi, Rotary, rotate


class Looked(NamedTuple):
    """What one prompt of T tokens left in a model.

    Attributes:
        logits: of the next token, (T, V).
        residual: the stream before each block and after the last, (layers + 1, T, D).
        attention: what each head attends to, from the position of the first axis to that of the second, (layers, H, T, T);
            rows sum to 1. That of a block or head that is off is what it would attend to.
    """

    logits: Tensor
    residual: Tensor
    attention: Tensor


@torch.no_grad()
def look(
    model: Phi, ids: Sequence[int] | Tensor, off: Switches = NOTHING, old: Mapping[str, Tensor] | None = None
) -> Looked:
    """Run a prompt through a model, some of whose parts are off.

    Args:
        ids: the prompt's tokens, (T,).
        off: what is switched off.
        old: what `switches.before_training` returned; needed if `off.new`.

    Raises:
        StepError: the prompt is empty or too long, or the model lacks what is to be switched off.
    """
    tokens = torch.as_tensor(ids, device=model.embed.weight.device)[None]
    patterns: list[Tensor] = []
    with ExitStack() as stack:
        stack.enter_context(switched_off(model, off, old))
        for block in model.blocks:
            _record_pattern(block, patterns, stack)
        given = _record_arguments(model, stack)
        logits = model(tokens)[0]
    return Looked(logits, torch.cat([stream for stream, *_ in given]), torch.stack(patterns))


class Recorded(NamedTuple):
    """A run of a batch: the stream before each block and after the last, (layers + 1, B, T, D), and what all blocks share."""

    streams: Tensor
    surroundings: tuple[Any, ...]


@torch.no_grad()
def record(model: Phi, tokens_BT: Tensor) -> Recorded:
    """Run a batch and record its stream."""
    with ExitStack() as stack:
        arguments = _record_arguments(model, stack)
        model.hidden(tokens_BT)
    return Recorded(torch.stack([stream for stream, *_ in arguments]), tuple(arguments[0][1:3]))


@torch.no_grad()
def continued(model: Phi, recorded: Recorded, layer: int, stream_BTD: Tensor | None = None) -> Tensor:
    """Final hidden states (B, T, D) from the recorded stream before block `layer`, or from another stream there.

    With something off in that block or later it is the same as a whole run with it off, for less work.
    """
    stream = recorded.streams[layer] if stream_BTD is None else stream_BTD
    for block in list(model.blocks)[layer:]:
        stream = block(stream, *recorded.surroundings)
    return model.final_norm(stream)


def residuals(model: Phi, tokens_BT: Tensor) -> Tensor:
    """The stream before each block and after the last, (layers + 1, B, T, D)."""
    return record(model, tokens_BT).streams


def _record_arguments(model: Phi, stack: ExitStack) -> list[tuple[Any, ...]]:
    """A list that gets what each block and the final norm are given, stream first, when the model runs; until `stack` is
    closed."""
    given: list[tuple[Any, ...]] = []
    for module in (*model.blocks, model.final_norm):
        hook = module.register_forward_pre_hook(lambda _, arguments: given.append(arguments))
        stack.callback(hook.remove)
    return given


def _record_pattern(block: Any, patterns: list[Tensor], stack: ExitStack) -> None:
    """Add the attention pattern (H, T, T) of the next single sequence to `patterns`."""
    angles: list[Rotary] = []

    def remember(_: Any, arguments: tuple[Any, ...]) -> None:
        angles[:] = [arguments[1]]

    def record(_: Any, arguments: Any, qkv: Tensor) -> None:
        patterns.append(attention_pattern(block, qkv, angles[0])[0])

    stack.callback(block.register_forward_pre_hook(remember).remove)
    stack.callback(block.qkv.register_forward_hook(record).remove)


def attention_pattern(block: Block, qkv_BTX: Tensor, rotary: Rotary) -> Tensor:
    """Causal attention patterns (B, H, T, T) from what `block.qkv` returns."""
    batch, length, _ = qkv_BTX.shape
    heads, head_dim = block.config.num_attention_heads, block.config.head_dim
    qk = qkv_BTX.view(batch, length, 3, heads, head_dim)[:, :, :2]
    q, k = rotate(qk, rotary).transpose(1, 3).unbind(2)  # each (B, H, T, K)
    scores = q @ k.transpose(-1, -2) * head_dim**-0.5
    future = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)
