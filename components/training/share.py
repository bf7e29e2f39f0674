"""The share of a grown model's gain that its new entries carry.

Take the trained model, set the entries that growth added back to their values at the end of growth, and measure the
loss on held-out text again. The function was preserved at the start, so this is what the old entries have learnt without
them; the rise of the loss, divided by the whole gain of training, is the share of the new entries. The shares of new and
old entries need not sum to 1, since they have learnt together. A share says nothing about whether the model is good:
freezing the old entries raises it and the loss alike, so it is always given beside the loss.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from components.phi.model import Phi
from components.phi.weights import our_names
from components.results.statistics import ratio
from components.training.data import HeldOutLoss

Masks = Mapping[str, Tensor]  # as in `new_parameters`
Measure = Callable[[Phi], HeldOutLoss]
INSERTED, HEADS, UNITS, WIDTH = "inserted blocks", "new heads", "new units", "new width"


@dataclass(frozen=True)
class Part:
    """One group of entries, set back.

    Attributes:
        entries: their number.
        damage: rise of the loss, in nats per token.
        stderr: standard error of the damage, over the same sequences.
        share: damage over the gain of training.
        by_kind: share for each kind of held-out text.
    """

    entries: int
    damage: float
    stderr: float | None
    share: float
    by_kind: dict[str, float]


def parts_of(masks: Masks) -> dict[str, dict[str, Tensor]]:
    """Groups of entries by name: for each of Hugging Face's tensor names bool of its shape.

    `new` and `old` are all entries; the other groups divide the new ones: those of inserted blocks, then of new heads and
    head dimensions, of new units, and of the wider residual stream.
    """
    names = [name.removesuffix(".rows") for name in masks if name.endswith(".rows")]
    layers: dict[str, bool] = {}
    for name in names:
        if layer := _layer(name):
            layers[layer] = layers.get(layer, True) and bool(masks[f"{name}.rows"].all())
    groups: dict[str, dict[str, Tensor]] = {part: {} for part in ("new", "old", INSERTED, HEADS, UNITS, WIDTH)}
    for name in names:
        rows, columns = masks[f"{name}.rows"], masks.get(f"{name}.columns")
        new = rows if columns is None else rows[:, None] | columns[None, :]
        own = torch.zeros_like(new)
        group = WIDTH
        if layers.get(_layer(name) or ""):
            group, own = INSERTED, new
        elif any(part in name for part in ("q_proj", "k_proj", "v_proj")):
            group, own = HEADS, rows.expand_as(new.T).T & new
        elif "mlp.fc1" in name:
            group, own = UNITS, rows.expand_as(new.T).T & new
        elif columns is not None and ("self_attn.dense" in name or "mlp.fc2" in name):
            group, own = (HEADS if "dense" in name else UNITS), columns.expand_as(new) & new
        groups["new"][name], groups["old"][name] = new, ~new
        for part in (INSERTED, HEADS, UNITS):
            groups[part][name] = own if part == group else torch.zeros_like(new)
        groups[WIDTH][name] = new & ~own
    return groups


def _layer(name: str) -> str | None:
    words = name.split(".")
    return words[2] if words[:2] == ["model", "layers"] else None


def shares(trained: Phi, start: Phi, masks: Masks, measure: Measure) -> dict[str, Any]:
    """Loss of start and trained model, and what each group of entries carries of the gain.

    Args:
        trained, start: the model after training and at the end of growth, of one shape.
        masks: `state/new_parameters.safetensors` of the start.
        measure: held-out loss of a model, always over the same sequences.
    """
    before, after = measure(start), measure(trained)
    gain = before.nats - after.nats
    found: dict[str, Any] = {"start_loss": before.loss, "loss": after.loss, "gain": before.loss - after.loss}
    at_start, at_end = dict(start.named_parameters()), dict(trained.named_parameters())
    mixed = Phi(trained.config, trained.dtype)
    for name, group in parts_of(masks).items():
        where = our_names(trained.config, group)
        mixed.load_state_dict(
            {key: torch.where(where[key], at_start[key].detach(), at_end[key].detach()) for key in at_end}, assign=True
        )
        damage = measure(mixed.eval()).nats - after.nats
        found[name] = Part(
            entries=sum(int(chosen.sum()) for chosen in group.values()),
            damage=float(damage.sum() / before.held_out.tokens.sum()),
            stderr=ratio(damage.sum(axis=1), before.tokens.sum(axis=1)).stderr,
            share=float(damage.sum() / gain.sum()),
            by_kind={
                kind: float(d / g)
                for kind, d, g in zip(before.held_out.kinds, damage.sum(axis=0), gain.sum(axis=0), strict=True)
            },
        )
    return found


