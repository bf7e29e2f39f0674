"""The other operators: what they copy, what they preserve, what they refuse."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from components.errors import StepError
from components.phi.checkpoint import from_state, state_shapes
from components.phi.model import PhiConfig
from components.transfer.grown import GrownWeights
from components.transfer.operators import OPERATORS, growth
from components.transfer.options import Options
from components.transfer.tile import tiled


@torch.no_grad()
def relative_error(source: PhiConfig, state: dict, target: PhiConfig, grown: dict) -> float:
    tokens = torch.randint(50, (2, 12), generator=torch.Generator().manual_seed(7))
    expected = from_state(source, state, torch.float64)(tokens)
    return float((from_state(target, grown, torch.float64)(tokens) - expected).norm() / expected.norm())


@pytest.mark.parametrize("operator", [name for name in OPERATORS if name != "hyperclone"])
@pytest.mark.parametrize("depth_map", ["identity", "round", "interpose", "stack", "solar", "half"])
def test_every_operator_fills_the_target_at_any_factor(
    config: Callable, random_state: Callable, grow: Callable, operator: str, depth_map: str
) -> None:
    source, target = config(2, 7, 13, 3), config(3, 9, 20, 4, vocab=52)
    grown = grow(random_state(source, 1), source, target, operator, depth_map)
    assert {name: tuple(tensor.shape) for name, tensor in grown.items()} == state_shapes(target)
    assert all(tensor.isfinite().all() for tensor in grown.values())


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_hyperclone_preserves_the_function_at_whole_factors(
    config: Callable, random_state: Callable, grow: Callable, times: int, noise: float
) -> None:
    source, target = config(2, 6, 10, 2), config(2 * times, 6, 20, 4)
    state = random_state(source, 1)
    grown = grow(state, source, target, "hyperclone", "auto", Options(1, noise=noise))
    assert relative_error(source, state, target, grown) <= 1e-12
    finer = replace(target, layer_norm_eps=1e-3)
    grown = grow(state, source, finer, "hyperclone", "auto", Options(1, noise=noise))
    assert relative_error(source, state, finer, grown) <= 1e-12


def test_hyperclones_noise_is_paired(config: Callable, random_state: Callable, grow: Callable) -> None:
    source, target = config(2, 6, 10, 1), config(4, 6, 20, 1)
    state = random_state(source, 1)
    name = "model.layers.0.mlp.fc1.weight"
    left, right = grow(state, source, target, "hyperclone", options=Options(1, noise=0.3))[name].chunk(2, 1)
    torch.testing.assert_close(left + right, state[name].repeat(2, 1))
    relative = (left - right).square().mean().sqrt() / (left + right).square().mean().sqrt()
    assert 0.15 < relative < 0.35  # noise of 0.3 on halves, less the part that pairs take out


def test_hyperclone_names_every_reason(config: Callable) -> None:
    with pytest.raises(
        StepError, match=r"hidden_size 20 is not a whole multiple .*intermediate_size 25 .*head_dim 10 is not"
    ):
        growth(config(2, 8, 16, 2), config(2, 10, 25, 2), "hyperclone", "auto", Options())


def centre_tile(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Tiling from the middle written out entry by entry, to hold the axes against."""
    if tensor.ndim == 1:
        offset = (shape[0] - len(tensor)) // 2
        return torch.stack([tensor[(i - offset) % len(tensor)] for i in range(shape[0])])
    wide = torch.stack([centre_tile(row, shape[1:]) for row in tensor])
    return (
        centre_tile(wide.T, shape[:1]).T
        if wide.ndim == 1
        else torch.stack([centre_tile(column, shape[:1]) for column in wide.T], 1)
    )


def test_tile_is_faithful(config: Callable, random_state: Callable, grow: Callable) -> None:
    """Every tensor by itself from the middle, over the borders of heads, blocks by Gopher's map, nothing scaled."""
    source, target = config(2, 8, 16, 3), config(2, 10, 21, 4)
    state = random_state(source, 1)
    grown = grow(state, source, target, "tile")
    for layer, origin in enumerate([0, 1, 2, 2]):
        for name in grown:
            if name.startswith(f"model.layers.{layer}."):
                original = state[name.replace(f"layers.{layer}.", f"layers.{origin}.")]
                assert torch.equal(grown[name], centre_tile(original, grown[name].shape)), name
    assert tiled(4, 7).tolist() == [3, 0, 1, 2, 3, 0, 1]
    assert tiled(4, 10).tolist() == [1, 2, 3, 0, 1, 2, 3, 0, 1, 2]


