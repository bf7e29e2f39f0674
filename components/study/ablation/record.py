"""The record of one training run of the ablation, on disk."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import write_json
from components.study.ablation.arms import ARMS
from components.study.steps import read_fields


@dataclass(frozen=True)
class Record:
    """One training run on the documents of an arm.

    Attributes:
        horizon: training budget as a multiple of ablation.tokens.
        documents: distinct documents in the training stream.
        loss: final loss over held-out curated documents and textbooks, in nats per token; None if the run diverged.
        whole_loss: final loss over all held-out documents, exercises included.
        losses: final loss over the held-out documents of each kind.
        curve: `tokens`, `flops` and `loss` (over all held-out documents) of each validation.
        read: per kind, `tokens` read and `distinct` tokens in the stream; their ratio is the number of passes.
        exam: `accuracy`, `chance`, `majority`, `examples`, the first three for each of `categories`,
            and accuracies of the families (`tasks`).
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
    horizon: float = 1.0

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
        StepError: the file is not a record.
    """
    record = read_fields(path, Record, "the ablation")
    if record.arm not in ARMS:
        raise StepError(f"{path} names arm {record.arm!r}; expected one of {', '.join(ARMS)}: run the ablation again")
    return record


def read_records(
    folder: Path, arms: Sequence[str], seeds: Iterable[int], horizons: Iterable[float] = ()
) -> list[Record]:
    """The records of some arms and seeds, from ARM/SEED.json, and of the first arm's further budgets, from
    ARM/HORIZON-SEED.json; other files are ignored.

    Raises:
        StepError: one is missing or cannot be read.
    """
    records = []
    budgets = [*((arm, 1.0) for arm in arms), *((arms[0], horizon) for horizon in horizons)]
    for (arm, horizon), seed in product(budgets, seeds):
        names = [str(seed)] if horizon == 1.0 else [f"{horizon:g}-{seed}", f"{horizon}-{seed}"]  # as YAML spells it
        path = next((p for name in names if (p := folder / arm / f"{name}.json").is_file()), None)
        if path is None:
            missing = folder / arm / f"{names[0]}.json"
            raise StepError(
                f"{missing} does not exist: no training run of arm {arm!r} with seed {seed}; run the ablation"
            )
        record = read_record(path)
        if (record.arm, record.seed, record.horizon) != (arm, seed, horizon):
            raise StepError(
                f"{path} is of arm {record.arm!r} with seed {record.seed} at horizon {record.horizon}; run the ablation"
            )
        records.append(record)
    return records
