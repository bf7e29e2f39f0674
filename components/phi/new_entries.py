"""The entries that growth added to a checkpoint, and their values at its end.

Growth writes `state/new_parameters.safetensors` into the checkpoint: for every tensor, in Hugging Face's names, which rows
and which columns are new. An entry of a matrix is new if its row or its column is new.
"""

from collections.abc import Iterator, Mapping
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

NEW, COPIED = "new", "copied"
BLOCKS, HEADS, UNITS, WIDTH = "inserted_blocks", "new_heads", "new_units", "new_width"


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


def groups_of(new_parameters: Mapping[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Groups of entries by name: all new ones and all copied ones, then the new ones by place.

    Each new entry has one place: inserted blocks, else new heads and head dimensions, else new feed-forward units, else the
    wider residual stream.

    Args:
        new_parameters: the content of `state/new_parameters.safetensors`.
    """
    new, places = new_entries(new_parameters), {}
    inserted = _inserted(new_parameters)
    for name in new:
        rows, columns = new_parameters[f"{name}.rows"], new_parameters.get(f"{name}.columns")
        places[name] = _places(name, new[name], rows, columns, _block(name) in inserted)
    yield NEW, new
    yield COPIED, {name: ~mask for name, mask in new.items()}
    for place in (BLOCKS, HEADS, UNITS, WIDTH):
        yield place, {name: places[name].get(place, torch.zeros_like(new[name])) for name in new}


def _inserted(new_parameters: Mapping[str, Tensor]) -> set[str]:
    """Numbers of the blocks in which every row of every tensor is new."""
    rows = {name: mask for name, mask in new_parameters.items() if ".layers." in name and name.endswith(".rows")}
    return {_block(name) for name in rows} - {_block(name) for name, mask in rows.items() if not mask.all()}


def _block(name: str) -> str:
    """The number of the block that a tensor belongs to."""
    return name.rpartition("layers.")[2].partition(".")[0]


def _places(name: str, new: Tensor, rows: Tensor, columns: Tensor | None, inserted: bool) -> dict[str, Tensor]:
    """A tensor's new entries by place."""
    if inserted:
        return {BLOCKS: new}
    place = HEADS if "self_attn" in name else UNITS if ".mlp." in name else WIDTH
    if place == WIDTH:
        return {WIDTH: new}
    written = "self_attn.dense" in name or "mlp.fc2" in name  # the tensor reads heads or units, and writes the stream
    if columns is None:
        own = torch.zeros_like(new) if written else rows
    else:
        own = (columns[None, :] if written else rows[:, None]).expand_as(new)
    return {place: own, WIDTH: new & ~own}
