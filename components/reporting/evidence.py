"""Results of the earlier steps: scores, training summaries, curves, the proof of the growth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from components.results.published import EXAM, Measured
from components.results.statistics import Estimate, all_or_none, macro


@dataclass(frozen=True)
class Accuracy:
    """A score with its standard error, number of examples and baselines without a model: in [0, 1], or in bits per byte.

    Unknown values are None.

    Attributes:
        metric: kind of score: an accuracy, an exact match, pass@1, a safety score.
        chance: score of guessing.
        majority: score of always giving the answer that is most frequent in training.
        overlap: share of the examples that occur in the training corpus.
        clean: score on the other examples.
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
        """Whether the value is more than two standard errors above every baseline; None if unknown."""
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

    Unknown values are None.

    Attributes:
        bits_per_byte: of the correct answers, mean over tasks.
        weights: SHA-256 of the scored weights.
        examples: score of each example by its task's metric.
        bits: bits per byte of each example's correct answer.
        measured: the tasks' scores by all metrics, with their protocols.
        n_grams: by task, length of the n-grams that were searched for in the training corpus.
        transfer: the exam in held-out wordings by category, with the mean over its tasks as `overall`; empty without it.
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
    """Validations of one training run in order: training tokens, training FLOPs, validation loss (nats per token)."""

    tokens: tuple[float, ...]
    flops: tuple[float, ...]
    loss: tuple[float, ...]


@dataclass(frozen=True)
class Evidence:
    """All results of one model; unknown ones are None. `scores` are those of the exam, `suites` those of other suites."""

    name: str
    scores: Scores | None = None
    training: dict[str, Any] | None = None
    curve: Curve | None = None
    suites: dict[str, Scores] = field(default_factory=dict)

    def on(self, suite: str) -> Scores | None:
        """The model's scores on a suite."""
        return self.scores if self.scores and self.scores.suite == suite else self.suites.get(suite)


@dataclass(frozen=True)
class Case:
    """All inputs of a report, with the models in the order of the command line.

    Attributes:
        subject: name of the described and registered model.
        lineage, config: of its checkpoint.
        notes: step and warning, from the steps that made the data.
    """

    models: tuple[Evidence, ...]
    transfer: dict[str, Any] | None = None
    subject: str = "large"
    lineage: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()

    def model(self, name: str) -> Evidence | None:
        return next((m for m in self.models if m.name == name), None)


def mean_accuracy(parts: Sequence[Accuracy]) -> Accuracy:
    """Plain mean of independent accuracies with its standard error, and means of their baselines and clean scores."""
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
