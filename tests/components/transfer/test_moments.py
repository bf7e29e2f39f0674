"""Growth of the optimizer's state obeys the chain rule, and is the grown model's own where exactness pins it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from components.errors import StepError
from components.phi.model import PhiConfig
from components.phi.weights import OPTIMIZER, from_state, parameter_names
from components.transfer.grown import GrownWeights
from components.transfer.maps import Draws, Plan, grown
from components.transfer.moments import Stored, entries, grow_moment
from components.transfer.operators import growth
from components.transfer.options import Options

SILENT = Draws(0, 0.0, 0.0)


def gradients(config: PhiConfig, state: dict, seed: int) -> dict[str, Tensor]:
    """Of a batch's loss, in Hugging Face's names and float64."""
    model = from_state(config, state, torch.float64)
    tokens = torch.randint(50, (3, 12), generator=torch.Generator().manual_seed(seed))
    model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    found = {}
    for ours, names in parameter_names(config).items():
        gradient = model.get_parameter(ours).grad
        found |= dict(zip(names, gradient.chunk(len(names)), strict=True))
    return found


def pulled_back(plan: Plan, state: dict, wide: dict[str, Tensor]) -> dict[str, Tensor]:
    """M^T g': what the grown model's gradients say of the source's weights, by differentiating the growth itself."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in state.items()}
    total = sum((grown(name, how, leaves[how.sources[0]], SILENT) * wide[name]).sum() for name, how in plan.items())
    total.backward()
    return {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()}


@pytest.mark.parametrize("residual", ["mean_pad", "zero_pad"])
@pytest.mark.parametrize("new_units", ["random", "copies"])
def test_gradients_of_source_and_grown_model_obey_the_chain_rule(
    config: Callable, random_state: Callable, residual: str, new_units: str
) -> None:
    """g = M^T g' of the true gradients, and of the grown ones: a growth of moments that broke it would mislead."""
    source, target = config(2, 7, 13, 2), config(3, 9, 20, 3)
    state = random_state(source, 1)
    planned = growth(source, target, "exact", "auto", Options(1, residual, new_units, 0.1))
    small = gradients(source, state, 5)
    true = gradients(target, dict(GrownWeights(planned, state)), 5)
    mapped = {name: grow_moment(how, small[how.sources[0]]) for name, how in planned.plan.items()}
    for wide in (true, mapped):
        for name, back in pulled_back(planned.plan, state, wide).items():
            torch.testing.assert_close(back, small[name], rtol=1e-9, atol=1e-12, msg=name)


def test_where_entries_are_the_sources_the_grown_moment_is_the_grown_models(
    config: Callable, random_state: Callable
) -> None:
    """Averages of gradients and of their squares over some batches, of both models on the same batches.

    What reads the residual stream has one old entry for each of the source's. What writes it shares its mean with the
    new coordinates, so there only the chain rule holds.
    """
    source, target = config(2, 7, 13, 2), config(3, 9, 20, 2)
    state = random_state(source, 1)
    planned = growth(source, target, "exact", "auto", Options(1, free_std=0.1))
    grown_state = dict(GrownWeights(planned, state))
    batches = range(4)
    small = [gradients(source, state, seed) for seed in batches]
    large = [gradients(target, grown_state, seed) for seed in batches]
    pinned = [n for n in planned.plan if not any(part in n for part in ("embed", "dense", "fc2"))]
    assert len(pinned) == 2 * (2 + 8) + 4
    for name in pinned:
        how = planned.plan[name]
        old = how.rows.copied if how.columns is None else how.rows.copied[:, None] & how.columns.copied
        for power in (1, 2):
            moment = torch.stack([g[name] ** power for g in small]).mean(0)
            expected = torch.stack([g[name] ** power for g in large]).mean(0)
            torch.testing.assert_close(
                grow_moment(how, moment, power == 2)[old], expected[old], rtol=1e-9, atol=1e-14, msg=name
            )


def test_hyperclones_moments_are_the_clones_own(config: Callable, random_state: Callable) -> None:
    """Symmetry pins every entry but those of whole new blocks: each copy has its share of the gradient."""
    source, target = config(2, 6, 10, 2), config(4, 6, 20, 2)
    state = random_state(source, 1)
    planned = growth(source, target, "hyperclone", "auto", Options(1))
    small, large = gradients(source, state, 5), gradients(target, dict(GrownWeights(planned, state)), 5)
    for name, how in planned.plan.items():
        torch.testing.assert_close(grow_moment(how, small[name]), large[name], rtol=1e-9, atol=1e-13, msg=name)


