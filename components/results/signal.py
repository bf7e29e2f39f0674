"""Signal and noise of benchmarks: how far a score separates different models, and how far it moves when nothing changed.

Definitions of Heineman et al. 2025 (arXiv 2508.13144): the signal is the relative dispersion of the final scores of different
models, the noise the relative standard deviation of scores that differ only by chance. They measure it over the last
checkpoints of one training run; here it may also be measured over training seeds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist, fmean, stdev
from typing import Any

from components.results.statistics import CONFIDENCE

# Two scores of one model differ by less than this many standard deviations of the noise in 95% of cases.
ENOUGH = math.sqrt(2) * NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
LEFT_OUT = ("chance", "majority")  # these need no model


@dataclass(frozen=True)
class SignalToNoise:
    """One benchmark by one metric, for models of one size.

    Attributes:
        signal: highest minus lowest score of different models, divided by their mean.
        seeds, checkpoints: standard deviation of the scores of equal models with different seeds, and of the last
            checkpoints of one training run, divided by their mean; None without two scores.
        ratio: signal divided by the larger noise; None if no noise is known, infinite if there is none.
    """

    benchmark: str
    metric: str
    signal: float
    seeds: float | None
    checkpoints: float | None

    @property
    def ratio(self) -> float | None:
        noises = [noise for noise in (self.seeds, self.checkpoints) if noise is not None]
        if not noises:
            return None
        return self.signal / max(noises) if max(noises) else math.inf if self.signal else 0.0

    @property
    def recommended(self) -> bool:
        """Whether the best and the worst model differ by more than chance would make them differ."""
        return self.ratio is not None and self.ratio > ENOUGH

    def record(self) -> dict[str, Any]:
        ratio = self.ratio
        finite = ratio is not None and math.isfinite(ratio)
        return asdict(self) | {"ratio": ratio if finite else None, "recommended": self.recommended}


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
            given = [each[key] for each in values]
            mean = fmean(given)
            signal = (max(given) - min(given)) / mean if mean else 0.0
            noises = (_noise([each[key] for each in part]) for part in (by_seed, by_checkpoint))
            found.append(SignalToNoise(*key, signal, *noises))
    return sorted(found, key=lambda row: -(row.ratio or 0.0))


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
