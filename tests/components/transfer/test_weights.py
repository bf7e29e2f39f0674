"""Weights on disk: what is written a few rows at a time is what safetensors and transformers read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from components.phi.checkpoint import read_state
from components.transfer.weights import CheckpointWeights, TensorSpec, write_weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shard", [10**9, 3_000])
def test_round_trip(tmp_path: Path, config: Callable, random_state: Callable, dtype: torch.dtype, shard: int) -> None:
    shape = config(2, 8, 16, 2)
    state = {name: tensor.to(dtype) for name, tensor in random_state(shape, 1).items()}
    specs = {name: TensorSpec(tuple(tensor.shape), dtype) for name, tensor in state.items()}
    write_weights(tmp_path, specs, ((name, state[name].split(7)) for name in specs), shard)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert (len(files) > 1) == (shard == 3_000)
    assert all(torch.equal(tensor, state[name]) for path in files for name, tensor in load_file(path).items())
    assert all(torch.equal(tensor, state[name]) for name, tensor in read_state(tmp_path, shape).items())
    weights = CheckpointWeights(tmp_path, shape)
    assert set(weights) == set(state)
    assert all(torch.equal(weights[name], state[name]) for name in weights)
    if len(files) > 1:
        index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
        assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in state.values())
        assert set(index["weight_map"]) == set(state)
        assert all(path.stat().st_size < 3_000 + 5_000 for path in files)  # a tensor is never divided


def test_what_was_not_announced_is_a_defect(tmp_path: Path) -> None:
    specs = {"a": TensorSpec((4, 2), torch.float32)}
    with pytest.raises(AssertionError, match="24 bytes, 32 were announced"):
        write_weights(tmp_path, specs, [("a", [torch.zeros(3, 2)])])
