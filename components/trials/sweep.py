"""A sweep: configurations from a space of parameters, the hopeless stopped early, the rest folded over seeds.

Early stopping is successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943) on decayed budgets: each rung is a
complete training run with its own schedule, because a loss in the middle of a run, before the learning rate has decayed,
ranks configurations wrongly (Hagele et al. 2024, arXiv 2405.18392).
"""

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from components.errors import StepError
from components.params import parse_overrides
from components.trials.figures import Measurement, Metric, metric_of
from components.trials.folding import fold
from components.trials.forms import PART, read_form, refuse_chosen

BASE = "as it is"
_RANGE = re.compile(r"(?P<low>[^.]\S*?)\.\.(?P<high>\S+?)(?P<log>:log)?")
Configuration = dict[str, Any]
Measure = Callable[[Configuration, int, float], Measurement]  # of a configuration, a seed, and a share of the budget
Say = Callable[[str], None]


@dataclass(frozen=True)
class Span:
    """A range of numbers, uniform or uniform in the logarithm; whole numbers if both ends are."""

    low: float
    high: float
    log: bool

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def draw(self, rng: np.random.Generator) -> float:
        if self.log:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        elif self.whole:
            return int(rng.integers(int(self.low), int(self.high), endpoint=True))
        else:
            value = float(rng.uniform(self.low, self.high))
        return round(value) if self.whole else float(f"{value:.4g}")


Space = dict[str, list[Any] | Span]


class Sweep(BaseModel):
    """What a sweep tries."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    over: dict[str, str | list[Any]] = Field(
        min_length=1, description="Dotted keys to their values: a list, or LOW..HIGH, or LOW..HIGH:log"
    )
    base: dict[str, Any] = Field({}, description="Parameters of all runs that differ from params.yaml")
    profile: str | None = Field(None, description="Profile of all runs; null = none")
    metric: str = Field(
        "small.exam_bits_per_byte", description="Model and figure to compare, such as large.validation_loss"
    )
    method: Literal["grid", "random", "optuna"] = Field("grid", description="How configurations are chosen")
    runs: int = Field(8, ge=1, le=1000, description="Number of configurations for random and optuna")
    seeds: int = Field(3, ge=1, le=100, description="Number of seeds of the configurations that reach the whole budget")
    rungs: int = Field(1, ge=1, le=8, description="Number of budgets; all but the last stop the worse configurations")
    reduction: int = Field(
        3, ge=2, le=16, description="Factor between two budgets; one in as many configurations goes on"
    )

    @property
    def of(self) -> Metric:
        return metric_of(self.metric)

    @property
    def budget_key(self) -> str:
        """The parameter that is the budget of the metric's model."""
        return "small.tokens" if self.metric.startswith("small.") else "large.tokens"

    @property
    def shares(self) -> list[float]:
        """The budgets as shares of the whole one, rising."""
        return [self.reduction ** -float(k) for k in reversed(range(self.rungs))]


def read_sweep(values: Mapping[str, Any]) -> Sweep:
    """A sweep from plain values.

    Raises:
        StepError: a value is refused; names it.
    """
    sweep = read_form(Sweep, values, "sweep")
    refuse_chosen("sweep", {"seed", PART}, {*sweep.over, *sweep.base})
    refuse_chosen("sweep", {sweep.budget_key} if sweep.rungs > 1 else set(), {*sweep.over})
    if both := sorted({*sweep.over} & {*sweep.base}):
        raise StepError(f"sweep: {both[0]} is in over and in base; expected it in one of them; leave it out of base")
    metric_of(sweep.metric)
    if sweep.method == "grid" and (spans := [key for key, of in space_of(sweep).items() if isinstance(of, Span)]):
        raise StepError(
            f"sweep: {spans[0]} has a range; a grid needs a list of values; list them, or use random or optuna"
        )
    return sweep


def space_of(sweep: Sweep) -> Space:
    """The values of each key.

    Raises:
        StepError: a range is not two rising numbers, or a list is empty.
    """
    found: Space = {}
    for key, given in sweep.over.items():
        match = _RANGE.fullmatch(given) if isinstance(given, str) else None
        if match:
            low, high = (parse_overrides([f"x={match[name]}"])["x"] for name in ("low", "high"))
            number = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
            if not number or not low < high or (match["log"] and low <= 0):
                raise StepError(
                    f"sweep: {key} is {given!r}; expected two rising numbers, above 0 with :log; correct it"
                )
            found[key] = Span(low, high, bool(match["log"]))
        else:
            text = f"[{given}]" if isinstance(given, str) else json.dumps(given)
            values = parse_overrides([f"x={text}"])["x"]
            if not values:
                raise StepError(f"sweep: {key} has no values; expected at least one; list them with commas")
            found[key] = values
    return found


def configurations(sweep: Sweep, seed: int) -> list[Configuration]:
    """The configurations of a grid or of random search, each once.

    Args:
        seed: of random search.
    """
    space = space_of(sweep)
    if sweep.method == "grid":
        listed = {key: of for key, of in space.items() if isinstance(of, list)}
        return [dict(zip(listed, values, strict=True)) for values in itertools.product(*listed.values())]
    rng, found = np.random.default_rng(seed), []
    for _ in range(20 * sweep.runs):  # a small space has fewer configurations
        drawn = {
            key: of.draw(rng) if isinstance(of, Span) else of[int(rng.integers(len(of)))] for key, of in space.items()
        }
        if drawn not in found:
            found.append(drawn)
        if len(found) == sweep.runs:
            break
    return found