def test_new_entries_start_with_no_momentum_and_a_usual_second_moment(config: Callable, random_state: Callable) -> None:
    source, target = config(2, 7, 13, 1), config(3, 9, 20, 2)
    planned = growth(source, target, "exact", "auto", Options(1))
    name = "model.layers.0.mlp.fc1.weight"
    how, moment = planned.plan[name], torch.rand(13, 14, dtype=torch.float64)
    first, second = grow_moment(how, moment), grow_moment(how, moment, squared=True)
    assert not first[13:].any()
    assert torch.equal(first[:13, :14], moment)
    torch.testing.assert_close(second[13:], moment.mean().expand(7, 27))
    inserted = planned.plan["model.layers.1.mlp.fc1.weight"]
    assert not grow_moment(inserted, moment, squared=True).any()


def optimizer_state(config: PhiConfig, parts: bool) -> dict[str, Tensor]:
    """As training keeps it: AdamW for all, or Muon for the matrices of blocks, of which q, k and v are parts."""
    generator, state = torch.Generator().manual_seed(1), {}
    shapes = {name: tensor.shape for name, tensor in from_state_shapes(config).items()}
    for name, shape in shapes.items():
        if parts and name.startswith("blocks") and len(shape) == 2:
            pieces = 3 if name.endswith("qkv.weight") else 1
            for number in range(pieces):
                size = (shape[0] // pieces, shape[1])
                state[f"{name}/{number}.momentum_buffer"] = torch.randn(size, generator=generator)
            continue
        state[f"{name}.exp_avg"] = torch.randn(shape, generator=generator)
        state[f"{name}.exp_avg_sq"] = torch.rand(shape, generator=generator)
        state[f"{name}.step"] = torch.tensor(7.0)
    return state


def grow_state(state: dict, plan: Plan, source: PhiConfig, target: PhiConfig) -> dict[str, Tensor]:
    stored = Stored(state, source)
    return {entry.key: entry.grown(stored) for entry in entries(stored, plan, target)}


def from_state_shapes(config: PhiConfig) -> dict[str, Tensor]:
    from components.phi.model import Phi

    return {name: parameter.detach() for name, parameter in Phi(config).named_parameters()}


@pytest.mark.parametrize("parts", [False, True])
def test_the_state_of_a_whole_model_grows(config: Callable, parts: bool) -> None:
    """Names, shapes and parts are those that the target's optimizer has; blocks that are new start anew."""
    source, target = config(2, 7, 13, 1), config(3, 9, 20, 2)
    plan = growth(source, target, "exact", "auto", Options(1)).plan
    state = optimizer_state(source, parts)
    wide = grow_state(state, plan, source, target)
    expected = optimizer_state(target, parts)
    assert {key: tensor.shape for key, tensor in wide.items()} == {key: t.shape for key, t in expected.items()}
    assert float(wide["blocks.0.norm.weight.step"]) == 7
    assert float(wide["blocks.1.norm.weight.step"]) == 0
    if parts:
        torch.testing.assert_close(
            wide["blocks.0.qkv.weight/0.momentum_buffer"].view(3, 9, 27)[:2, :7, :14],
            state["blocks.0.qkv.weight/0.momentum_buffer"].view(2, 7, 14) / (9 / 7) ** 0.5,
        )
    else:
        keys = wide["blocks.0.qkv.weight.exp_avg"].chunk(3)[1].view(3, 9, 27)[:2, :7, :14]
        assert torch.equal(keys, state["blocks.0.qkv.weight.exp_avg"].chunk(3)[1].view(2, 7, 14))


def test_a_state_of_another_model_is_refused(config: Callable) -> None:
    source, target = config(2, 7, 13, 2), config(3, 9, 20, 2)
    plan = growth(source, target, "exact", "auto", Options(1)).plan
    with pytest.raises(StepError, match=r"has no state for blocks\.1\.qkv\.weight; it belongs to another model"):
        grow_state(optimizer_state(config(2, 7, 13, 1), False), plan, source, target)
    with pytest.raises(
        StepError, match=r"has shape \(\d+, 16\) for .*; expected \(\d+, 14\); it belongs to another model"
    ):
        grow_state(optimizer_state(config(2, 8, 13, 2), False), plan, source, target)


def test_the_step_grows_the_state_beside_the_weights(checkpoint: Path, run: Callable) -> None:
    with pytest.raises(
        StepError, match=r"no optimizer state to grow; train the source with training.keep_optimizer true"
    ):
        run({"grow_optimizer": True})
    assert not (checkpoint.parent / "grown").exists()
    source = PhiConfig(50, 16, 32, 2, 2, 32)
    (checkpoint / "state").mkdir()
    save_file(optimizer_state(source, True), checkpoint / OPTIMIZER)
    run({"grow_optimizer": True})
    target = PhiConfig(50, 20, 40, 3, 2, 32, partial_rotary_factor=0.4)
    found, expected = load_file(checkpoint.parent / "grown" / OPTIMIZER), optimizer_state(target, True)
    assert {key: tensor.shape for key, tensor in found.items()} == {key: t.shape for key, t in expected.items()}
