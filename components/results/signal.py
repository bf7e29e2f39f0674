"""Signal and noise of benchmarks: how far a score separates different models, and how far it moves when nothing changed.

Definitions of Heineman et al. 2025 (arXiv 2508.13144): the signal is the relative dispersion of the final scores of different
models, the noise the relative standard deviation of scores that differ only by chance. They measure it over the last
checkpoints of one training run; here it may also be measured over training seeds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import correlation, fmean, stdev
from typing import Any

from components.results.published import LOWER_IS_BETTER
from components.results.statistics import CONFIDENCE

REFERENCE = ("mean of all", "bits_per_byte")
LEFT_OUT = ("chance", "majority")  # these need no model


@dataclass(frozen=True)
class SignalToNoise:
    """One benchmark by one metric, for models of one size.

    Attributes:
        signal: highest minus lowest score of different models, divided by their mean.
        seeds, checkpoints: standard deviation of the scores of equal models with different seeds, and of the last
            checkpoints of one training run, divided by their mean; None without two scores.
        ratio: signal divided by the larger noise; None if no noise is known, infinite if there is none.
        needed: the ratio that two equal models exceed in 5% of cases: Student's t with the degrees of freedom of the larger
            noise, times sqrt(2). Few seeds need a high ratio.
        agreement: correlation over the models with the mean bits per byte of all benchmarks, positive if better by one is
            better by the other; None if it is unknown. Below 0 the metric ranks the worst models highest, as accuracy at
            chance may do with few questions.
    """

    benchmark: str
    metric: str
    signal: float
    seeds: float | None
    checkpoints: float | None
    ratio: float | None
    needed: float | None
    agreement: float | None = None

    @property
    def recommended(self) -> bool:
        """Whether the best and the worst model differ by more than chance would make them differ, in the right order."""
        if self.ratio is None or self.needed is None or (self.agreement is not None and self.agreement <= 0):
            return False
        return self.ratio > self.needed

    def record(self) -> dict[str, Any]:
        ratio = None if self.ratio is not None and math.isinf(self.ratio) else self.ratio
        return asdict(self) | {"ratio": ratio, "recommended": self.recommended}


def signal_to_noise(
    models: Sequence[Mapping[str, Any]],
    seeds: Sequence[Mapping[str, Any]] = (),
    checkpoints: Sequence[Mapping[str, Any]] = (),
) -> list[SignalToNoise]:
    """Each benchmark and mean of a suite by each of its metrics, the highest ratio first.

    Args:
        models: contents of the scores.json of different models of one size; at least two.
        seeds: those of one model, trained with different seeds.
        checkpoints: those of the last checkpoints of one training run.
    """
    values, by_seed, by_checkpoint = ([_values(scores) for scores in part] for part in (models, seeds, checkpoints))
    found = []
    for key in values[0]:
        if all(key in each for each in (*values, *by_seed, *by_checkpoint)):
            row = _one(key, *([each[key] for each in part] for part in (values, by_seed, by_checkpoint)))
            found.append(replace(row, agreement=_agreement(key, values)))
    return sorted(found, key=lambda row: -(row.ratio or 0.0))


def _one(
    key: tuple[str, str], models: Sequence[float], seeds: Sequence[float], checkpoints: Sequence[float]
) -> SignalToNoise:
    from scipy.stats import t

    mean = fmean(models)
    signal = (max(models) - min(models)) / mean if mean else 0.0
    noises = [(_noise(part), len(part) - 1) for part in (seeds, checkpoints)]
    larger, freedom = max(((n, free) for n, free in noises if n is not None), default=(None, 0))
    if larger is None:
        ratio = needed = None
    else:
        ratio = signal / larger if larger else math.inf if signal else 0.0
        needed = math.sqrt(2) * float(t.ppf((1 + CONFIDENCE) / 2, freedom))
    return SignalToNoise(*key, signal, noises[0][0], noises[1][0], ratio, needed)


def _agreement(key: tuple[str, str], models: Sequence[Mapping[tuple[str, str], float]]) -> float | None:
    if any(REFERENCE not in each for each in models):
        return None
    ours, reference = ([each[name] for each in models] for name in (key, REFERENCE))
    if len(set(ours)) == 1 or len(set(reference)) == 1:
        return 0.0
    found = correlation(ours, reference)
    return found if key[1] in LOWER_IS_BETTER else -found


def _noise(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = fmean(values)
    return stdev(values) / mean if mean else 0.0


def _values(scores: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """A suite's figures by benchmark, or the name of a mean, and metric."""
    means = {f"mean of {name}": figures for name, figures in scores["categories"].items()}
    return {
        (name, metric): figure["value"]
        for name, figures in (scores["benchmarks"] | means | {"mean of all": scores["overall"]}).items()
        for metric, figure in figures.items()
        if metric not in LEFT_OUT
    }
