"""Weights on disk: what is written a few rows at a time is what safetensors and transformers read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from components.phi.model import Phi, PhiConfig
from components.phi.weights import CheckpointWeights, TensorSpec, our_names, to_state, write_state, write_weights

SHAPE = PhiConfig(50, 16, 16, 2, 2, 32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shard", [10**9, 3_000])
def test_round_trip(tmp_path: Path, lively: Callable[..., Phi], dtype: torch.dtype, shard: int) -> None:
    state = {name: tensor.to(dtype) for name, tensor in to_state(lively(SHAPE)).items()}
    specs = {name: TensorSpec(tuple(tensor.shape), dtype) for name, tensor in state.items()}
    write_weights(tmp_path, specs, ((name, state[name].split(7)) for name in specs), shard)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert (len(files) > 1) == (shard == 3_000)
    assert all(torch.equal(tensor, state[name]) for path in files for name, tensor in load_file(path).items())
    weights = CheckpointWeights(tmp_path, SHAPE)
    assert set(weights) == set(state)
    assert all(torch.equal(weights[name], state[name]) for name in weights)
    if len(files) > 1:
        index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
        assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in state.values())
        assert index["metadata"]["total_parameters"] == SHAPE.parameter_count()
        assert set(index["weight_map"]) == set(state)
        assert all(path.stat().st_size < 3_000 + 5_000 for path in files)  # a tensor is never divided


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bytes_are_those_that_safetensors_writes(
    tmp_path: Path, lively: Callable[..., Phi], dtype: torch.dtype
) -> None:
    state = to_state(lively(SHAPE))
    write_state(SHAPE, state, tmp_path, dtype, None)
    save_file({name: tensor.to(dtype).clone() for name, tensor in state.items()}, tmp_path / "theirs", {"format": "pt"})
    assert (tmp_path / "model.safetensors").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_our_names_are_those_of_the_model(lively: Callable[..., Phi]) -> None:
    model = lively(SHAPE)
    ours = our_names(SHAPE, to_state(model))
    assert ours.keys() == dict(model.named_parameters()).keys()
    assert all(torch.equal(ours[name], parameter) for name, parameter in model.named_parameters())


def test_what_was_not_announced_is_a_defect(tmp_path: Path) -> None:
    specs = {"a": TensorSpec((4, 2), torch.float32)}
    with pytest.raises(AssertionError, match="24 bytes, expected 32"):
        write_weights(tmp_path, specs, [("a", [torch.zeros(3, 2)])])
