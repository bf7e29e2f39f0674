"""A small Phi, one grown from it, and one with all weights of the grown one moved, as training would."""

from pathlib import Path

import pytest
import torch

from components.params import ModelParams, ModelShape, Params, TransferParams
from components.phi.checkpoint import load, save
from components.phi.model import Phi, PhiConfig
from components.tracking import Tracker
from components.transfer import transfer


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints small (2 blocks, 16 wide), grown (4 blocks, 24 wide) and large."""
    folder = tmp_path_factory.mktemp("family")
    save(drawn(PhiConfig(60, 16, 32, 2, 2, 40, partial_rotary_factor=0.5)), folder / "small", None, {})
    (folder / "small" / "tokenizer.json").write_text("{}")
    shape = ModelShape(
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=2,
        partial_rotary_factor=0.34,  # as many rotary dimensions as in the small one
    )
    params = Params(large=ModelParams(model=shape, tokens=1, learning_rate=0.1), transfer=TransferParams())
    inputs = {"source": folder / "small", "target": "large"} | dict.fromkeys(
        ["operator", "depth_map", "tokens", "seed"]
    )
    transfer.run(inputs, {"output": folder / "grown"}, params, Tracker())
    save(moved(load(folder / "grown")), folder / "large", None, {})
    return folder


def drawn(config: PhiConfig, seed: int = 0) -> Phi:
    """A model with all weights, gains and biases drawn, so that none is trivial."""
    model, generator = Phi(config).eval(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0, 0.2, generator=generator).add_(1.0 if name.endswith("norm.weight") else 0.0)
    return model


@torch.no_grad()
def moved(model: Phi, seed: int = 1) -> Phi:
    """The model with every weight moved a little, in place."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.add_(torch.empty_like(parameter).normal_(0.0, 0.05, generator=generator))
    return model
