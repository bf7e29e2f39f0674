"""The estimate of memory holds against what a training step is seen to allocate."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from components.params import TrainingParams
from components.phi.memory import Memory, estimate
from components.phi.model import Phi, PhiConfig


def settings(length: int, tokens: int, **more) -> TrainingParams:
    more = {"optimizer": "adamw", "batch_tokens": tokens * more.get("devices", 1), **more}
    return TrainingParams(context_length=length, micro_batch_tokens=tokens, **more)


def allocated_by_a_step(config: PhiConfig, dtype: torch.dtype, asked: TrainingParams) -> tuple[int, int]:
    """Bytes that stay (weights, gradients, AdamW's moments), and bytes on top of them at the peak of a step."""
    model = Phi(config, dtype, asked.recompute).initialize(0)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    tokens = torch.randint(config.vocab_size, (asked.micro_batch_tokens // asked.context_length, asked.context_length))
    documents = torch.arange(asked.context_length).expand_as(tokens) // 50 if asked.document_mask else None

    def step() -> None:
        model.loss(tokens, tokens, documents).backward()
        optimizer.step()

    step()
    moments = sum(s.numel() * s.element_size() for p in optimizer.state.values() for s in p.values() if s.ndim)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    now = peak = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return 2 * sum(p.numel() * 4 for p in model.parameters()) + moments, peak


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(
    ("config", "dtype", "length", "tokens", "document_mask"),
    [
        (PhiConfig(2048, 128, 512, 4, 4, 256), torch.bfloat16, 256, 1024, False),  # attention by matrix products
        (PhiConfig(2048, 128, 512, 4, 4, 1024), torch.bfloat16, 1024, 1024, True),  # PyTorch's kernel, with a mask
        (PhiConfig(1000, 128, 256, 3, 4, 256), torch.float32, 256, 1024, False),  # no casts
        (PhiConfig(20000, 64, 256, 2, 2, 128), torch.bfloat16, 128, 512, False),  # the head is all there is
    ],
)
def test_an_estimate_is_close_to_what_is_allocated(
    config: PhiConfig, dtype: torch.dtype, length: int, tokens: int, document_mask: bool, recompute: bool
) -> None:
    asked = settings(length, tokens, document_mask=document_mask, recompute=recompute)
    memory = estimate(config, asked, dtype)
    stays, peak = allocated_by_a_step(config, dtype, asked)
    assert memory.weights + memory.gradients + memory.optimizer == stays
    assert 0.9 < memory.total / (stays + peak) < 1.2
    assert 0.9 < (memory.casts + memory.activations + memory.temporary) / peak < (1.35 if recompute else 1.1)


def test_muon_has_one_moment_for_the_blocks_matrices() -> None:
    config = PhiConfig(97, 64, 160, 2, 2, 40)
    model = Phi(config).initialize(0)
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and n.startswith("blocks")]
    adamw, muon = (estimate(config, settings(40, 40, optimizer=o), torch.float32).optimizer for o in ("adamw", "muon"))
    assert adamw == 8 * sum(p.numel() for p in model.parameters())
    assert adamw - muon == 4 * sum(p.numel() for p in matrices)


def test_sharing_out_divides_what_can_be_divided() -> None:
    config = PhiConfig(51200, 2560, 10240, 32, 32, 2048, partial_rotary_factor=0.4)
    one, ddp, fsdp, several = (
        estimate(config, settings(2048, 8192, devices=d, strategy=s, ema_decay=0.999, **more), torch.bfloat16, "cuda")
        for d, s, more in (
            (1, "ddp", {}),
            (8, "ddp", {}),
            (8, "fsdp2", {}),
            (8, "fsdp2", {"batch_tokens": 2 * 8 * 8192}),
        )
    )
    assert (ddp.weights, ddp.gradients) == (one.weights, one.gradients)
    assert (ddp.optimizer, ddp.activations) == (one.optimizer, one.activations)
    for part in ("weights", "gradients", "optimizer", "average"):
        assert getattr(fsdp, part) == getattr(one, part) // 8
    # Over two micro-batches each device adds up whole gradients.
    assert several.gradients == fsdp.gradients + one.gradients
    assert fsdp.casts < one.casts
    assert fsdp.activations == one.activations


def test_muons_share_is_not_divided() -> None:
    """The momentum of the blocks' matrices is whole on each device, and in a step so are their values and gradients."""
    config = PhiConfig(97, 64, 160, 2, 2, 40)
    model = Phi(config).initialize(0)
    matrices = sum(p.numel() for n, p in model.named_parameters() if p.ndim == 2 and n.startswith("blocks"))
    asked = settings(40, 40, optimizer="muon", devices=2, strategy="fsdp2")
    rest = sum(p.numel() for p in model.parameters()) - matrices
    memory = estimate(config, asked, torch.float32)
    assert memory.optimizer == 4 * (rest + matrices)
    assert memory.casts + memory.activations + memory.temporary >= 2 * 4 * matrices


def test_a_teacher_and_carried_entries_count() -> None:
    config, teacher = PhiConfig(97, 64, 160, 2, 2, 40), PhiConfig(97, 32, 64, 1, 2, 40)
    asked = settings(40, 40)
    alone = estimate(config, asked, torch.float32)
    taught = estimate(config, asked, torch.float32, teacher=teacher, carried=True)
    assert taught.teacher == 4 * sum(p.numel() for p in Phi(teacher).parameters())
    assert taught.carried == 5 * sum(p.numel() for p in Phi(config).parameters())
    assert taught.total >= alone.total + taught.teacher + taught.carried


def test_an_estimate_reads_as_a_line() -> None:
    memory = Memory(
        weights=3_000_000_000,
        gradients=2**31,
        optimizer=0,
        average=0,
        teacher=0,
        carried=0,
        casts=0,
        activations=0,
        temporary=9_900_000_000,
    )
    assert str(memory) == "15.0 GB: temporary 9.9, weights 3.0, gradients 2.1"
    assert str(Memory(1_500_000, 0, 0, 0, 0, 0, 0, 0, 0)) == "1.5 MB: weights 1.5"
