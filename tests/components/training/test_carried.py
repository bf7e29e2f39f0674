"""Entries that growth carried over can stay or follow slowly."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file

from components.errors import StepError
from components.params import TrainingParams
from components.phi import checkpoint
from components.phi.new_entries import NewEntries
from components.phi.weights import our_names, to_state
from components.training.carried import NEW_PARAMETERS, CarriedEntries, carried_factor, read_new_entries, set_back


def write_masks(directory: Path) -> dict[str, torch.Tensor]:
    """Every second row is new, and the last quarter of the columns. Returns what is carried over, by Hugging Face's names."""
    state = to_state(checkpoint.load(directory))
    masks, carried = {}, {}
    for name, tensor in state.items():
        rows = torch.arange(tensor.shape[0]) % 2 == 1
        masks[f"{name}.rows"] = rows
        carried[name] = ~rows
        if tensor.ndim == 2:
            columns = torch.arange(tensor.shape[1]) >= tensor.shape[1] * 3 // 4
            masks[f"{name}.columns"] = columns
            carried[name] = ~rows[:, None] & ~columns[None, :]
    (directory / NEW_PARAMETERS).parent.mkdir()
    save_file(masks, directory / NEW_PARAMETERS)
    return carried


def test_the_factor_is_zero_then_rises_to_one() -> None:
    settings = TrainingParams(carried_freeze_fraction=0.2, carried_warmup_fraction=0.3, carried_lr_ratio=1.0)
    factors = [carried_factor(step, 10, settings) for step in range(10)]
    assert factors == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    slow = settings.model_copy(update={"carried_lr_ratio": 0.5})
    assert [carried_factor(step, 10, slow) for step in range(10)] == [factor / 2 for factor in factors]
    assert [carried_factor(step, 10, TrainingParams(carried_lr_ratio=1.0)) for step in range(10)] == [1.0] * 10


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_frozen_entries_stay_and_new_ones_learn(
    call: Any, settings: dict[str, Any], tmp_path: Path, optimizer: str
) -> None:
    call("grown")
    carried = write_masks(tmp_path / "grown")
    settings["training"] |= {"optimizer": optimizer, "carried_freeze_fraction": 1.0}
    call("trained", initial=tmp_path / "grown")
    before, after = (to_state(checkpoint.load(tmp_path / name)) for name in ("grown", "trained"))
    for name, old in carried.items():
        same = before[name] == after[name]
        assert same[old].all()
        assert same[~old].float().mean() < 0.2, name
    settings["training"]["carried_freeze_fraction"] = 0.0
    settings["training"]["carried_warmup_fraction"] = 0.5
    call("rising", initial=tmp_path / "grown")
    assert not torch.equal(to_state(checkpoint.load(tmp_path / "rising"))["lm_head.weight"], after["lm_head.weight"])


def test_new_entries_are_set_back_and_come_again(call: Any, tmp_path: Path) -> None:
    call("grown")
    carried = our_names(checkpoint.read_config(tmp_path / "grown"), write_masks(tmp_path / "grown"))
    start = dict(checkpoint.load(tmp_path / "grown").named_parameters())
    model = checkpoint.load(tmp_path / "grown")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    trained = {name: parameter.clone() for name, parameter in model.named_parameters()}
    with set_back(model, NewEntries(tmp_path / "grown", model.config)):
        for name, parameter in model.named_parameters():
            assert torch.equal(parameter, torch.where(carried[name], trained[name], start[name])), name
    assert all(torch.equal(parameter, trained[name]) for name, parameter in model.named_parameters())


def test_a_share_of_the_change_is_kept() -> None:
    model = torch.nn.Linear(2, 2, bias=False)
    start = model.weight.detach().clone()
    entries = CarriedEntries(model, {"weight": torch.tensor([[True, False], [False, True]])})
    entries.remember()
    with torch.no_grad():
        model.weight += 1
    entries.scale(0.25)
    torch.testing.assert_close(model.weight - start, torch.tensor([[0.25, 1.0], [1.0, 0.25]]))


def test_a_checkpoint_that_was_not_grown_is_refused(call: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    call("plain")
    settings["training"]["carried_freeze_fraction"] = 0.5
    with pytest.raises(StepError, match=r"need .*new_parameters\.safetensors, which growth writes"):
        call("other", initial=tmp_path / "plain")
    write_masks(tmp_path / "plain")
    model = checkpoint.load(tmp_path / "plain")
    masks = {f"{name}.rows": torch.zeros(3, dtype=torch.bool) for name in to_state(model)}
    save_file(masks, tmp_path / "plain" / NEW_PARAMETERS)
    with pytest.raises(StepError, match=r"has the shape \(3,\) for model\.embed_tokens\.weight"):
        read_new_entries(tmp_path / "plain", model, TrainingParams(carried_freeze_fraction=0.5))
    whole = {f"{name}.rows": torch.zeros(len(tensor)) for name, tensor in to_state(model).items()}
    flat = {f"{name}.rows": torch.tensor(True) for name in to_state(model)}
    flat |= {name.replace("rows", "columns"): mask.clone() for name, mask in flat.items()}
    for content in (b"no tensors", save({}), save(whole), save(flat)):
        (tmp_path / "plain" / NEW_PARAMETERS).write_bytes(content)
        # Also with the same rate for all: the shares are measured from this file when the training is over.
        for training in (TrainingParams(carried_freeze_fraction=0.5), TrainingParams(carried_lr_ratio=1.0)):
            with pytest.raises(StepError, match="is not what growth writes"):
                read_new_entries(tmp_path / "plain", model, training)
