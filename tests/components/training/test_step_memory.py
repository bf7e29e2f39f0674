"""What a step of Muon allocates, against the estimate."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from components.params import TrainingParams
from components.phi.memory import estimate
from components.phi.model import Phi, PhiConfig
from components.training.optimizers import PhiOptimizer


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("at_once", [1, 2**26])
def test_a_step_of_muon_allocates_what_is_estimated(
    at_once: int, bfloat16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few tokens of a model whose blocks are nearly all of it: the optimizer's step is the peak."""
    monkeypatch.setattr("components.training.muon.AT_ONCE", at_once)
    monkeypatch.setattr("components.phi.memory.AT_ONCE", at_once)
    monkeypatch.setattr("components.training.muon.computes_bfloat16", lambda device: bfloat16)
    monkeypatch.setattr("components.phi.memory.computes_bfloat16", lambda device: bfloat16)
    config = PhiConfig(50, 128, 512, 2, 4, 16)
    asked = TrainingParams(optimizer="muon", context_length=16, micro_batch_tokens=16, batch_tokens=16)
    model = Phi(config).initialize(0)
    optimizer = PhiOptimizer(model, asked, 0.01)
    tokens = torch.randint(50, (1, 16))
    model.loss(tokens, tokens).backward()
    optimizer.step()  # the moments are there from now on
    model.loss(tokens, tokens).backward()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        optimizer.step()
    events = profiler.profiler.kineto_results.events()
    now = peak = 0
    for _, change in sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"):
        now += change
        peak = max(peak, now)
    memory = estimate(config, asked, torch.float32)
    assert 0.8 < peak / (memory.casts + memory.activations + memory.temporary) < 1.1
