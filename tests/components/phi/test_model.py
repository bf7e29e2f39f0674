"""The model computes what transformers' Phi computes, and keeps its own promises."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.nn.attention import flex_attention

from components.errors import StepError
from components.params import LARGE, SMALL
from components.phi import checkpoint
from components.phi import model as phi_model
from components.phi.model import (
    IGNORE,
    Compiled,
    HeadCrossEntropy,
    Phi,
    PhiConfig,
    attend,
    block_mask,
    chunk_loss,
    document_mask,
)
from components.phi.weights import state_shapes
from tests.components.phi.generated import generate

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
    assert generate(model, prompt, 20).tolist() == expected.tolist()


@pytest.mark.parametrize("method", ["matmul", "sdpa"])
def test_both_attentions_are_the_textbooks(method: str) -> None:
    q, k, v = torch.randn(3, 2, 3, 11, 8, dtype=torch.float64).unbind()
    scores = (q @ k.transpose(-1, -2) / 8**0.5).masked_fill(torch.ones(11, 11).triu(1).bool(), -torch.inf)
    torch.testing.assert_close(attend(q, k, v, method=method), scores.softmax(-1) @ v)


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
    ours = HeadCrossEntropy.apply(x, weight, bias, targets, True, 0.0)
    plain = F.cross_entropy(F.linear(x, weight, bias), targets, ignore_index=IGNORE)
    torch.testing.assert_close(ours, plain)
    for a, b in zip(
        torch.autograd.grad(3 * ours, (x, weight, bias)), torch.autograd.grad(3 * plain, (x, weight, bias)), strict=True
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("z_loss", [1e-4, 0.3])
def test_the_z_term_enters_the_gradient_and_not_the_value(z_loss: float) -> None:
    x, weight, bias = (torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((1100, 6), (9, 6), (9,)))
    targets = torch.randint(9, (1100,))
    targets[::4] = IGNORE
    counted = targets != IGNORE
    logits = F.linear(x, weight, bias)
    plain = F.cross_entropy(logits, targets, ignore_index=IGNORE)
    objective = plain + z_loss * logits[counted].logsumexp(-1).square().mean()
    ours = HeadCrossEntropy.apply(x, weight, bias, targets, True, z_loss)
    torch.testing.assert_close(ours, plain)
    for a, b in zip(
        torch.autograd.grad(ours, (x, weight, bias)), torch.autograd.grad(objective, (x, weight, bias)), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_the_heads_gradient_is_summed_in_float32_where_its_weights_are_bfloat16() -> None:
    """As sharded mixed precision hands them in: 40 chunks must not be added up in eight bits."""
    x = torch.randn(40 * 512, 8).bfloat16()
    weight, bias = torch.randn(16, 8), torch.randn(16)
    targets = torch.randint(16, (len(x),))
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        w, b = (t.bfloat16().to(dtype).requires_grad_() for t in (weight, bias))
        gradients.append(torch.autograd.grad(HeadCrossEntropy.apply(x, w, b, targets, True, 0.0), (w, b)))
    for wide, narrow in zip(*gradients, strict=True):
        assert narrow.dtype == torch.bfloat16
        assert torch.equal(wide.bfloat16(), narrow)


def packed(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (1, T + 1) of documents of these lengths, and their document numbers (1, T)."""
    numbers = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return torch.randint(97, (1, len(numbers) + 1)), numbers[None]


@pytest.mark.parametrize("count", [3, 48, 1536])
def test_the_mean_is_no_coarser_than_its_gradient(count: int) -> None:
    """1 / 3 as bfloat16 is 0.2% off, and would make all gradients below the head so."""
    draw = torch.Generator().manual_seed(count)
    x = torch.randn(count, 8, generator=draw).bfloat16().requires_grad_()
    weight, bias = torch.randn(30, 8, generator=draw), torch.randn(30, generator=draw)
    targets = torch.randint(30, (count,), generator=draw)
    loss = HeadCrossEntropy.apply(x, weight, bias, targets, True, 0.0)
    (summed,) = torch.autograd.grad(loss, x, torch.tensor(float(count)), retain_graph=True)
    (mean,) = torch.autograd.grad(loss, x)
    assert torch.equal(mean, (summed.float() / count).bfloat16())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_packed_documents_are_computed_as_if_each_were_alone(lively: Lively, dtype: torch.dtype) -> None:
    """The position of a document in its sequence does not matter: rotary attention depends only on distances."""
    model = Phi(TINY, dtype).initialize(1) if dtype == torch.bfloat16 else lively(TINY, dtype=dtype)
    lengths = (7, 1, 20, 12)
    tokens, documents = packed(*lengths)
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    together = model.token_losses(inputs, targets, documents)
    alone = [
        model.token_losses(i, t)
        for i, t in zip(inputs.split(lengths, dim=1), targets.split(lengths, dim=1), strict=True)
    ]
    tolerance = 0.05 if dtype == torch.bfloat16 else 2e-4
    torch.testing.assert_close(together, torch.cat(alone, 1), rtol=tolerance, atol=tolerance)
    assert not torch.allclose(together, model.token_losses(inputs, targets), atol=0.1 * tolerance)
    torch.testing.assert_close(model.loss(inputs, targets, documents).float(), together.mean())
    model.loss(inputs, targets, documents).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("method", ["matmul", "sdpa"])
