"""What the earlier steps measured: scores, training summaries, curves, the transfer's proof."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from components.results.published import EXAM, Measured
from components.results.statistics import Estimate, all_or_none, macro


@dataclass(frozen=True)
class Accuracy:
    """A score in [0, 1] with its standard error, number of examples and baselines without a model.

    `metric` says which score: an accuracy, an exact match, pass@1, a safety score. `chance` is what guessing reaches,
    `majority` what the answer most frequent in training reaches, `overlap` the share of the examples that occur in the
    training corpus, and `clean` the score of the others. Unknown values are None.
    """

    value: float
    stderr: float | None = None
    n: int | None = None
    chance: float | None = None
    metric: str = "acc"
    majority: float | None = None
    overlap: float | None = None
    clean: Estimate | None = None

    @property
    def above_baselines(self) -> bool | None:
        """Whether the value is more than two standard errors above each baseline; None if unknown."""
        baselines = [b for b in (self.chance, self.majority) if b is not None]
        if not baselines or self.stderr is None:
            return None
        return self.value > max(baselines) + 2 * self.stderr

    def as_json(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "value": self.value,
            "stderr": self.stderr,
            "n": self.n,
            "chance": self.chance,
            "majority": self.majority,
            "above_baselines": self.above_baselines,
            "overlap": self.overlap,
            "clean": self.clean.record() if self.clean else None,
        }


Figures = dict[tuple[str, str], float]  # by task and id of the example


@dataclass(frozen=True)
class Scores:
    """Scores of one model on one suite: overall, by task and by category.

    `bits_per_byte` is the mean over tasks of the bits per byte that the correct answers cost, `weights` the SHA-256 of what
    was scored, `examples` what each example scored by its task's metric, `bits` its bits per byte; None where that is not
    known. `measured` are the tasks' scores by all metrics, with their protocols, and `n_grams` the length of the
    n-grams that were searched for in the training corpus. `transfer` is the exam in held-out wordings by category, with
    the mean over its tasks as `overall`; empty if it was not scored.
    """

    overall: Accuracy
    tasks: dict[str, Accuracy]
    categories: dict[str, Accuracy]
    bits_per_byte: float | None = None
    weights: str | None = None
    examples: Figures | None = None
    bits: Figures | None = None
    suite: str = EXAM
    measured: tuple[Measured, ...] = ()
    n_grams: dict[str, int] = field(default_factory=dict)
    transfer: dict[str, Accuracy] = field(default_factory=dict)


@dataclass(frozen=True)
class Curve:
    """Validations of one training run in order: tokens seen, training FLOPs spent, validation loss (nats per token)."""

    tokens: tuple[float, ...]
    flops: tuple[float, ...]
    loss: tuple[float, ...]


@dataclass(frozen=True)
class Evidence:
    """Everything known about one model; missing values are None. `scores` are those of the exam, `suites` all
    others."""

    name: str
    scores: Scores | None = None
    training: dict[str, Any] | None = None
    curve: Curve | None = None
    suites: dict[str, Scores] = field(default_factory=dict)

    def on(self, suite: str) -> Scores | None:
        """Its scores on a suite."""
        return self.scores if self.scores and self.scores.suite == suite else self.suites.get(suite)


@dataclass(frozen=True)
class Case:
    """Everything that a report is written from. Models are in the order of the command line.

    `lineage` and `config` are those of the checkpoint that is described and registered, `subject` is its model's name.
    """

    models: tuple[Evidence, ...]
    transfer: dict[str, Any] | None = None
    subject: str = "large"
    lineage: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()  # step and warning, from the steps that made the data

    def model(self, name: str) -> Evidence | None:
        return next((m for m in self.models if m.name == name), None)


def mean_accuracy(parts: Sequence[Accuracy]) -> Accuracy:
    """Plain mean of independent accuracies with its standard error, and of their baselines and clean scores."""
    count = len(parts)
    whole = macro([Estimate(p.value, p.stderr, p.n or 0) for p in parts])
    sizes = all_or_none(p.n for p in parts)
    chances = all_or_none(p.chance for p in parts)
    majorities = all_or_none(p.majority for p in parts)
    overlaps = all_or_none(p.overlap for p in parts)
    clean = all_or_none(p.clean for p in parts)
    return Accuracy(
        value=whole.value,
        stderr=whole.stderr,
        n=None if sizes is None else sum(sizes),
        chance=None if chances is None else math.fsum(chances) / count,
        metric="mean",
        majority=None if majorities is None else math.fsum(majorities) / count,
        overlap=None if overlaps is None else math.fsum(overlaps) / count,
        clean=None if clean is None else macro(clean),
    )
