"""The record of one training run of the ablation, on disk."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import write_json
from components.study.ablation.arms import ARMS
from components.study.steps import read_fields


@dataclass(frozen=True)
class Record:
    """One training on the documents of an arm.

    Attributes:
        documents: distinct ones in the stream that was trained on.
        loss: nats per token over held-out curated documents and textbooks, at the end; None where the training diverged.
        whole_loss: over all held-out documents, exercises too.
        losses: of each kind.
        curve: `tokens`, `flops` and `loss` (of all held-out documents) of each validation.
        read: of each kind `tokens` that were read and `distinct` ones in the stream; read over distinct is how often
            each came by.
        exam: `accuracy`, `chance`, `majority`, `examples`, and the first three of each of `categories`.
    """

    arm: str
    seed: int
    learning_rate: float
    documents: int
    parameters: int
    tokens: int
    flops: int
    loss: float | None
    whole_loss: float | None
    losses: dict[str, float]
    curve: dict[str, list[float]]
    read: dict[str, dict[str, int]]
    exam: dict[str, Any] | None

    @classmethod
    def diverged(cls, **facts: Any) -> "Record":
        """The record of a training run whose loss became NaN or infinite."""
        nothing: dict[str, Any] = {"parameters": 0, "flops": 0, "loss": None, "whole_loss": None, "losses": {}}
        return cls(**facts, **nothing, curve={"tokens": [], "flops": [], "loss": []}, read={}, exam=None)

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        StepError: it is not one.
    """
    record = read_fields(path, Record, "the ablation")
    if record.arm not in ARMS:
        raise StepError(f"{path} names arm {record.arm!r}; expected one of {', '.join(ARMS)}: run the ablation again")
    return record


def read_records(folder: Path, arms: Iterable[str], seeds: Iterable[int]) -> list[Record]:
    """The records of some arms and seeds, which lie at ARM/SEED.json; others that are there are left alone.

    Raises:
        StepError: one is missing or cannot be read.
    """
    seeds, records = list(seeds), []
    for arm in arms:
        for seed in seeds:
            path = folder / arm / f"{seed}.json"
            if not path.is_file():
                raise StepError(f"{path} is not there: no training of arm {arm!r} with seed {seed}; run the ablation")
            records.append(read_record(path))
            if (records[-1].arm, records[-1].seed) != (arm, seed):
                raise StepError(f"{path} is of arm {records[-1].arm!r} with seed {records[-1].seed}; run the ablation")
    return records
