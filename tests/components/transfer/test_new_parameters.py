"""The mask of new entries: what the source's entries became is old, all else is new."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from components.phi.weights import state_shapes
from components.transfer.new_parameters import FORMAT, NEW_PARAMETERS, count_new, is_new, new_parameters
from components.transfer.operators import OPERATORS, growth
from components.transfer.options import Options


def test_as_many_entries_are_old_as_the_source_has(config: Callable) -> None:
    source, target = config(2, 6, 10, 2), config(4, 6, 20, 4, vocab=52)
    total, old = (sum(torch.Size(s).numel() for s in state_shapes(c).values()) for c in (target, source))
    for operator in OPERATORS:
        plan = growth(source, target, operator, "auto", Options(1)).plan
        expected = total if operator == "random" else total - old
        assert count_new(plan) == expected, operator
        assert sum(int(is_new(how).sum()) for how in plan.values()) == expected, operator


def test_the_file_is_the_mask(config: Callable) -> None:
    plan = growth(config(2, 6, 10, 2), config(3, 7, 20, 3), "exact", "auto", Options(1)).plan
    masks = new_parameters(plan)
    for name, how in plan.items():
        rows = masks[f"{name}.rows"]
        whole = rows if how.columns is None else rows[:, None] | masks[f"{name}.columns"]
        assert torch.equal(whole, is_new(how)), name
    assert masks["model.layers.2.mlp.fc1.weight.rows"].all()  # an inserted block
    assert masks["model.layers.0.mlp.fc1.weight.rows"].tolist() == [False] * 10 + [True] * 10
    assert masks["model.layers.0.mlp.fc1.weight.columns"].tolist() == [False] * 12 + [True] * 9


def test_the_step_writes_it(checkpoint: Path, run: Callable) -> None:
    summary = run()
    path = checkpoint.parent / "grown" / NEW_PARAMETERS
    masks = load_file(path)
    assert all(mask.dtype == torch.bool for mask in masks.values())
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"format": FORMAT}
    new = 0
    for name, shape in state_shapes_of(checkpoint.parent / "grown").items():
        rows = masks[f"{name}.rows"]
        new += int((rows if len(shape) == 1 else rows[:, None] | masks[f"{name}.columns"]).sum())
    assert new == summary["new_parameters"]


def state_shapes_of(directory: Path) -> dict:
    from components.phi.checkpoint import read_config

    return state_shapes(read_config(directory))
