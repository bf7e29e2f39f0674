"""The engine: same results in the same order, whatever runs them."""

import math

import pytest

from components.engine import map_shards
from components.params import EngineParams


@pytest.mark.parametrize("kind", ["serial", "threads", "processes"])
def test_results_come_in_order(kind: str) -> None:
    assert list(map_shards(math.factorial, range(20), EngineParams(kind=kind, workers=3))) == [
        math.factorial(i) for i in range(20)
    ]


@pytest.mark.slow
def test_ray_gives_the_same() -> None:
    assert list(map_shards(math.factorial, range(20), EngineParams(kind="ray", workers=2))) == [
        math.factorial(i) for i in range(20)
    ]


@pytest.mark.parametrize("kind", ["serial", "threads", "processes"])
def test_the_exception_of_a_worker_is_raised(kind: str) -> None:
    with pytest.raises(ValueError, match=r"negative|not defined"):
        list(map_shards(math.factorial, [3, -1, 2], EngineParams(kind=kind, workers=2)))


def test_nothing_to_do() -> None:
    assert list(map_shards(math.factorial, [], EngineParams())) == []
