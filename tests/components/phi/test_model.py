"""The model computes what transformers' Phi computes, and keeps its own promises."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from components.errors import StepError
from components.params import LARGE, SMALL
from components.phi import checkpoint
from components.phi.model import IGNORE, HeadCrossEntropy, Phi, PhiConfig, causal_attention, choose

TINY = PhiConfig(97, 64, 160, 2, 2, 40, partial_rotary_factor=0.5)
SHAPES = {
    "phi-1.5 style": TINY,
    "phi-2 style": PhiConfig(97, 80, 96, 3, 2, 24, partial_rotary_factor=0.4, rope_theta=5_000.0),
    "head_dim 80": PhiConfig(50, 160, 64, 1, 2, 16, partial_rotary_factor=0.4, layer_norm_eps=1e-3),
}
Lively = Callable[..., Phi]


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_logits_and_loss_equal_transformers(config: PhiConfig, lively: Lively, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = lively(config)
    checkpoint.save(model, tmp_path / "m", None, {})
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert type(theirs).__name__ == "PhiForCausalLM"
    tokens = torch.randint(config.vocab_size, (3, config.max_position_embeddings))
    with torch.no_grad():
        expected = theirs(tokens, labels=tokens)
        torch.testing.assert_close(model(tokens), expected.logits, rtol=1e-4, atol=2e-4)
        loss = model.loss(tokens[:, :-1], tokens[:, 1:])
        torch.testing.assert_close(loss, expected.loss, rtol=1e-5, atol=1e-5)


def test_greedy_text_equals_transformers(lively: Lively, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = lively(TINY)
    checkpoint.save(model, tmp_path / "m", None, {})
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    prompt = torch.randint(1, TINY.vocab_size, (1, 9))
    expected = theirs.generate(prompt, max_new_tokens=20, do_sample=False)
    assert model.generate(prompt, 20).tolist() == expected.tolist()


@pytest.mark.parametrize("method", ["matmul", "sdpa"])
def test_both_attentions_are_the_textbooks(method: str) -> None:
    q, k, v = torch.randn(3, 2, 3, 11, 8, dtype=torch.float64).unbind()
    scores = (q @ k.transpose(-1, -2) / 8**0.5).masked_fill(torch.ones(11, 11).triu(1).bool(), -torch.inf)
    torch.testing.assert_close(causal_attention(q, k, v, method), scores.softmax(-1) @ v)


def test_the_past_does_not_see_the_future(lively: Lively) -> None:
    model = lively(TINY)
    tokens = torch.randint(97, (1, 20))
    changed = tokens.clone()
    changed[0, 12:] = (changed[0, 12:] + 1) % 97
    assert torch.equal(model(tokens)[:, :12], model(changed)[:, :12])


@pytest.mark.parametrize("count", [1, 511, 1300])
def test_loss_and_gradients_equal_the_plain_ones(count: int) -> None:
    """Also where targets are ignored, and where the last chunk is short."""
    x, weight, bias = (torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((count, 6), (9, 6), (9,)))
    targets = torch.randint(9, (count,))
    targets[1::3] = IGNORE
    ours = HeadCrossEntropy.apply(x, weight, bias, targets, True)
    plain = F.cross_entropy(F.linear(x, weight, bias), targets, ignore_index=IGNORE)
    torch.testing.assert_close(ours, plain)
    for a, b in zip(
        torch.autograd.grad(3 * ours, (x, weight, bias)), torch.autograd.grad(3 * plain, (x, weight, bias)), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_bfloat16_activations_come_close_with_float32_weights() -> None:
    tokens = torch.randint(97, (4, 41), generator=torch.Generator().manual_seed(1))
    losses, gradients = [], []
    for dtype in (torch.float32, torch.bfloat16):
        model = Phi(TINY, dtype).initialize(1)
        loss = model.loss(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        assert {p.dtype for p in model.parameters()} == {loss.dtype} == {torch.float32}
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert abs(losses[0] - losses[1]) < 0.01
    assert F.cosine_similarity(*gradients, dim=0) > 0.999


def test_initial_weights_are_a_function_of_the_seed() -> None:
    one, same, other = (torch.cat([p.flatten() for p in Phi(TINY).initialize(s).parameters()]) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    model = Phi(TINY).initialize(1)
    assert 0.018 < model.blocks[0].fc1.weight.std() < 0.022
    assert (model.blocks[0].norm.weight == 1).all()
    assert (model.head.bias == 0).all()


def test_generation_slides_its_window_and_stops_at_the_end(lively: Lively) -> None:
    model = lively(TINY)
    prompt = torch.randint(1, 97, (2, 38))
    continued = model.generate(prompt, 10, stop_at_eos=False)
    assert continued.shape == (2, 48)
    window = continued[:, 7:47]  # the last 40 before the last token
    assert torch.equal(continued[:, -1], model(window)[:, -1].argmax(-1))
    with torch.no_grad():
        model.head.bias[TINY.eos_token_id] += 1e6
    assert model.generate(prompt, 10)[:, 38:].tolist() == [[0], [0]]


def test_sampling_is_a_function_of_the_seed(lively: Lively) -> None:
    model = lively(TINY)
    prompt = torch.randint(1, 97, (1, 5))
    one, same, other = (model.generate(prompt, 15, temperature=3.0, seed=s).tolist() for s in (1, 1, 2))
    assert one == same != other


def test_top_k_draws_only_from_the_likeliest() -> None:
    logits = torch.arange(10.0).repeat(500, 1)
    drawn = choose(logits, 5.0, 3, torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == {7, 8, 9}
    assert choose(logits, 0.0, 0, torch.Generator()).unique().tolist() == [9]


def test_a_sequence_beyond_the_positions_is_refused(lively: Lively) -> None:
    with pytest.raises(StepError, match="41 tokens is longer than the model's 40 positions"):
        lively(TINY)(torch.zeros(1, 41, dtype=torch.long))


@pytest.mark.parametrize("section", [SMALL, LARGE])
def test_counts_agree_with_the_modules(section) -> None:
    config = PhiConfig.from_shape(section.model, 2048, 256)
    model = Phi(config)
    matrices = sum(p.numel() for n, p in model.named_parameters() if p.ndim == 2 and n != "embed.weight")
    assert config.matmul_parameters() == matrices
    assert config.flops_per_token() == 6 * matrices + 12 * config.num_hidden_layers * config.hidden_size * 256
    assert model.parameter_count() == sum(torch.Size(s).numel() for s in checkpoint.state_shapes(config).values())


def test_published_shapes_have_their_published_size() -> None:
    phi_1_5 = PhiConfig(51200, 2048, 8192, 24, 32, 2048)
    phi_2 = PhiConfig(51200, 2560, 10240, 32, 32, 2048, partial_rotary_factor=0.4)
    sizes = [sum(torch.Size(s).numel() for s in checkpoint.state_shapes(c).values()) for c in (phi_1_5, phi_2)]
    assert sizes == [1_418_270_720, 2_779_683_840]
    assert phi_1_5.rotary_dims == phi_2.rotary_dims == 32
