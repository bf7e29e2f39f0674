"""Results of the earlier steps: scores, training summaries, curves, the proof of the growth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from components.results.comparability import TAG, Basis, Comparison, compare_losses, compare_scores
from components.results.power import from_another, from_chance
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
        clusters, clustered_stderr: as in statistics.Estimate.
        chance_stderr: standard error of the score of a model that guesses.
    """

    value: float
    stderr: float | None = None
    n: int | None = None
    chance: float | None = None
    metric: str = "acc"
    majority: float | None = None
    overlap: float | None = None
    clean: Estimate | None = None
    clusters: int | None = None
    clustered_stderr: float | None = None
    chance_stderr: float | None = None

    @property
    def estimate(self) -> Estimate:
        return Estimate(self.value, self.stderr, self.n or 0, self.clusters, self.clustered_stderr)

    @property
    def detects(self) -> dict[str, float | None]:
        """The smallest differences from chance and from another model that this many questions detect."""
        return {"chance": from_chance(self.chance_stderr), "another": from_another(self.stderr)}

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
            "clusters": self.clusters,
            "clustered_stderr": self.clustered_stderr,
            "detects": self.detects,
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
        reworded: the exam in held-out wordings by category, with the mean over its tasks as `overall`; empty without it.
        clusters: the cluster of each example that has one.
        basis: what the scores were measured on.
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
    reworded: dict[str, Accuracy] = field(default_factory=dict)
    clusters: dict[tuple[str, str], str] = field(default_factory=dict)
    basis: Basis = field(default_factory=Basis)


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
        set_back: scores of the subject on the exam with the entries that growth added set back to their start.
        inside: what components.interpretation found in the subject.
    """

    models: tuple[Evidence, ...]
    transfer: dict[str, Any] | None = None
    subject: str = "large"
    lineage: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()
    set_back: Scores | None = None
    inside: dict[str, Any] | None = None

    def model(self, name: str) -> Evidence | None:
        return next((m for m in self.models if m.name == name), None)

    @property
    def reference(self) -> Evidence | None:
        """The model that the others are compared with: the subject, or else the first one, as with two checkpoints alone."""
        return self.model(self.subject) or next(iter(self.models), None)

    def losses(self, model: Evidence, reference: Evidence | None = None) -> Comparison:
        """How a model's losses may be compared with the reference's."""
        both = {m.name: Basis.of(m.training.get(TAG)) for m in (reference or self.reference, model) if m and m.training}
        return compare_losses(both)

    def scores(self, model: Evidence) -> Comparison:
        """How a model's exam scores may be compared with the reference's."""
        both = {m.name: m.scores.basis for m in (self.reference, model) if m and m.scores}
        return compare_scores(both, "Exam scores")

    @property
    def not_compared(self) -> list[str]:
        """Sentences on what differs, without repetition."""
        found = [of(model).reason for model in self.models for of in (self.losses, self.scores)]
        return [reason for reason in dict.fromkeys(found) if reason]


def mean_accuracy(parts: Sequence[Accuracy]) -> Accuracy:
    """Plain mean of independent accuracies with its standard error, and means of their baselines and clean scores."""
    count = len(parts)
    whole = macro([part.estimate for part in parts])
    sizes = all_or_none(p.n for p in parts)
    chances = all_or_none(p.chance for p in parts)
    majorities = all_or_none(p.majority for p in parts)
    overlaps = all_or_none(p.overlap for p in parts)
    clean = all_or_none(p.clean for p in parts)
    return Accuracy(
        value=whole.value,
        stderr=whole.stderr,
        clusters=whole.clusters,
        clustered_stderr=whole.clustered_stderr,
        chance_stderr=macro([Estimate(0.0, p.chance_stderr, 0) for p in parts]).stderr,
        n=None if sizes is None else sum(sizes),
        chance=None if chances is None else math.fsum(chances) / count,
        metric="mean",
        majority=None if majorities is None else math.fsum(majorities) / count,
        overlap=None if overlaps is None else math.fsum(overlaps) / count,
        clean=None if clean is None else macro(clean),
    )
