"""Exact growth: the grown Phi computes the source's function, for any shapes that can grow."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from components.phi.model import PhiConfig
from components.phi.weights import from_state, state_shapes
from components.transfer.maps import FREE
from components.transfer.operators import OPERATORS, growth
from components.transfer.options import Options
from components.transfer.plan import NEW_TOKEN_LOGIT

ROUNDING = 1e-6  # relative logit error that float32 costs, in Euclidean norm


@torch.no_grad()
def logits(config: PhiConfig, state: dict, dtype: torch.dtype) -> Tensor:
    """Of the source's 50 tokens, in float64 whatever computed them."""
    tokens = torch.randint(50, (2, 12), generator=torch.Generator().manual_seed(7))
    return from_state(config, state, dtype)(tokens)[..., :50].double()


def norm_error(found: Tensor, expected: Tensor) -> float:
    """Relative error in Euclidean norm."""
    return float((found - expected).norm() / expected.norm())


def worst_error(found: Tensor, expected: Tensor) -> float:
    """Largest over positions of (largest difference) / (largest logit)."""
    return float(((found - expected).abs().amax(-1) / expected.abs().amax(-1)).max())


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict, dict]:
    """Sizes of a source and of a target at least as large on every axis, mostly at factors that are not integers."""
    rotary = draw(st.sampled_from([2, 4]))
    heads, size, inner, layers = (draw(st.integers(*r)) for r in ((1, 3), (4, 9), (4, 20), (1, 3)))
    more = [draw(st.integers(0, n)) for n in (2, 7, 17, 4)]
    source = {"heads": heads, "head_dim": size, "inner": inner, "layers": layers, "rotary": rotary}
    target = {
        "heads": heads + more[0],
        "head_dim": size + more[1],
        "inner": inner + more[2],
        "layers": layers + more[3],
        "rotary": rotary,
        "vocab": 50 + draw(st.integers(0, 3)),
    }
    return source, target


@settings(max_examples=220, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs(),
    st.integers(0, 2**31 - 1),
    st.sampled_from(["mean_pad", "zero_pad"]),
    st.sampled_from(["random", "copies"]),
    st.sampled_from(["silent", "pairs"]),
)
def test_growth_preserves_the_function(
    config: Callable,
    random_state: Callable,
    grow: Callable,
    pair: tuple,
    seed: int,
    residual: str,
    new_units: str,
    inserted: str,
) -> None:
    source, target = (config(**sizes) for sizes in pair)
    state = {name: tensor.float() for name, tensor in random_state(source, seed).items()}
    grown = grow(state, source, target, "exact", "identity", Options(seed, residual, new_units, 0.1, 0.3, inserted))
    assert {name: tuple(tensor.shape) for name, tensor in grown.items()} == state_shapes(target)
    expected = logits(source, state, torch.float64)
    assert worst_error(logits(target, grown, torch.float64), expected) <= 1e-12
    # The weights rounded to float32, computed in float64: what the checkpoint itself has lost.
    stored = {name: tensor.float() for name, tensor in grown.items()}
    assert norm_error(logits(target, stored, torch.float64), expected) <= ROUNDING
    # Computed in float32 too. The norm says how far the logits are apart as a whole; at single positions LayerNorm may
    # divide by little, and there the source in float32 is as far from itself in float64.
    single, found = logits(source, state, torch.float32), logits(target, stored, torch.float32)
    assert norm_error(found, single) <= max(ROUNDING, 4 * norm_error(single, expected))
    assert worst_error(found, single) <= max(ROUNDING, 8 * worst_error(single, expected))


