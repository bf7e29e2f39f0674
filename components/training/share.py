"""How much of a grown model's gain its new entries carry.

The entries that growth added are set back to their values at the end of growth, and the held-out loss is measured again:
its rise over the gain of training is their share. The same is measured for the entries copied from the small model, and for
the new ones by place. Shares of new and copied entries need not sum to 1, since they have learnt together. A share says
nothing about whether the model is good (freezing the copied entries raises it and the loss alike), so read it beside the
loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file
from torch import Tensor

from components.phi import checkpoint
from components.phi.model import Phi
from components.phi.new_entries import NewEntries, groups_of
from components.phi.weights import NEW_PARAMETERS, our_names
from components.results.statistics import ratio
from components.training.data import HeldOut, HeldOutLoss
from components.training.module import PhiTraining, held_out_loss

Masks = Mapping[str, Tensor]  # bool of each tensor's shape, by Hugging Face's names


@dataclass(frozen=True)
class Along:
    """Measures the share of the new entries while a grown model is trained, on a part of the held-out sequences.

    Attributes:
        entries: the new entries.
        sample: every `every`-th of the sequences of each validation.
        columns: what `measure` returns.
    """

    entries: NewEntries
    sample: HeldOut
    every: ClassVar[int] = 4
    columns: ClassVar[tuple[str, ...]] = ("sample_loss", "new_damage", "new_damage_stderr", "new_share")

    def measure(self, module: PhiTraining, after: HeldOutLoss, start: Mapping[str, float] | None) -> dict[str, float]:
        """The loss on the sample, and what setting the new entries back adds to it, in nats per token; and its share of the
        gain since the start, if the gain is more than twice the standard error of that.

        Args:
            after: the whole validation.
            start: what this returned at the start of training; None there.
        """
        nats = after.nats[:: self.every].sum(axis=1)
        tokens = after.tokens[:: self.every].sum(axis=1)
        loss = float(nats.sum() / tokens.sum())
        if start is None:
            return {"sample_loss": loss}
        damage = ratio(module.validate_on(self.sample, self.entries).nats.sum(axis=1) - nats, tokens)
        gain = start["sample_loss"] - loss
        found = {"sample_loss": loss, "new_damage": damage.value}
        found |= {} if damage.stderr is None else {"new_damage_stderr": damage.stderr}
        return found | ({"new_share": damage.value / gain} if gain > 2 * (damage.stderr or 0.0) else {})


def shares(initial: Path | None, trained: Phi, held_out: HeldOut) -> dict[str, Any] | None:
    """The gain of training after growth, and the share of it that each group of entries carries.

    Args:
        initial: the grown checkpoint that training started from.
        trained: the model, on the CPU; it's left as it is.
        held_out: sequences to measure on.

    Returns:
        `gain` (nats per token) and, for the groups of `groups_of`: `entries` (their number), `share`, `damage` (nats per
        token) with its standard error over sequences, and `by_kind` (share for each kind of text). None if the checkpoint
        was not grown, or if training left the loss on a kind of text as it was.
    """
    if initial is None or not (initial / NEW_PARAMETERS).is_file():
        return None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    start = dict(checkpoint.load(initial, trained.dtype).named_parameters())
    end = {name: tensor.detach() for name, tensor in trained.named_parameters()}
    mixed = Phi(trained.config, trained.dtype).eval()

    def measure(set_back: Masks | None = None) -> HeldOutLoss:
        """Of the trained model, or with these entries, by our names, as they were at the start."""
        chosen = {k: end[k] if set_back is None else torch.where(set_back[k], start[k].detach(), end[k]) for k in end}
        mixed.load_state_dict(chosen, assign=True)
        return held_out_loss(mixed.to(device), held_out, device)

    everything = {name: torch.ones_like(tensor, dtype=torch.bool) for name, tensor in end.items()}
    after = measure()
    gain = (measure(everything).nats - after.nats).sum(axis=0)  # (kinds,)
    if not gain.all():
        return None
    found: dict[str, Any] = {"gain": float(gain.sum() / held_out.tokens.sum())}
    for group, masks in groups_of(load_file(initial / NEW_PARAMETERS)):
        damage = measure(our_names(trained.config, masks)).nats - after.nats
        estimate = ratio(damage.sum(axis=1), after.tokens.sum(axis=1))
        found[group] = {
            "entries": sum(int(mask.sum()) for mask in masks.values()),
            "share": float(damage.sum() / gain.sum()),
            "damage": estimate.value,
            "damage_stderr": estimate.stderr,
            "by_kind": dict(zip(held_out.kinds, (damage.sum(axis=0) / gain).tolist(), strict=True)),
        }
    return found
