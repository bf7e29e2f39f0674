"""The record of one training run of the study, on disk."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from components.errors import StepError
from components.files import write_json
from components.study.steps import read_fields


@dataclass(frozen=True)
class Model:
    """What was measured of one model.

    Attributes:
        answers: by family of the exam, 1 or 0 for each question, in the order of their ids.
        losses: by kind of text, nats and bytes of each held-out document.
        text_sha256: of the held-out documents.
    """

    answers: dict[str, list[float]]
    losses: dict[str, list[list[float]]]
    text_sha256: str

    @property
    def exam(self) -> float:
        """Mean accuracy over the families."""
        return fmean(map(fmean, self.answers.values()))

    @property
    def bits_per_byte(self) -> float:
        """Over all held-out documents."""
        documents = [document for own in self.losses.values() for document in own]
        return sum(nats for nats, _ in documents) / math.log(2) / sum(size for _, size in documents)

    @property
    def basis(self) -> Any:
        """What has to be equal for two models to be compared."""
        return self.text_sha256, {family: len(own) for family, own in self.answers.items()}


@dataclass(frozen=True)
class Record:
    """One training run without an item; `models` lacks a model whose training run diverged."""

    item: str
    seed: int
    models: dict[str, Model]

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))


def read_records(folder: Path, items: Iterable[str], seeds: Iterable[int]) -> dict[tuple[str, int], Record]:
    """The records of some items and seeds, from ITEM/SEED.json; other files are ignored.

    Raises:
        StepError: one is missing or cannot be read, or it is of another item or seed.
    """
    found = {}
    for item, seed in product(items, seeds):
        path = folder / item / f"{seed}.json"
        if not path.is_file():
            raise StepError(f"{path} does not exist: no training run of {item!r} with seed {seed}; run the study")
        record = read_fields(path, Record, "the study")
        try:
            models = {name: Model(**model) for name, model in record.models.items()}  # type: ignore[arg-type]
        except TypeError as error:
            raise StepError(
                f"{path} is not a record of the study ({error}); remove it and run the study again"
            ) from error
        if (record.item, record.seed) != (item, seed):
            raise StepError(f"{path} is of {record.item!r} with seed {record.seed}; run the study again")
        found[item, seed] = Record(item, seed, models)
    return found
