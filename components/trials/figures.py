"""The figures by which runs are judged: read from a run's folder, with the basis that decides whether they are comparable."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.results.comparability import TAG, Basis, Comparison, compare_losses, compare_scores, of_scores

MODELS = ("small", "large", "control")
HIGHER, LOWER = "higher", "lower"


@dataclass(frozen=True)
class Metric:
    """A figure of a model.

    Attributes:
        better: HIGHER or LOWER.
        last: the stage that makes it; later stages are not needed.
        file: where it is, relative to the run's folder.
        exam: the exam's own name for it; empty for a loss.
    """

    name: str
    better: str
    last: str
    file: str
    exam: str = ""

    @property
    def sign(self) -> int:
        return 1 if self.better == HIGHER else -1


@dataclass(frozen=True)
class Measurement:
    """A figure of one run.

    Attributes:
        families: of an exam, the score of each family.
    """

    value: float
    basis: Basis
    families: Mapping[str, float] = field(default_factory=dict)


def _metrics() -> dict[str, Metric]:
    found = []
    for model in MODELS:
        for figure in ("validation_loss", "bits_per_byte"):
            found.append(Metric(f"{model}.{figure}", LOWER, f"train_{model}", f"reports/train_{model}.json"))
        scored = f"benchmark@{model}", f"reports/scores/{model}/scores.json"
        found.append(Metric(f"{model}.exam_accuracy", HIGHER, *scored, "acc"))
        found.append(Metric(f"{model}.exam_bits_per_byte", LOWER, *scored, "bits_per_byte"))
    return {metric.name: metric for metric in found}


METRICS = _metrics()


def metric_of(name: str) -> Metric:
    """The metric of this name.

    Raises:
        StepError: there is none.
    """
    if name not in METRICS:
        raise StepError(f"metric {name!r} was given; expected one of {', '.join(METRICS)}; correct it")
    return METRICS[name]


def sealed_metric(metric: Metric) -> Metric:
    """The metric that the sealed half of the exam gives: the same score, for a loss the bits per byte of the right answers."""
    model = metric.name.partition(".")[0]
    return metric if metric.exam else METRICS[f"{model}.exam_bits_per_byte"]


def read(place: Path, metric: Metric) -> Measurement:
    """A metric of a finished run.

    Raises:
        StepError: the run has no such figure.
    """
    path = Path(place) / metric.file
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StepError(
            f"{path}: cannot be read ({error}); expected {metric.name}; run the pipeline there again"
        ) from None
    figure = metric.name.partition(".")[2]
    try:
        if not metric.exam:
            return Measurement(float(content[figure]), Basis.of(content.get(TAG)))
        families = {name: float(task[metric.exam]["value"]) for name, task in content["tasks"].items()}
        return Measurement(float(content["overall"][metric.exam]["value"]), of_scores(content), families)
    except (KeyError, TypeError, ValueError) as error:
        raise StepError(f"{path}: {metric.name} is missing ({error!r}); run the pipeline there again") from None


def comparison(metric: Metric, measured: Mapping[str, Measurement]) -> Comparison:
    """Whether measurements, by the name of their run, may be ranked."""
    bases: dict[str, Any] = {name: found.basis for name, found in measured.items()}
    return compare_scores(bases, "Exam scores") if metric.exam else compare_losses(bases)
