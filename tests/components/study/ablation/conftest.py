"""Records of trainings that never were, and a small project's documents."""

from collections.abc import Callable
from typing import Any

import pytest

from components.study.ablation.arms import ARMS
from components.study.ablation.record import Record


def make_record(arm: str, seed: int = 1, loss: float | None = 4.0, exam: float = 0.4, **changes: Any) -> Record:
    facts: dict[str, Any] = {"arm": arm, "seed": seed, "learning_rate": 0.01, "documents": 100}
    if loss is None:
        return Record.diverged(**facts | {"tokens": 1_000} | changes)
    categories = {"math": {"accuracy": exam - 0.1, "chance": 0.25, "majority": 0.3}}
    categories["language"] = {"accuracy": exam + 0.1, "chance": 0.35, "majority": 0.3}
    given: dict[str, Any] = {
        "parameters": 10,
        "tokens": 1_000,
        "flops": 60_000,
        "loss": loss,
        "whole_loss": loss + 0.5,
        "losses": {"code": loss - 0.1, "exercise": loss + 2, "prose": loss + 0.1},
        "curve": {"tokens": [0, 1_000], "flops": [0, 60_000], "loss": [7.0, loss + 0.5]},
        "read": {"code": {"tokens": 600, "distinct": 800}, "prose": {"tokens": 400, "distinct": 200}},
        "exam": {"accuracy": exam, "chance": 0.3, "majority": 0.32, "examples": 50, "categories": categories},
    }
    return Record(**facts | given | changes)


@pytest.fixture(scope="session")
def record() -> Callable[..., Record]:
    return make_record


ENDS = {
    "random": (4.3, 0.31),
    "curated": (4.0, 0.32),
    "curated_textbooks": (4.0, 0.33),
    "curated_textbooks_exercises": (4.2, 0.6),
}
# By seed and arm, what no mean shows: textbooks change the loss to no one direction.
SHIFTS = {1: (0.0, 0.01, 0.05, 0.0), 2: (0.02, 0.02, -0.03, 0.03), 3: (-0.01, 0.0, 0.0, -0.02)}


@pytest.fixture
def records() -> list[Record]:
    """Three seeds: curation lowers the loss, exercises raise it and lift the exam, textbooks are not distinguishable."""
    return [
        make_record(arm, seed, loss + shift, exam + 0.01 * shift)
        for seed, shifts in SHIFTS.items()
        for (arm, (loss, exam)), shift in zip(ENDS.items(), shifts, strict=True)
    ]


assert [*ENDS] == [arm for arm in ARMS if not ARMS[arm].sources]
