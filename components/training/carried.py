"""Trains a grown model: weights copied from its source may be frozen or learn slowly at first, while new ones learn.

Growth writes `state/new_parameters.safetensors` into the checkpoint: for every tensor, in Hugging Face's names, which rows
and which columns are new. An entry of a matrix is copied if neither its row nor its column is new.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from components.errors import StepError
from components.params import TrainingParams
from components.phi.model import Phi
from components.phi.weights import NEW_PARAMETERS, our_names
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


def read_carried(initial: Path, model: Phi, settings: TrainingParams) -> dict[str, Tensor] | None:
    """The copied entries of each parameter of a grown model: bool of its shape, by our names. None if they are trained like
    the others, or if the checkpoint was not grown and only `carried_lr_ratio` would apply.

    Raises:
        StepError: the checkpoint was not grown, or the file doesn't fit its weights.
    """
    apart = settings.carried_freeze_fraction or settings.carried_warmup_fraction
    path = initial / NEW_PARAMETERS
    if not path.is_file():
        if not apart:
            return None
        raise StepError(
            f"training.carried_freeze_fraction and carried_warmup_fraction need {path}, which growth writes; start from a "
            "grown checkpoint or set both to 0"
        )
    try:
        masks = load_file(path)
        if any(mask.dtype != torch.bool for mask in masks.values()):
            raise TypeError("a tensor is not of type bool")
        carried = our_names(model.config, {name: ~new for name, new in new_entries(masks).items()})
    except (OSError, SafetensorError, LookupError, TypeError, RuntimeError) as error:
        raise StepError(f"{path} is not what growth writes ({error}); grow the checkpoint again") from error
    for name, parameter in model.named_parameters():
        shape, expected = tuple(carried[name].shape), tuple(parameter.shape)
        if shape != expected:
            raise StepError(f"{path} has the shape {shape} for {name}, expected {expected}; grow the checkpoint again")
    return carried if apart or settings.carried_lr_ratio != 1 else None


def new_entries(masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Which entries of each tensor growth added, by Hugging Face's names: bool of the tensor's shape.

    Args:
        masks: the content of `state/new_parameters.safetensors`.
    """
    rows = {name.removesuffix(".rows"): mask for name, mask in masks.items() if name.endswith(".rows")}
    columns = {name: masks[f"{name}.columns"] for name in rows if f"{name}.columns" in masks}
    return {name: new[:, None] | columns[name] if name in columns else new for name, new in rows.items()}