def survivors(values: Mapping[str, float], sign: int, reduction: int) -> list[str]:
    """The names of the best 1 / reduction, at least one, best first. NaN and infinite values are never kept before finite ones."""

    def badness(name: str) -> float:
        return -sign * values[name] if math.isfinite(values[name]) else math.inf

    return sorted(values, key=badness)[: max(1, -(-len(values) // reduction))]


def name_of(configuration: Configuration) -> str:
    """`small.learning_rate=0.01, ...`."""
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in configuration.items()) or BASE


@dataclass
class Log:
    """Collects the runs of rungs below the whole budget, and the configurations whose runs failed."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, share: float, values: Mapping[str, float], kept: list[str]) -> None:
        self.rows += [{"arm": n, "share": share, "value": value, "goes_on": n in kept} for n, value in values.items()]

    def fail(self, one: Configuration, error: StepError, say: Say) -> None:
        """A configuration with which training diverges, for example, must not end the sweep."""
        self.failed[name_of(one)] = str(error)
        say(f"{name_of(one)}: failed and left out: {error}")

    def value(self, one: Configuration, seed: int, share: float, measure: Measure, say: Say) -> float:
        """A rung's figure; NaN, which is never kept, for a run that failed."""
        try:
            return measure(one, seed, share).value
        except StepError as error:
            self.fail(one, error, say)
            return math.nan


def carry_out(sweep: Sweep, first_seed: int, measure: Measure, say: Say) -> dict[str, Any]:
    """Run a sweep.

    Args:
        first_seed: the seed of the rungs; the whole budget has further ones.
        measure: makes a run and returns its figure.

    Returns:
        `sweep`, `rungs` (a row per run below the whole budget), `failed` (the reason by configuration), `folded` (components.trials.folding) and `best`, the
        parameters of the best comparable configuration.
    """
    log = Log()
    choose = _optuna if sweep.method == "optuna" else _halving
    finalists = {name_of(one): one for one in [{}, *choose(sweep, first_seed, measure, say, log)]}
    arms: dict[str, dict[int, Measurement]] = {}
    for name, one in finalists.items():
        try:
            arms[name] = {seed: measure(one, seed, 1.0) for seed in range(first_seed, first_seed + sweep.seeds)}
        except StepError as error:
            if not one:  # nothing can be compared with it
                raise
            log.fail(one, error, say)
            continue
        say(f"{name}: {', '.join(f'{found.value:.4f}' for found in arms[name].values())}")
    folded = fold(sweep.of, arms, BASE)
    return {
        "sweep": sweep.model_dump(),
        "rungs": log.rows,
        "failed": log.failed,
        "folded": folded,
        "best": finalists[folded["ranked"][0]],
    }


def _halving(sweep: Sweep, first_seed: int, measure: Measure, say: Say, log: Log) -> list[Configuration]:
    """The configurations that reach the whole budget: the best of each rung."""
    left = {name_of(one): one for one in configurations(sweep, first_seed)}
    for share in sweep.shares[:-1]:
        values = {name: log.value(one, first_seed, share, measure, say) for name, one in left.items()}
        kept = [name for name in survivors(values, sweep.of.sign, sweep.reduction) if name not in log.failed]
        log.add(share, values, kept)
        say(f"{share:.3g} of the budget: {len(kept)} of {len(values)} go on: {'; '.join(kept)}")
        left = {name: left[name] for name in kept}
    return list(left.values())


def _optuna(sweep: Sweep, first_seed: int, measure: Measure, say: Say, log: Log) -> list[Configuration]:
    """Optuna's tree-structured Parzen estimator, one configuration after the other, with its asynchronous halving."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize" if sweep.of.sign > 0 else "minimize",
        sampler=optuna.samplers.TPESampler(seed=first_seed, n_startup_trials=max(3, sweep.runs // 4)),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=sweep.reduction),
    )
    finished: dict[str, float] = {}
    known: dict[str, Configuration] = {}
    for _ in range(sweep.runs):
        trial = study.ask()
        one = dict(_suggested(trial, space_of(sweep)))
        known[name_of(one)] = one
        for step, share in enumerate(sweep.shares):
            value = log.value(one, first_seed, share, measure, say)
            if math.isnan(value):
                pruned = True
                break
            trial.report(value, sweep.reduction**step)
            last = step == sweep.rungs - 1
            pruned = not last and trial.should_prune()
            if not last:
                log.add(share, {name_of(one): value}, [] if pruned else [name_of(one)])
            if pruned:
                break
        if pruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, value)
            finished[name_of(one)] = value
        say(f"{name_of(one)}: {value:.4f}{', stopped' if pruned else ''}")
    return [known[name] for name in survivors(finished, sweep.of.sign, sweep.reduction)]


def _suggested(trial: Any, space: Space) -> Iterator[tuple[str, Any]]:
    for key, of in space.items():
        if isinstance(of, list):
            yield key, json.loads(trial.suggest_categorical(key, [json.dumps(value) for value in of]))
        elif of.whole:
            yield key, trial.suggest_int(key, int(of.low), int(of.high), log=of.log)
        else:
            yield key, float(f"{trial.suggest_float(key, of.low, of.high, log=of.log):.4g}")
