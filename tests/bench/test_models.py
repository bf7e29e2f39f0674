"""Models of the benches are drawn on the CPU, then moved."""

from bench.models import SIZES, ours


def test_weights_are_drawn_before_the_model_moves() -> None:
    """On a device of its own a generator of the CPU cannot draw; `meta` stands for a GPU."""
    assert {weight.device.type for weight in ours(SIZES["tiny"], device="meta").parameters()} == {"meta"}
