"""Records of trainings that never were."""

from collections.abc import Callable
from typing import Any

import pytest

from components.study.growth.arms import ARMS, EQUAL_COST
from components.study.growth.record import Record

SMALL_FLOPS = 1_000


def make_record(
    arm: str, seed: int = 1, horizon: float | str = 1.0, loss: float | None = 3.0, **changes: Any
) -> Record:
    section = ARMS[arm].section
    tokens = {EQUAL_COST: 1_500}.get(horizon) or int(1_000 * float(horizon))
    flops = tokens * (1 if section == "small" else 2)
    start = 3.2 if ARMS[arm].operator or ARMS[arm].continued else 7.0
    end = loss if loss is not None else start
    given: dict[str, Any] = {
        "arm": arm,
        "seed": seed,
        "rate": 1.0,
        "horizon": horizon,
        "learning_rate": 0.01,
        "parameters": 10 if section == "small" else 20,
        "tokens": tokens,
        "flops": flops,
        "source_flops": SMALL_FLOPS if ARMS[arm].uses_small else 0,
        "validation_loss": loss,
        "bits_per_byte": None if loss is None else loss / 2,
        "curve": {"tokens": [0, tokens / 2, tokens], "flops": [0, flops / 2, flops], "loss": [start, (start + end) / 2, end]},
        "exam": None if loss is None else {"accuracy": 1 / (1 + loss), "stderr": 0.01, "chance": 0.3, "majority": 0.3, "tasks": {}},
        "growth": None,
    }  # fmt: skip
    return Record(**given | changes)


@pytest.fixture(scope="session")
def record() -> Callable[..., Record]:
    return make_record


@pytest.fixture
def study() -> tuple[list[Record], list[Record]]:
    """Trials and runs of three seeds: exact beats scratch in every one, and the small model given as many FLOPs beats it."""
    ends = {
        ("scratch", 0.5): 4.0,
        ("scratch", 1.0): 3.4,
        ("scratch", EQUAL_COST): 3.1,
        ("continued", 0.5): 3.1,
        ("continued", 1.0): 3.0,
        ("continued", EQUAL_COST): 2.8,
        ("exact", 0.5): 3.05,
        ("exact", 1.0): 2.9,
    }
    seeds = {1: 0.0, 2: 0.02, 3: -0.01}
    runs = [
        make_record(arm, seed, horizon, loss + shift + 0.001 * seed * (arm == "exact"))
        for (arm, horizon), loss in ends.items()
        for seed, shift in seeds.items()
    ]
    trials = [
        make_record(arm, loss=loss, rate=rate, learning_rate=0.01 * rate)
        for arm in ("scratch", "continued", "exact")
        for rate, loss in ((0.5, 3.3), (1.0, 3.0), (2.0, None))
    ]
    return trials, runs
