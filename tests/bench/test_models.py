"""Models of the benches are drawn on the CPU, then moved."""

import pytest

from bench.models import SIZES, ours
from components.phi.model import Phi


def test_weights_are_drawn_before_the_model_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator of the CPU cannot draw on a GPU, for which `meta` stands."""
    drawn_on: list[str] = []
    initialize = Phi.initialize

    def recorded(self: Phi, seed: int) -> Phi:
        drawn_on.extend({weight.device.type for weight in self.parameters()})
        return initialize(self, seed)

    monkeypatch.setattr(Phi, "initialize", recorded)
    assert {weight.device.type for weight in ours(SIZES["tiny"], device="meta").parameters()} == {"meta"}
    assert drawn_on == ["cpu"]
