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

    0 in the first `carried_freeze_fraction` of the steps, then rising linearly to 1 over `carried_warmup_fraction`.
    """
    frozen = round(settings.carried_freeze_fraction * steps)
    rising = round(settings.carried_warmup_fraction * steps)
    if step < frozen:
        return 0.0
    return min(1.0, (step - frozen + 1) / (rising + 1))


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


def read_carried(initial: Path, model: Phi) -> dict[str, Tensor]:
    """The copied entries of each parameter of a grown model: bool of its shape, by our names.

    Raises:
        StepError: the checkpoint was not grown, or the file doesn't fit its weights.
    """
    path = initial / NEW_PARAMETERS
    if not path.is_file():
        raise StepError(
            f"training.carried_freeze_fraction and carried_warmup_fraction need {path}, which growth writes; start from a "
            "grown checkpoint or set both to 0"
        )
    try:
        masks = load_file(path)
        by_hf = {name.removesuffix(".rows"): _carried(masks, name) for name in masks if name.endswith(".rows")}
        carried = our_names(model.config, by_hf)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise StepError(f"{path} is not what growth writes ({error}); grow the checkpoint again") from error
    for name, parameter in model.named_parameters():
        shape, expected = tuple(carried[name].shape), tuple(parameter.shape)
        if shape != expected:
            raise StepError(f"{path} has the shape {shape} for {name}, expected {expected}; grow the checkpoint again")
    return carried


def _carried(masks: Mapping[str, Tensor], name: str) -> Tensor:
    rows = ~masks[name]
    columns = masks.get(f"{name.removesuffix('.rows')}.columns")
    return rows if columns is None else rows[:, None] & ~columns[None, :]
