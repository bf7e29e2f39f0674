"""The moving average of the weights."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from components.phi.model import Phi, PhiConfig
from components.training.averaging import WeightAverage

CONFIG = PhiConfig(7, 8, 8, 1, 2, 8)


def move(model: Phi, seed: int) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))


@given(st.floats(0.01, 0.999), st.integers(1, 12))
def test_it_is_the_recurrence(decay: float, updates: int) -> None:
    model = Phi(CONFIG).initialize(0)
    average = WeightAverage(model, decay)
    expected = model.head.weight.detach().double()
    for number in range(1, updates + 1):
        move(model, number)
        average.update()
        now = min(decay, (1 + number) / (10 + number))
        expected = now * expected + (1 - now) * model.head.weight.detach().double()
    torch.testing.assert_close(average.tensors["head.weight"].double(), expected, rtol=1e-4, atol=1e-5)


def test_applied_swaps_and_gives_back() -> None:
    model = Phi(CONFIG).initialize(0)
    average = WeightAverage(model, 0.5)
    start = [p.detach().clone() for p in model.parameters()]
    move(model, 1)
    moved = [p.detach().clone() for p in model.parameters()]
    with average.applied():
        assert all(torch.equal(p, value) for p, value in zip(model.parameters(), start, strict=True))
    assert all(torch.equal(p, value) for p, value in zip(model.parameters(), moved, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(average.tensors.values(), start, strict=True))