def test_a_document_mask_is_the_textbooks(method: str) -> None:
    q, k, v = torch.randn(3, 2, 3, 11, 8, dtype=torch.float64).unbind()
    documents = torch.tensor([[0] * 4 + [5] * 7, [1] * 10 + [0]])
    scores = q @ k.transpose(-1, -2) / 8**0.5
    hidden = (documents[:, None, :, None] != documents[:, None, None, :]) | torch.ones(11, 11).triu(1).bool()
    expected = scores.masked_fill(hidden, -torch.inf).softmax(-1) @ v
    torch.testing.assert_close(attend(q, k, v, document_mask(documents, torch.float64), method), expected)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_block_masks_say_the_same_as_added_masks() -> None:
    """FlexAttention's own reference implementation on the CPU, forward; its compiled kernels need a GPU."""
    from torch.nn.attention.flex_attention import flex_attention

    q, k, v = torch.randn(3, 2, 3, 150, 8).unbind()
    documents = torch.randint(4, (2, 150)).sort(dim=1).values
    blocks = block_mask(documents)
    expected = attend(q, k, v, document_mask(documents, torch.float32))
    torch.testing.assert_close(flex_attention(q, k, v, block_mask=blocks), expected)


def test_losses_of_tokens_average_to_the_loss(lively: Lively) -> None:
    model = lively(TINY)
    tokens = torch.randint(97, (20, 40))
    inputs, targets = tokens[:, :-1], tokens[:, 1:].clone()
    targets[3:, 2::3] = IGNORE
    losses = model.token_losses(inputs, targets)
    assert losses.shape == targets.shape
    assert losses.dtype == torch.float32
    assert not losses.requires_grad
    assert (losses[targets == IGNORE] == 0).all()
    torch.testing.assert_close(losses.sum() / (targets != IGNORE).sum(), model.loss(inputs, targets).detach())


def test_recomputing_blocks_gives_equal_bits_and_keeps_less(lively: Lively) -> None:
    tokens, documents = packed(9, 20, 11)
    gradients, kept = [], []
    for recompute in (False, True):
        model = lively(TINY)
        model.recompute = recompute
        saved: dict[int, int] = {}

        def pack(tensor: torch.Tensor, saved: dict[int, int] = saved) -> torch.Tensor:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = model.loss(tokens[:, :-1], tokens[:, 1:], documents)
            kept.append(sum(saved.values()))
            loss.backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    weights = sum(p.numel() * 4 for p in model.parameters())
    assert kept[1] - weights < 0.5 * (kept[0] - weights)


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


def test_a_sequence_beyond_the_positions_is_refused(lively: Lively) -> None:
    with pytest.raises(StepError, match="41 tokens is longer than the model's 40 positions"):
        lively(TINY)(torch.zeros(1, 41, dtype=torch.long))


@pytest.mark.parametrize(
    ("tokens", "targets", "message"),
    [
        ([[1, 97]], [[1, 1]], "the token id is 97; expected 0 to 96"),
        ([[1, -1]], [[1, 1]], "the token id is -1"),
        ([[1, 1]], [[1, 99]], "the target id is 99"),
        ([[1, 1]], [[1, -99]], "the target id is -99"),
        ([[1, 1]], [[IGNORE, IGNORE]], "all 2 targets of a batch are ignored"),
        ([[]], [[]], "all 0 targets"),
    ],
)
def test_a_batch_that_cannot_be_learned_from_is_refused(tokens: list, targets: list, message: str) -> None:
    model = Phi(TINY).initialize(1)
    with pytest.raises(StepError, match=message):
        model.loss(torch.tensor(tokens, dtype=torch.long), torch.tensor(targets, dtype=torch.long))


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(StepError, match="the batch is empty: 0 sequences of 5 tokens"):
        Phi(TINY).initialize(1).hidden(torch.zeros(0, 5, dtype=torch.long))


