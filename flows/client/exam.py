"""The exam of a run on disk: its questions, and what each model answered."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.settings import places

EXAM, SCORES, ANSWERS = "data/exam", "reports/scores", "examples.parquet"
USUAL = ("small", "large", "control")
NEEDED = ("task", "id", "log_probabilities", "predicted", "in_corpus")


@dataclass(frozen=True)
class Answered:
    """A model's answer to a question.

    Attributes:
        predicted: number of the choice that it prefers.
        probabilities: of the choices, which sum to 1.
    """

    predicted: int
    probabilities: Sequence[float]


@dataclass
class Question:
    """A question of the exam with the models' answers.

    Attributes:
        right: number of the right choice.
        in_corpus: curation found it in the corpus; None if it did not look.
        answers: by model.
    """

    task: str
    id: str
    text: str
    choices: Sequence[str]
    right: int
    in_corpus: bool | None = None
    answers: dict[str, Answered] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """The question as the exam asks it."""
        return f"Question: {self.text}\nAnswer:"

    def passed(self, model: str) -> bool:
        return model in self.answers and self.answers[model].predicted == self.right


def latest(root: Path) -> Path | None:
    """The folder of the latest run with an exam."""
    return next((place for place in places(root) if (place / EXAM).is_dir()), None)


def changed(place: Path) -> int:
    """When a model was last examined."""
    return max((path.stat().st_mtime_ns for path in (place / SCORES).glob(f"*/{ANSWERS}")), default=0)


def questions(place: Path) -> list[Question]:
    """The questions of a run's exam, by task, with the answers that its benchmarks have recorded."""
    found = {}
    for path in sorted((place / EXAM).glob("*.jsonl")):
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            one = Question(row["task"], row["id"], row["question"], row["choices"], row["answer"])
            found[one.task, one.id] = one
    for path in sorted((place / SCORES).glob(f"*/{ANSWERS}")):
        if path.parent.name in USUAL:
            _add_answers(found, path)
    return list(found.values())


def _add_answers(found: dict[tuple[str, str], Question], path: Path) -> None:
    import pyarrow.parquet as pq

    if not set(NEEDED) <= set(pq.read_schema(path).names):  # of another suite
        return
    for row in pq.read_table(path, columns=list(NEEDED)).to_pylist():
        question = found.get((row["task"], row["id"]))
        if question is not None and row["log_probabilities"]:
            question.answers[path.parent.name] = Answered(row["predicted"], normalised(row["log_probabilities"]))
            question.in_corpus = row["in_corpus"]


def normalised(log_probabilities: Sequence[float]) -> list[float]:
    """Probabilities that sum to 1."""
    top = max(log_probabilities)
    parts = [math.exp(each - top) for each in log_probabilities]
    return [part / sum(parts) for part in parts]


def models_of(found: Sequence[Question]) -> list[str]:
    """The models that have answered."""
    return [name for name in USUAL if any(name in one.answers for one in found)]


def matching(found: Sequence[Question], text: str, task: str, kind: str) -> list[Question]:
    """The questions with all words of a text.

    Args:
        task: of one family only; empty for all.
        kind: `KINDS`' name of what the answers must be like; empty for all.
    """
    words = text.casefold().split()
    return [
        one
        for one in found
        if (not task or one.task == task)
        and all(word in f"{one.text} {' '.join(one.choices)}".casefold() for word in words)
        and (not kind or KINDS[kind](one))
    ]


def _differ(one: Question) -> bool:
    return len({answer.predicted for answer in one.answers.values()}) > 1


KINDS: Mapping[str, Any] = {
    "answered differently": _differ,
    "large wrong": lambda one: "large" in one.answers and not one.passed("large"),
    "large right, small wrong": lambda one: one.passed("large") and "small" in one.answers and not one.passed("small"),
    "small right, large wrong": lambda one: one.passed("small") and "large" in one.answers and not one.passed("large"),
}
