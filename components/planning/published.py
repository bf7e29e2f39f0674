"""Published training runs: the utilisation that each implies, and how far a plan is from each that does not know it.

The utilisation of a plan for an accelerator is the geometric mean of what these runs reached, and its interval their range.
The error of a run is that of a plan with the mean of the other models' runs.
"""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.foreign import yaml_text
from components.phi.config import PhiConfig
from components.planning.machines import Machine, machine

RUNS = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True)
class Published:
    """A run of other people.

    Attributes:
        flops: of the training, forward and backward.
        hours: that it took.
    """

    name: str
    source: str
    machine: Machine
    tokens: float
    flops: float
    hours: float

    @property
    def utilisation(self) -> float:
        """The share of the devices' peak that the published time implies."""
        return self.machine.seconds(self.flops, 1.0) / (3600 * self.hours)


@dataclass(frozen=True)
class Check:
    """A plan of a published run, with the utilisation of the other runs.

    Attributes:
        error: predicted over published time, minus 1.
    """

    run: Published
    hours: float
    error: float


def published() -> list[Published]:
    runs = yaml_text.read(RUNS)
    return [_run(name, values) for name, values in runs.items()]


def _run(name: str, values: Mapping[str, Any]) -> Published:
    tokens = float(values["tokens"])
    flops = values.get("flops")
    if flops is None:
        flops = PhiConfig(**values["model"]).flops_per_token() * tokens
    return Published(name, values["source"], machine(values["machine"]), tokens, float(flops), float(values["hours"]))


def mean_utilisation(runs: list[Published]) -> float:
    return statistics.geometric_mean(run.utilisation for run in runs)


def checks(runs: list[Published]) -> list[Check]:
    """A plan of each run from those of other models; `NAME (SOURCE)` is another figure for the model NAME."""
    made = []
    for run in runs:
        others = [other for other in runs if _model(other) != _model(run)]
        hours = run.machine.seconds(run.flops, mean_utilisation(others)) / 3600
        made.append(Check(run, hours, hours / run.hours - 1))
    return made


def _model(run: Published) -> str:
    return run.name.partition(" (")[0]
