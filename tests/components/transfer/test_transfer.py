"""Exact growth: the grown Phi computes the source's function, for any shapes that can grow, or is refused."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import StepError
from components.params import ModelParams, ModelShape, Params
from components.phi.checkpoint import from_state, load, read_config, save, state_shapes
from components.phi.model import Phi, PhiConfig
from components.tracking import Tracker
from components.transfer import transfer
from components.transfer.exact import NEW_TOKEN_LOGIT, grow
from components.transfer.proof import compare
from components.transfer.shapes import check_growth, depth_map


def config(heads: int, head_dim: int, inner: int, layers: int, rotary: int = 4, vocab: int = 50) -> PhiConfig:
    return PhiConfig(
        vocab, heads * head_dim, inner, layers, heads, 32, partial_rotary_factor=(rotary + 0.01) / head_dim
    )


def random_state(config: PhiConfig, seed: int) -> dict[str, torch.Tensor]:
    """Weights, norms and biases all non-trivial, so that nothing can cancel by chance."""
    generator = torch.Generator().manual_seed(seed)
    scale = config.hidden_size**-0.5
    state = {
        n: torch.randn(s, generator=generator, dtype=torch.float64) * scale for n, s in state_shapes(config).items()
    }
    return {n: t + 1 if "layernorm.weight" in n else t for n, t in state.items()}


@st.composite
def pairs(draw: st.DrawFn) -> tuple[PhiConfig, PhiConfig]:
    """A source and a target at least as large on every axis, mostly at factors that are no integers."""
    rotary = draw(st.sampled_from([2, 4]))
    heads, size, inner, layers = (draw(st.integers(*r)) for r in ((1, 3), (4, 9), (4, 20), (1, 3)))
    more = [draw(st.integers(0, n)) for n in (2, 7, 17, 4)]
    source = config(heads, size, inner, layers, rotary)
    return source, config(
        heads + more[0], size + more[1], inner + more[2], layers + more[3], rotary, 50 + draw(st.integers(0, 3))
    )


@settings(max_examples=200, deadline=None)
@given(pairs(), st.integers(0, 2**31 - 1))
def test_growth_preserves_the_function(pair: tuple[PhiConfig, PhiConfig], seed: int) -> None:
    source, target = pair
    check_growth(source, target)
    state = random_state(source, seed)
    grown = grow(state, source, target, seed, free_std=0.1)
    assert {n: tuple(t.shape) for n, t in grown.items()} == state_shapes(target)
    sequences = torch.randint(50, (2, 12), generator=torch.Generator().manual_seed(seed))
    exact = compare(from_state(source, state, torch.float64), from_state(target, grown, torch.float64), sequences)
    assert exact.relative <= 1e-12
    assert exact.kl <= 1e-12
    assert abs(exact.target_loss - exact.source_loss) <= 1e-9  # new tokens take a little probability
    # In float32 rounding alone stands between them: over 400 random pairs the largest difference was 2.6e-6, and the
    # source differs from itself in float64 by up to 2.0e-6.
    single = compare(from_state(source, state), from_state(target, grown), sequences)
    assert single.relative <= 1e-5  # a defect shows in the third digit or before


def test_new_units_are_not_copies_and_all_come_alive() -> None:
    """No two new rows of a free part are equal, and a few steps of training reach every new entry."""
    source, target = config(2, 8, 16, 2), config(3, 10, 24, 3)
    model = from_state(target, grow(random_state(source, 1), source, target, 1, 0.02))
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
    assert len({tuple(row) for row in before["blocks.0.fc1.weight"].tolist()}) == 24


def test_another_epsilon_is_absorbed_by_the_gauge() -> None:
    from dataclasses import replace

    source, target = config(2, 8, 16, 2), replace(config(2, 10, 24, 3), layer_norm_eps=1e-3)
    state = random_state(source, 4)
    tokens = torch.randint(50, (2, 12), generator=torch.Generator().manual_seed(1))
    grown = from_state(target, grow(state, source, target, 1, 0.1), torch.float64)
    assert compare(from_state(source, state, torch.float64), grown, tokens).relative <= 1e-12


def test_new_tokens_have_a_constant_logit() -> None:
    source, target = config(2, 8, 16, 2), config(2, 10, 24, 3, vocab=53)
    grown = from_state(target, grow(random_state(source, 4), source, target, 1, 0.1))
    logits = grown(torch.randint(53, (2, 12), generator=torch.Generator().manual_seed(1)))
    assert (logits[..., 50:] == NEW_TOKEN_LOGIT).all()


def test_the_shapes_of_phi_1_5_and_phi_2_fit() -> None:
    phi_1_5 = PhiConfig(51200, 2048, 8192, 24, 32, 2048, partial_rotary_factor=0.5)
    phi_2 = PhiConfig(51200, 2560, 10240, 32, 32, 2048, partial_rotary_factor=0.4)
    check_growth(phi_1_5, phi_2)
    with pytest.raises(StepError, match="cannot grow"):
        check_growth(phi_2, phi_1_5)


def test_depth_map_spreads_new_blocks_evenly() -> None:
    grown = depth_map(24, 32)
    assert [old for old, new in grown if not new] == list(range(24))
    assert [index for index, (_, new) in enumerate(grown) if new] == [3, 7, 11, 15, 19, 23, 27, 31]
    assert depth_map(3, 3) == [(0, False), (1, False), (2, False)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"hidden_size": 8, "num_attention_heads": 1}, "hidden_size 8 is below the source's 16"),
        ({"num_hidden_layers": 1}, "num_hidden_layers 1 is below the source's 2"),
        ({"intermediate_size": 15}, "intermediate_size 15 is below the source's 16"),
        ({"max_position_embeddings": 31}, "max_position_embeddings 31 is below the source's 32"),
        ({"vocab_size": 20}, "vocab_size 20 is below the source's 50"),
        ({"partial_rotary_factor": 1.0}, r"8 rotary dimensions a head .* differ from the source's 4"),
        ({"rope_theta": 500.0}, "rope_theta 500 differs"),
        ({"num_attention_heads": 4, "partial_rotary_factor": 1.0}, "head_dim 4 is below the source's 8"),
    ],
)
def test_impossible_shapes_are_refused_with_the_reason(change: dict, reason: str) -> None:
    from dataclasses import replace

    source = config(2, 8, 16, 2)
    with pytest.raises(StepError, match=reason):
        check_growth(source, replace(source, **change))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    small = PhiConfig(50, 16, 32, 2, 2, 32, partial_rotary_factor=0.5)
    save(Phi(small).initialize(3), tmp_path / "small", None, {"training_tokens": 7})
    (tmp_path / "small" / "tokenizer.json").write_text("{}")
    return tmp_path / "small"


def params(**shape: float) -> Params:
    wide = {
        "hidden_size": 20,
        "intermediate_size": 40,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "partial_rotary_factor": 0.4,
    }
    return Params(large=ModelParams(model=ModelShape(**{**wide, **shape}), tokens=1, learning_rate=0.1))


def grown(checkpoint: Path, given: Params, **options: object) -> dict:
    inputs = {"source": checkpoint, "target": "large", "operator": "exact", "tokens": None, "seed": None, **options}
    return transfer.run(inputs, {"output": checkpoint.parent / "grown"}, given, Tracker())


def test_a_checkpoint_grows_with_its_proof_beside_it(checkpoint: Path) -> None:
    summary = grown(checkpoint, params())
    folder = checkpoint.parent / "grown"
    record = json.loads((folder / "transfer.json").read_text())
    assert record["operator"] == "exact"
    assert record["max_relative_logit_difference"] == summary["max_relative_logit_difference"] <= 1e-6
    assert record["depth_map"] == [
        {"source": 0, "identity": False},
        {"source": 1, "identity": False},
        {"source": 1, "identity": True},
    ]
    assert record["max_relative_logit_difference_float64"] <= 1e-12
    assert record["proof_on"] == "random tokens"
    assert str(checkpoint.parent) not in (folder / "transfer.json").read_text() + (folder / "lineage.json").read_text()
    assert read_config(folder).hidden_size == 20
    tokens = torch.randint(50, (2, 20))
    assert torch.allclose(load(folder)(tokens), load(checkpoint)(tokens), atol=1e-6)


def test_equal_seeds_give_equal_bytes(checkpoint: Path) -> None:
    path = checkpoint.parent / "grown" / "model.safetensors"
    written = []
    for seed in (5, 5, 6):
        grown(checkpoint, params(), seed=seed)
        written.append(path.read_bytes())
    assert written[0] == written[1] != written[2]


def test_a_config_json_is_a_target_too(checkpoint: Path) -> None:
    target = PhiConfig(50, 24, 48, 2, 2, 64, partial_rotary_factor=4.01 / 12)
    (checkpoint.parent / "target.json").write_text(json.dumps(target.to_hf()))
    grown(checkpoint, params(), target=str(checkpoint.parent / "target.json"))
    assert read_config(checkpoint.parent / "grown").max_position_embeddings == 64


def test_transformers_computes_the_same_from_the_grown_directory(checkpoint: Path) -> None:
    transformers = pytest.importorskip("transformers")
    grown(checkpoint, params())
    theirs = transformers.PhiForCausalLM.from_pretrained(checkpoint.parent / "grown").eval()
    tokens = torch.randint(50, (2, 20))
    with torch.no_grad():
        assert torch.allclose(theirs(tokens).logits, load(checkpoint)(tokens), atol=1e-5)


def test_refusals_write_nothing(checkpoint: Path) -> None:
    with pytest.raises(StepError, match=r"10 rotary dimensions .* source's 4.*set partial_rotary_factor to 0.4"):
        grown(checkpoint, params(partial_rotary_factor=1.0))
    with pytest.raises(StepError, match=r"neither a section of params\.yaml"):
        grown(checkpoint, params(), target="huge")
    for seed in (-1, 2**31):
        with pytest.raises(StepError, match=rf"--seed is {seed}; expected a whole number from 0"):
            grown(checkpoint, params(), seed=seed)
    bound = params().model_copy(
        update={"transfer": Params().transfer.model_copy(update={"max_relative_error": 1e-300})}
    )
    with pytest.raises(StepError, match=r"more than transfer\.max_relative_error"):
        grown(checkpoint, bound)
    assert not (checkpoint.parent / "grown").exists()
