"""Trains a grown model: weights copied from its source may be frozen or learn slowly at first, while new ones learn; and
new ones may be set back, to see what they carry."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from components.errors import StepError
from components.params import TrainingParams
from components.phi.model import Phi
from components.phi.new_entries import NewEntries
from components.phi.weights import NEW_PARAMETERS
from components.training.sharding import placed


def carried_factor(step: int, steps: int, settings: TrainingParams) -> float:
    """Share of the learning rate for copied entries at a step (the first step is 0).

    0 in the first `carried_freeze_fraction` of the steps, then rising linearly to `carried_lr_ratio` over
    `carried_warmup_fraction`.
    """
    frozen = round(settings.carried_freeze_fraction * steps)
    rising = round(settings.carried_warmup_fraction * steps)
    if step < frozen:
        return 0.0
    return settings.carried_lr_ratio * min(1.0, (step - frozen + 1) / (rising + 1))


class CarriedEntries:
    """Scales the change that an optimizer's step makes to the entries copied from the source.

    Args:
        carried: by our names, bool of each parameter's shape: which entries are copied. Other parameters are new.
    """

    def __init__(self, model: nn.Module, carried: Mapping[str, Tensor]) -> None:
        self.model = model
        self.carried = {name: placed(carried[name], p) for name, p in model.named_parameters() if name in carried}
        self._before: dict[str, Tensor] = {}

    @torch.no_grad()
    def remember(self) -> None:
        """Call before the optimizer's step."""
        self._before = {name: p.detach().clone() for name, p in self.model.named_parameters() if name in self.carried}

    @torch.no_grad()
    def scale(self, factor: float) -> None:
        """Call after the step: multiplies the change of copied entries by `factor`."""
        for name, parameter in self.model.named_parameters():
            if name in self.carried:
                scaled = torch.lerp(self._before[name], parameter, factor)
                parameter.copy_(torch.where(self.carried[name], scaled, parameter))
        self._before = {}


@contextmanager
@torch.no_grad()
def set_back(model: nn.Module, entries: NewEntries | None) -> Iterator[None]:
    """Within the block, the model's new entries have their values at the end of growth; without entries all keep theirs."""
    if entries is None:
        yield
        return
    trained = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    try:
        for name, parameter in model.named_parameters():
            start = placed(entries.start(name).to(parameter.dtype), parameter)
            parameter.copy_(torch.where(placed(entries.new[name], parameter), start, parameter))
        yield
    finally:
        for name, parameter in model.named_parameters():
            parameter.copy_(trained[name])


def read_new_entries(initial: Path, model: Phi, settings: TrainingParams) -> NewEntries | None:
    """The entries that growth added to a checkpoint; None if it was not grown.

    Raises:
        StepError: the checkpoint was not grown, though the settings need that, or the file doesn't fit its weights.
    """
    path = initial / NEW_PARAMETERS
    if path.is_file():
        return NewEntries(initial, model.config)
    if settings.carried_freeze_fraction or settings.carried_warmup_fraction:
        raise StepError(
            f"training.carried_freeze_fraction and carried_warmup_fraction need {path}, which growth writes; start from a "
            "grown checkpoint or set both to 0"
        )
    return None


def carried_apart(added: NewEntries | None, settings: TrainingParams) -> dict[str, Tensor] | None:
    """The copied entries of each parameter, bool of its shape; None if they are trained like the new ones."""
    apart = settings.carried_freeze_fraction or settings.carried_warmup_fraction or settings.carried_lr_ratio != 1
    return {name: ~new for name, new in added.new.items()} if added is not None and apart else None
