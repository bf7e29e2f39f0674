"""Small Phis with random weights, and growth of them in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from components.params import ModelParams, ModelShape, Params, TransferParams
from components.phi.checkpoint import save
from components.phi.model import Phi, PhiConfig
from components.phi.weights import state_shapes
from components.tracking import Tracker
from components.transfer import transfer
from components.transfer.grown import GrownWeights
from components.transfer.operators import growth
from components.transfer.options import Options

State = dict[str, Tensor]
WIDE = {
    "hidden_size": 20,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "partial_rotary_factor": 0.4,
}


def _config(heads: int, head_dim: int, inner: int, layers: int, rotary: int = 4, vocab: int = 50) -> PhiConfig:
    factor = (rotary + 0.01) / head_dim if rotary < head_dim else 1.0
    return PhiConfig(vocab, heads * head_dim, inner, layers, heads, 32, partial_rotary_factor=factor)


def _random_state(config: PhiConfig, seed: int) -> State:
    """Weights, norms and biases all non-trivial, so that nothing can cancel by chance."""
    generator = torch.Generator().manual_seed(seed)
    scale = config.hidden_size**-0.5
    state = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64) * scale
        for name, shape in state_shapes(config).items()
    }
    return {name: tensor + 1 if "layernorm.weight" in name else tensor for name, tensor in state.items()}


def _grow(
    state: State,
    source: PhiConfig,
    target: PhiConfig,
    operator: str = "exact",
    depth_map: str = "auto",
    options: Options | None = None,
) -> State:
    planned = growth(source, target, operator, depth_map, options or Options(seed=1, free_std=0.1, noise=0.05))
    return dict(GrownWeights(planned, state))


@pytest.fixture(scope="session")
def config() -> Callable[..., PhiConfig]:
    """(heads, head_dim, inner, layers, rotary, vocab) -> a shape."""
    return _config


@pytest.fixture(scope="session")
def random_state() -> Callable[..., State]:
    """(shape, seed) -> float64 weights of which none is trivial."""
    return _random_state


@pytest.fixture(scope="session")
def grow() -> Callable[..., State]:
    """(state, source, target, operator, depth_map, options) -> grown float64 weights."""
    return _grow


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small checkpoint on the disk, with a tokenizer."""
    small = PhiConfig(50, 16, 32, 2, 2, 32, partial_rotary_factor=0.5)
    save(Phi(small).initialize(3), tmp_path / "small", None, {"training_tokens": 7})
    (tmp_path / "small" / "tokenizer.json").write_text("{}")
    return tmp_path / "small"


def _params(settings: dict | None = None, **shape: float) -> Params:
    large = ModelParams(model=ModelShape(**{**WIDE, **shape}), tokens=1, learning_rate=0.1)
    return Params(large=large, transfer=TransferParams(**(settings or {})))


@pytest.fixture(scope="session")
def params() -> Callable[..., Params]:
    """(settings of transfer, sizes of the target) -> parameters."""
    return _params


@pytest.fixture
def run(checkpoint: Path) -> Callable[..., dict]:
    """(settings of transfer, options, sizes of the target) -> summary of the step, whose output is `grown`."""

    def run(settings: dict | None = None, options: dict | None = None, **shape: float) -> dict:
        inputs = {"source": checkpoint, "target": "large", "operator": None, "depth_map": None}
        inputs |= {"tokens": None, "seed": None, **(options or {})}
        outputs = {"output": checkpoint.parent / "grown"}
        return transfer.run(inputs, outputs, _params(settings, **shape), Tracker())

    return run