def test_head_aware_tiling_keeps_rotary_places(config: Callable, random_state: Callable, grow: Callable) -> None:
    source, target = config(2, 8, 16, 1), config(3, 10, 16, 1)
    state = random_state(source, 1)
    name = "model.layers.0.self_attn.q_proj.bias"
    old, new = state[name].view(2, 8), grow(state, source, target, "tile_heads")[name].view(3, 10)
    assert torch.equal(new[:2, :8], old)
    assert torch.equal(new[2], new[0])
    assert torch.equal(new[:2, 8:], old[:, 4:6])


def test_fpi_is_exact_where_all_is_copied_equally_often(
    config: Callable, random_state: Callable, grow: Callable
) -> None:
    """Units and head dimensions may be copied at will; only the residual stream's copies disturb LayerNorm."""
    source = config(2, 8, 16, 2)
    state = random_state(source, 1)
    deep_and_wide_inside = config(2, 8, 27, 2)
    grown = grow(state, source, deep_and_wide_inside, "fpi")
    assert relative_error(source, state, deep_and_wide_inside, grown) <= 1e-12
    wider = config(2, 10, 27, 2)
    assert 1e-3 < relative_error(source, state, wider, grow(state, source, wider, "fpi")) < 1


def test_aki_takes_new_outputs_from_the_next_block(config: Callable, random_state: Callable, grow: Callable) -> None:
    source, target = config(2, 8, 16, 3), config(2, 8, 20, 3)
    state = random_state(source, 1)
    name = "model.layers.{}.mlp.fc1.weight"
    fpi, aki = (grow(state, source, target, operator, "identity") for operator in ("fpi", "aki"))
    for layer, upper in ((0, 1), (1, 2), (2, 2)):
        new = aki[name.format(layer)]
        assert torch.equal(new[:16], state[name.format(layer)])
        assert all((state[name.format(upper)] == row).all(1).any() for row in new[16:])
        assert torch.equal(new[:16], fpi[name.format(layer)][:16])
    assert torch.equal(aki["model.embed_tokens.weight"], fpi["model.embed_tokens.weight"])


def test_random_reads_nothing_and_is_phis_initialization(config: Callable, grow: Callable) -> None:
    source, target = config(2, 8, 16, 2), config(1, 64, 200, 2)
    grown = grow({}, source, target, "random")
    assert abs(float(grown["model.layers.1.mlp.fc1.weight"].std()) - target.initializer_range) < 1e-3
    assert (grown["model.layers.0.input_layernorm.weight"] == 1).all()
    assert not any(tensor.any() for name, tensor in grown.items() if name.endswith("bias"))
    assert not torch.equal(grown["model.layers.0.mlp.fc1.weight"], grown["model.layers.1.mlp.fc1.weight"])


def test_what_is_said_to_preserve_the_function_does_and_no_other(
    config: Callable, random_state: Callable, grow: Callable
) -> None:
    source = config(2, 6, 10, 2)
    state = random_state(source, 3)
    preserving = set()
    for operator in OPERATORS:
        for depth_map in ("identity", "interpose", "half"):
            target = config(4, 6, 20, 4)
            planned = growth(source, target, operator, depth_map, Options(1, noise=0.3))
            error = relative_error(source, state, target, grow(state, source, target, operator, depth_map))
            assert (error < 1e-12) == planned.preserves, (operator, depth_map)
            if planned.preserves:
                preserving.add((operator, depth_map))
    assert preserving == {("exact", "identity"), ("hyperclone", "identity")}


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_tensor_depends_on_seed_and_name_alone(config: Callable, random_state: Callable, operator: str) -> None:
    """Tensors can be made in any order, and one seed gives the same bits always."""
    source, target = config(2, 6, 10, 2), config(4, 6, 20, 3)
    state = random_state(source, 3)
    first, second, other = (
        GrownWeights(growth(source, target, operator, "auto", Options(seed, noise=0.1)), state) for seed in (1, 1, 2)
    )
    reversed_order = {name: second[name] for name in reversed(list(second))}
    assert all(torch.equal(first[name], reversed_order[name]) for name in first)
    same = [torch.equal(first[name], other[name]) for name in first]
    assert all(same) == (operator in {"tile", "tile_heads"})
