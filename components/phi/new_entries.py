"""The entries that growth added to a checkpoint, and their values at its end.

Growth writes `state/new_parameters.safetensors` into the checkpoint: for every tensor, in Hugging Face's names, which rows
and which columns are new. An entry of a matrix is new if its row or its column is new.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from components.errors import StepError
from components.phi.model import Phi, PhiConfig
from components.phi.weights import (
    NEW_PARAMETERS,
    CheckpointWeights,
    our_names,
    parameter_names,
    stack,
    state_shapes,
)


class NewEntries:
    """Which entries are new, and where they start. The values are read from the files when they are needed.

    Attributes:
        new: by our names, bool of each parameter's shape.
    """

    def __init__(self, grown: Path, config: PhiConfig) -> None:
        """Read which entries of the grown checkpoint are new.

        Raises:
            StepError: it was not grown, or the file doesn't fit a model of `config`.
        """
        path = grown / NEW_PARAMETERS
        if not path.is_file():
            raise StepError(f"{path} does not exist; growth writes it: name a grown checkpoint")
        try:
            masks = load_file(path)
            if any(mask.dtype != torch.bool for mask in masks.values()):
                raise TypeError("a tensor is not of type bool")
            new = new_entries(masks)
            self.new = our_names(config, new)
        except (OSError, SafetensorError, LookupError, TypeError, RuntimeError) as error:
            raise StepError(f"{path} is not what growth writes ({error}); grow the checkpoint again") from error
        for name, expected in state_shapes(config).items():
            if (shape := tuple(new[name].shape)) != expected:
                raise StepError(
                    f"{path} has the shape {shape} for {name}, expected {expected}; grow the checkpoint again"
                )
        self._names, self._start = parameter_names(config), CheckpointWeights(grown, config)

    @torch.no_grad()
    def set_back(self, model: Phi) -> Phi:
        """The model with its new entries as growth left them, changed in place."""
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.where(self.new[name], self.start(name).to(parameter.dtype), parameter))
        return model

    def start(self, name: str) -> Tensor:
        """A parameter at the end of growth, by our name."""
        return stack([self._start[theirs] for theirs in self._names[name]])


def new_entries(masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Which entries of each tensor growth added, by Hugging Face's names: bool of the tensor's shape.

    Args:
        masks: the content of `state/new_parameters.safetensors`.
    """
    rows = {name.removesuffix(".rows"): mask for name, mask in masks.items() if name.endswith(".rows")}
    columns = {name: masks[f"{name}.columns"] for name in rows if f"{name}.columns" in masks}
    return {name: new[:, None] | columns[name] if name in columns else new for name, new in rows.items()}
