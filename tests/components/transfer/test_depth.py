"""Depth maps: which source block each block is made from."""

import pytest

from components.errors import StepError
from components.transfer.depth import DEPTH_MAPS, half, identity, interpose, round_map, solar, stack


def sources(layers: list) -> list[int]:
    return [layer.source for layer in layers]


def test_identity_spreads_new_blocks_evenly() -> None:
    grown = identity(24, 32)
    assert [layer.source for layer in grown if layer.gain] == list(range(24))
    assert [index for index, layer in enumerate(grown) if layer.gain == 0] == [3, 7, 11, 15, 19, 23, 27, 31]
    assert all(layer.new == (layer.gain == 0) for layer in grown)


def test_round_is_gophers_map() -> None:
    expected = "0 1 2 2 3 4 4 5 6 7 8 8 9 10 10 11 12 13 14 14 15 16 16 17 18 19 20 20 21 22 22 23"
    assert sources(round_map(24, 32)) == [int(number) for number in expected.split()]
    assert max(sources(round_map(12, 24))) == 11  # unclipped it would be 12


def test_copies_of_blocks() -> None:
    assert sources(interpose(3, 6)) == [0, 0, 1, 1, 2, 2]
    assert sources(stack(3, 7)) == [0, 1, 2, 0, 1, 2, 0]
    assert sources(solar(32, 48)) == [*range(24), *range(8, 32)]
    assert [layer.new for layer in interpose(3, 6)] == [False, True] * 3
    assert [(layer.source, layer.gain) for layer in half(2, 3)] == [(0, 0.5), (0, 0.5), (1, 1.0)]


def test_solar_reaches_twice_the_depth() -> None:
    assert sources(solar(3, 6)) == [0, 1, 2, 0, 1, 2]
    with pytest.raises(
        StepError,
        match=r"joins two copies of the source's 3 blocks, so the target has 6 blocks at most; this target has 7",
    ):
        solar(3, 7)


@pytest.mark.parametrize("name", DEPTH_MAPS)
@pytest.mark.parametrize(("source", "target"), [(1, 1), (3, 3), (3, 5), (24, 32), (5, 10)])
def test_every_map_has_the_depth_and_knows_the_source(name: str, source: int, target: int) -> None:
    layers = DEPTH_MAPS[name](source, target)
    assert len(layers) == target
    assert set(sources(layers)) == set(range(source))
    assert sum(not layer.new for layer in layers) == source
    if source == target:
        assert [(layer.source, layer.gain) for layer in layers] == [(i, 1.0) for i in range(source)]
