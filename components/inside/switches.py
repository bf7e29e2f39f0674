"""Switch off blocks and heads of a Phi, and what growth added to it, for as long as a `with` block lasts.

A block that is off passes its input on. A head that is off writes zeros, so of its block's attention the other heads and
the output's bias remain, as in transformer-lens' `hook_z`. New entries are not set to zero but to their values at the end of
growth, since only then nothing else changes: the model is the small one, trained on as a part of the large one.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from components.errors import StepError
from components.phi.model import Phi
from components.phi.new_entries import NewEntries


@dataclass(frozen=True)
class Switches:
    """What is switched off.

    Attributes:
        blocks: numbers of blocks.
        heads: (block, head) pairs.
        new: every entry that growth added.
    """

    blocks: frozenset[int] = frozenset()
    heads: frozenset[tuple[int, int]] = frozenset()
    new: bool = False


NOTHING = Switches()


def before_training(model: Phi, grown: Path) -> dict[str, Tensor]:
    """The model's parameters by our names, with the entries that growth added as growth left them.

    Args:
        grown: the grown checkpoint that the model was trained from.

    Raises:
        StepError: it was not grown, or has another shape.
    """
    return set_back(model, NewEntries(grown, model.config))


def set_back(model: Phi, entries: NewEntries, chosen: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The model's parameters by our names, with some entries as growth left them.

    Args:
        chosen: which entries, bool of each parameter's shape; None for all new ones.
    """
    which = entries.new if chosen is None else chosen
    return {
        name: torch.where(which[name], entries.start(name).to(tensor.dtype), tensor.detach())
        for name, tensor in model.named_parameters()
    }


@contextmanager
def switched_off(model: Phi, off: Switches, old: Mapping[str, Tensor] | None = None) -> Iterator[Phi]:
    """The model with these parts off, until the block ends. Nothing else may use it meanwhile.

    Args:
        old: what `before_training` returned; needed if `off.new`.

    Raises:
        StepError: the model has no such block or head, or `old` is missing.
    """
    _check(model, off)
    with ExitStack() as stack:
        if off.new:
            if old is None:
                raise StepError("what growth added cannot be switched off; name the grown checkpoint of this model")
            stack.enter_context(with_parameters(model, old))
        for number in off.blocks:
            stack.callback(model.blocks[number].register_forward_hook(_pass_on).remove)
        for number in {block for block, _ in off.heads}:
            heads = [head for block, head in off.heads if block == number]
            stack.callback(_silence(model.blocks[number], heads).remove)
        yield model


@contextmanager
def with_parameters(model: Phi, parameters: Mapping[str, Tensor]) -> Iterator[Phi]:
    """The model with other parameters of the same shapes, by our names, until the block ends; nothing is copied."""
    own = {name: parameter.data for name, parameter in model.named_parameters()}
    try:
        for name, parameter in model.named_parameters():
            parameter.data = parameters[name]
        yield model
    finally:
        for name, parameter in model.named_parameters():
            parameter.data = own[name]


def _check(model: Phi, off: Switches) -> None:
    blocks, heads = model.config.num_hidden_layers, model.config.num_attention_heads
    if wrong := [block for block in (*off.blocks, *(block for block, _ in off.heads)) if not 0 <= block < blocks]:
        raise StepError(f"the model has no block {wrong[0]}; expected 0 to {blocks - 1}")
    if wrong := [head for _, head in off.heads if not 0 <= head < heads]:
        raise StepError(f"the model has no head {wrong[0]}; expected 0 to {heads - 1}")


def _pass_on(block: Any, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
    return arguments[0]


def _silence(block: Any, heads: list[int]) -> RemovableHandle:
    """Set what these heads write to zero, before the attention's output projection."""
    kept = torch.ones(block.config.num_attention_heads)
    kept[heads] = 0.0
    mask = kept.repeat_interleave(block.config.head_dim)

    def hook(dense: Any, arguments: tuple[Tensor]) -> tuple[Tensor]:
        return (arguments[0] * mask.to(arguments[0]),)

    return block.dense.register_forward_pre_hook(hook)