@pytest.mark.parametrize("new_units", ["random", "copies"])
def test_no_copies_stay_locked_and_all_comes_alive(
    config: Callable, random_state: Callable, grow: Callable, new_units: str
) -> None:
    """A few steps of training reach every entry, and leave no two rows or columns of a matrix alike."""
    source, target = config(2, 8, 16, 2), config(3, 10, 24, 5)
    state = grow(
        random_state(source, 1), source, target, "exact", "identity", Options(1, "mean_pad", new_units, 0.02, 0.05)
    )
    model = from_state(target, state)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    tokens = torch.randint(50, (4, 17), generator=torch.Generator().manual_seed(3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range(4):
        model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    used = set(tokens.flatten().tolist())
    for name, parameter in model.named_parameters():
        moved = parameter.detach() != before[name]
        if name == "embed.weight":
            moved = moved[sorted(used)]
        assert moved.float().mean() > 0.95, name
        if parameter.ndim == 2:
            rows, columns = ({tuple(line) for line in m.tolist()} for m in (parameter, parameter.T))
            assert (len(rows), len(columns)) == tuple(parameter.shape), name


def test_copies_without_noise_and_of_equal_shares_would_stay_locked(
    config: Callable, random_state: Callable, grow: Callable
) -> None:
    """What the noise is for: HyperCloning's copies are bit for bit alike after training without it, and apart with it."""
    source, target = config(2, 8, 16, 1), config(4, 8, 32, 1)
    tokens = torch.randint(50, (4, 17), generator=torch.Generator().manual_seed(3))
    apart = {}
    for noise in (0.0, 0.05):
        state = grow(random_state(source, 1), source, target, "hyperclone", "identity", Options(1, noise=noise))
        model = from_state(target, state)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(5):
            model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
            optimizer.step()
            optimizer.zero_grad()
        upper, lower = model.blocks[0].fc1.weight.detach().chunk(2)
        apart[noise] = float((upper - lower).norm() / upper.norm())
    assert apart[0.0] < 1e-4 < 1e-2 < apart[0.05]


def test_inserted_blocks_of_one_origin_are_not_twins(config: Callable, random_state: Callable, grow: Callable) -> None:
    """Also where nothing grows in width, so that no entry is free."""
    source, target = config(2, 8, 16, 1), config(2, 8, 16, 3)
    grown = grow(random_state(source, 1), source, target, options=Options(1, noise=0.05, inserted="silent"))
    first, second = (grown[f"model.layers.{layer}.mlp.fc1.weight"] for layer in (1, 2))
    assert (first != second).all()
    for layer in (1, 2):
        for name in ("self_attn.dense", "mlp.fc2"):
            for part in ("weight", "bias"):
                assert not grown[f"model.layers.{layer}.{name}.{part}"].any()


@pytest.mark.parametrize("operator", ["exact", "hyperclone"])
def test_pairs_cancel_and_every_entry_of_an_inserted_block_learns(
    config: Callable, random_state: Callable, grow: Callable, operator: str
) -> None:
    """Of three heads and 17 units one has no partner and writes nothing."""
    source, target = config(3, 8, 17, 2), config(3, 8, 17, 4)
    grown = grow(
        random_state(source, 1), source, target, operator, "identity", Options(1, inserted="pairs", pair_std=0.3)
    )
    block = "model.layers.1."
    for name, size, columns in (("self_attn.v_proj", 8, "self_attn.dense"), ("mlp.fc1", 8, "mlp.fc2")):
        read, written = grown[f"{block}{name}.weight"], grown[f"{block}{columns}.weight"]
        assert torch.equal(read[:size], read[size : 2 * size])
        assert torch.equal(written[:, :size], -written[:, size : 2 * size])
        assert not written[:, 2 * size :].any()
        assert written[:, :size].std() == pytest.approx(0.3, rel=0.15)
    model = from_state(target, grown, torch.float64)
    tokens = torch.randint(50, (2, 12), generator=torch.Generator().manual_seed(7))
    model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    block = model.blocks[1]
    assert (block.dense.weight.grad != 0).all()
    assert (block.fc2.weight.grad != 0).all()
    assert (block.fc1.weight.grad[:16] != 0).all()
    assert not block.fc1.weight.grad[16:].any()  # the unit without a partner begins a step later


@pytest.mark.parametrize("residual", ["mean_pad", "zero_pad"])
def test_another_epsilon_is_absorbed_by_the_gauge(
    config: Callable, random_state: Callable, grow: Callable, residual: str
) -> None:
    source, target = config(2, 8, 16, 2), replace(config(2, 10, 24, 3), layer_norm_eps=1e-3)
    state = random_state(source, 4)
    grown = grow(state, source, target, options=Options(1, residual))
    assert worst_error(logits(target, grown, torch.float64), logits(source, state, torch.float64)) <= 1e-12


def test_heads_that_are_rotary_as_a_whole_grow(config: Callable, random_state: Callable, grow: Callable) -> None:
    source, target = config(2, 4, 16, 2, rotary=4), config(3, 6, 20, 3, rotary=4)
    state = random_state(source, 4)
    for new_units in ("random", "copies"):
        grown = grow(state, source, target, options=Options(1, new_units=new_units, noise=0.1))
        assert worst_error(logits(target, grown, torch.float64), logits(source, state, torch.float64)) <= 1e-12


@pytest.mark.parametrize("operator", [name for name, known in OPERATORS.items() if known.reads])
@pytest.mark.parametrize("shift", [0.0, -40.0, -100.0, 25.0])
def test_new_tokens_are_never_likely(
    config: Callable, random_state: Callable, grow: Callable, operator: str, shift: float
) -> None:
    """Whatever the operator, and wherever the source's logits lie: softmax does not see a shift."""
    source, target = config(2, 8, 16, 2), config(4, 8, 32, 3, vocab=53)
    state = random_state(source, 4)
    state["lm_head.bias"] = state["lm_head.bias"] + shift
    tokens = torch.randint(53, (2, 12), generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        grown = from_state(target, grow(state, source, target, operator), torch.float64)(tokens).double()
    old, new = grown[..., :50], grown[..., 50:]
    relative = new - old.mean(-1, keepdim=True)
    assert torch.allclose(relative, torch.tensor(NEW_TOKEN_LOGIT, dtype=torch.float64), atol=1e-5)
    assert grown.log_softmax(-1)[..., 50:].exp().sum(-1).max() < 1e-12


def test_rotary_dimensions_keep_their_places_and_queries_their_sharpness(
    config: Callable, random_state: Callable, grow: Callable
) -> None:
    source, target = config(2, 8, 16, 1), config(2, 10, 16, 1)
    state = random_state(source, 2)
    grown = grow(state, source, target)
    name = "model.layers.0.self_attn.q_proj.weight"
    old, new = state[name].view(2, 8, 16), grown[name].view(2, 10, 20)
    torch.testing.assert_close(new[:, :8, :16], old * (10 / 8) ** 0.5)
    keys = grown["model.layers.0.self_attn.k_proj.weight"].view(2, 10, 20)
    assert not keys[:, 8:].any()


def test_the_plan_of_phi_1_5_to_phi_2_is_made_without_weights() -> None:
    phi_1_5 = PhiConfig(51200, 2048, 8192, 24, 32, 2048, partial_rotary_factor=0.5)
    phi_2 = PhiConfig(51200, 2560, 10240, 32, 32, 2048, partial_rotary_factor=0.4)
    planned = growth(phi_1_5, phi_2, "exact", "auto", Options())
    assert planned.preserves
    assert {name: how.shape for name, how in planned.plan.items()} == state_shapes(phi_2)
    assert (planned.plan["lm_head.weight"].columns.source == FREE).sum() == 512
