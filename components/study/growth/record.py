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
    """One training, from its start to the end of its decay.

    Attributes:
        arm, seed, rate, horizon: which one; `rate` is a multiple of the arm's learning rate, `horizon` a share of
            large.tokens or EQUAL_COST.
        tokens, flops: of this training, a teacher's passes included.
        source_flops: what the small model had cost before, 0 where this training doesn't use it.
        validation_loss: at the end, nats per token; None where the training diverged.
        curve: `tokens`, `flops` and `loss` of each validation.
        exam: `accuracy`, `stderr`, `chance`, `majority` and `tasks` of the exam; None where it diverged.
        growth: the proof's figures where the start was grown.
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

    @property
    def loss(self) -> float:
        """The final loss; infinite where the training diverged."""
        return math.inf if self.validation_loss is None else self.validation_loss

    @property
    def total_flops(self) -> int:
        """Of this training and of the small model that it uses."""
        return self.flops + self.source_flops

    @classmethod
    def diverged(cls, **facts: Any) -> "Record":
        """The record of a training whose loss became NaN or infinite."""
        nothing: dict[str, Any] = {"parameters": 0, "flops": 0, "validation_loss": None, "bits_per_byte": None}
        return cls(**facts, **nothing, curve={"tokens": [], "flops": [], "loss": []}, exam=None)

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        StepError: it is none.
    """
    record = read_fields(path, Record, "the study")
    if record.arm not in ARMS or not (isinstance(record.horizon, float) or record.horizon == EQUAL_COST):
        raise StepError(
            f"{path} names arm {record.arm!r} and horizon {record.horizon!r}; remove it and run the study again"
        )
    return record


def read_records(folders: Iterable[Path]) -> list[Record]:
    """All records under some folders, in the order of their paths.

    Raises:
        StepError: there is none, or one cannot be read.
    """
    paths = [path for folder in folders for path in sorted(Path(folder).rglob("*.json"))]
    if not paths:
        raise StepError(f"{', '.join(map(str, folders))}: no record of a training; run the study first")
    return [read_record(path) for path in paths]


def best_trial(records: Iterable[Record], arm: str) -> Record:
    """The trial of an arm with the lowest loss; of equal ones the lower learning rate.

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
