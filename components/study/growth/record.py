"""The record of one training run of the study, on disk."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import write_json
from components.study.growth.arms import ARMS, EQUAL_COST
from components.study.steps import read_fields


@dataclass(frozen=True)
class Record:
    """One training run, from its start to the end of its decay.

    Attributes:
        rate: multiple of the arm's learning rate.
        horizon: share of large.tokens, or EQUAL_COST.
        tokens: training tokens.
        flops: training FLOPs, a teacher's forward passes included.
        source_flops: FLOPs that the small model had cost before, 0 if this run doesn't use it.
        validation_loss: final loss in nats per token; None if the run diverged.
        curve: `tokens`, `flops` and `loss` of each validation.
        exam: `accuracy`, `stderr`, `chance`, `majority`, `examples` and `tasks` (accuracy by family) of the exam; None if the run diverged.
        growth: measured differences from the small model, if the start was grown.
        capacity: what the entries that growth added carry, from the summary of training (`components/training/share.py`):
            the `gain` of training, their `share` of it, and their `damage` with its `damage_stderr`.
    """

    arm: str
    seed: int
    rate: float
    horizon: float | str
    learning_rate: float
    parameters: int
    tokens: int
    flops: int
    source_flops: int
    validation_loss: float | None
    bits_per_byte: float | None
    curve: dict[str, list[float]]
    exam: dict[str, Any] | None
    growth: dict[str, float] | None
    capacity: dict[str, Any] | None = None

    @property
    def loss(self) -> float:
        """The final loss; infinite if the run diverged."""
        return math.inf if self.validation_loss is None else self.validation_loss

    @property
    def total_flops(self) -> int:
        """FLOPs of this run and of the small model that it uses."""
        return self.flops + self.source_flops

    @classmethod
    def diverged(cls, **facts: Any) -> "Record":
        """The record of a training run whose loss became NaN or infinite."""
        nothing: dict[str, Any] = {"parameters": 0, "flops": 0, "validation_loss": None, "bits_per_byte": None}
        return cls(**facts, **nothing, curve={"tokens": [], "flops": [], "loss": []}, exam=None)

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        StepError: the file is not a record.
    """
    record = read_fields(path, Record, "the study")
    if record.arm not in ARMS or not (isinstance(record.horizon, float) or record.horizon == EQUAL_COST):
        raise StepError(
            f"{path} names arm {record.arm!r} and horizon {record.horizon!r}; remove it and run the study again"
        )
    return record


def read_records(folder: Path) -> list[Record]:
    """All records under a folder, in the order of their paths.

    Raises:
        StepError: there is none, or one cannot be read.
    """
    paths = sorted(folder.rglob("*.json"))
    if not paths:
        raise StepError(f"{folder}: no record of a training run; run the study first")
    return [read_record(path) for path in paths]


def best_trial(records: Iterable[Record], arm: str) -> Record:
    """The trial of an arm with the lowest loss; among equal losses, the lower learning rate.

    Raises:
        StepError: there is no trial of the arm, or all diverged.
    """
    tried = [record for record in records if record.arm == arm]
    best = min(tried, key=lambda record: (record.loss, record.rate), default=None)
    if best is None:
        raise StepError(f"no trial of arm {arm!r}; run the study's trials first")
    if math.isinf(best.loss):
        rates = ", ".join(f"{record.learning_rate:g}" for record in tried)
        raise StepError(f"every trial of arm {arm!r} diverged (learning rates {rates}); lower study.rates")
    return best
