"""The order of training inverted: where a sequence is read."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.order import PhasedOrder, SequenceOrder

SEEDS = st.integers(0, 2**31)


@given(st.integers(1, 3000), SEEDS, st.integers(0, 5))
def test_places_undo_the_order(count: int, seed: int, epoch: int) -> None:
    order, places = SequenceOrder(count, seed), np.arange(count)
    assert np.array_equal(order.places(order.at(epoch * count + places), epoch), places)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=4), SEEDS, st.integers(0, 3))
def test_indices_undo_the_order_of_phases(sizes: list[int], seed: int, epoch: int) -> None:
    order = PhasedOrder(np.concatenate([[0], np.cumsum(sizes)]), seed)
    indices = epoch * order.count + np.arange(order.count)
    assert np.array_equal(order.indices(order.at(indices), epoch), indices)