@pytest.mark.parametrize("section", [SMALL, LARGE])
def test_counts_agree_with_the_modules(section) -> None:
    config = PhiConfig.from_shape(section.model, 2048, 256)
    model = Phi(config)
    matrices = sum(p.numel() for n, p in model.named_parameters() if p.ndim == 2 and n != "embed.weight")
    assert config.matmul_parameters() == matrices
    assert config.flops_per_token() == 6 * matrices + 12 * config.num_hidden_layers * config.hidden_size * 256
    assert config.parameter_count() == sum(p.numel() for p in model.parameters())
    assert config.parameter_count() == sum(torch.Size(s).numel() for s in state_shapes(config).values())


def test_published_shapes_have_their_published_size() -> None:
    phi_1_5 = PhiConfig(51200, 2048, 8192, 24, 32, 2048)
    phi_2 = PhiConfig(51200, 2560, 10240, 32, 32, 2048, partial_rotary_factor=0.4)
    sizes = [sum(torch.Size(s).numel() for s in state_shapes(c).values()) for c in (phi_1_5, phi_2)]
    assert sizes == [1_418_270_720, 2_779_683_840]
    assert phi_1_5.rotary_dims == phi_2.rotary_dims == 32


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
@pytest.mark.parametrize("z_loss", [0.0, 0.1])
def test_a_teacher_pulls_by_the_forward_divergence(
    lively: Callable[..., Phi], temperature: float, z_loss: float
) -> None:
    """The gradient is that of (1 - w) * cross-entropy + w * T^2 KL(teacher || model) + z-loss, and the value the
    cross-entropy."""
    model = lively(PhiConfig(13, 16, 24, 1, 2, 8), dtype=torch.float64)
    teacher = lively(PhiConfig(13, 8, 16, 2, 2, 8), seed=1, dtype=torch.float64)
    tokens = torch.randint(0, 13, (2, 8), generator=torch.Generator().manual_seed(2))
    targets = tokens.roll(-1, 1)
    targets[0, 3] = IGNORE
    counted = targets.flatten() != IGNORE
    logits, taught = (each(tokens).flatten(0, 1)[counted] for each in (model, teacher))
    plain = F.cross_entropy(logits, targets.flatten()[counted])
    log_p, log_q = ((each / temperature).log_softmax(-1) for each in (logits, taught.detach()))
    objective = 0.7 * plain + 0.3 * temperature**2 * F.kl_div(log_p, log_q, log_target=True, reduction="batchmean")
    objective = objective + z_loss * logits.logsumexp(-1).square().mean()
    expected = torch.autograd.grad(objective, list(model.parameters()))
    ours = model.loss(tokens, targets, z_loss=z_loss, teacher=teacher, teacher_weight=0.3, temperature=temperature)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(torch.autograd.grad(ours, list(model.parameters())), expected)
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.slow
def test_a_compiled_loss_is_two_graphs_with_the_same_gradients() -> None:
    """bfloat16 activations over float32 weights, with documents, z-loss and recomputed blocks."""
    tokens = torch.randint(97, (4, 41))
    documents = torch.arange(40).expand(4, -1) // 15
    model = Phi(replace(TINY, num_hidden_layers=1), torch.bfloat16, recompute=True).initialize(1)
    arguments = (tokens[:, :-1], tokens[:, 1:], documents, 1e-4)
    compiled = Compiled(*(torch.compile(part, fullgraph=True) for part in (Phi.hidden, chunk_loss)))
    values, gradients = [], []
    for parts in (None, compiled):
        model.zero_grad()
        values.append(model.loss(*arguments, compiled=parts))
        values[-1].backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert abs(values[0].item() - values[1].item()) < 0.01
    assert F.cosine_similarity(*gradients, dim=0) > 0.999


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("flex", [False, True])
def test_blocks_compiled_alone_share_one_graph_for_all_batches(
    monkeypatch: pytest.MonkeyPatch, recompute: bool, flex: bool
) -> None:
    """As they are compiled before they are sharded: no graph for each block, each batch's documents or each chunk."""
    monkeypatch.setattr(flex_attention, "_validate_device", lambda *_: None)  # refuses gradients on a CPU
    monkeypatch.setattr(phi_model, "chunk_tokens", lambda device: 40)
    if flex:
        monkeypatch.setattr(phi_model, "document_mask", lambda documents, dtype: block_mask(documents))
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    model = Phi(replace(TINY, num_hidden_layers=4), torch.bfloat16, recompute).initialize(1)
    torch._dynamo.reset()
    for block in model.blocks:
        block.compile(backend=backend, dynamic=False)
    compiled = Compiled(Phi.hidden, torch.compile(chunk_loss, backend=backend, dynamic=False))
    for _ in range(3):
        tokens, documents = torch.randint(97, (4, 41)), torch.randint(4, (4, 40)).sort().values
        model.loss(tokens[:, :-1], tokens[:, 1:], documents, 1e-4, compiled=compiled)
    assert len(graphs) == 2
