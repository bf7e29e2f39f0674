"""Marks the new entries of a grown checkpoint: `state/new_parameters.safetensors` in its directory.

For every tensor NAME of the checkpoint, in Hugging Face's names, the file contains

    NAME.rows      bool (rows,)      for a vector: its entries
    NAME.columns   bool (columns,)   matrices only

Entry (i, j) of a matrix is new if `rows[i] or columns[j]`, an entry of a vector if `rows[i]`. The source's own entry,
scaled or not, is old; if it has several copies, only the first is. All rows of a tensor of an inserted block are new.
That is enough to freeze old entries or to warm up the learning rate of new ones, in kilobytes instead of a byte per
parameter. The metadata are {"format": FORMAT}.
"""

from pathlib import Path

import torch
from torch import Tensor

from components.files import save_tensors
from components.phi.weights import NEW_PARAMETERS
from components.transfer.maps import Plan, TensorMap

FORMAT = "phiforge-new-parameters-1"


def new_parameters(plan: Plan) -> dict[str, Tensor]:
    """The file's tensors."""
    masks: dict[str, Tensor] = {}
    for name, how in plan.items():
        masks[f"{name}.rows"] = _new_rows(how).clone()
        if how.columns is not None:
            masks[f"{name}.columns"] = how.columns.is_new.clone()
    return masks


def _new_rows(how: TensorMap) -> Tensor:
    return torch.ones(len(how.rows), dtype=torch.bool) if how.new else how.rows.is_new


def is_new(how: TensorMap) -> Tensor:
    """Whether each entry is new: bool of the tensor's shape."""
    rows = _new_rows(how)
    return rows if how.columns is None else rows[:, None] | how.columns.is_new[None, :]


def count_new(plan: Plan) -> int:
    """The number of the target's parameters that are new."""
    total = 0
    for how in plan.values():
        old = int((~_new_rows(how)).sum())
        if how.columns is not None:
            old *= int((~how.columns.is_new).sum())
        total += torch.Size(how.shape).numel() - old
    return total


def write_new_parameters(plan: Plan, directory: Path) -> None:
    """Write the file into a checkpoint's directory."""
    path = directory / NEW_PARAMETERS
    path.parent.mkdir(exist_ok=True)
    save_tensors(new_parameters(plan), path, {"format": FORMAT})
