"""Advice from the fitted growth law: replace the small model, train it on, or grow it?"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from components.errors import StepError
from components.study.growth.arms import CONTINUED, SCRATCH
from components.study.growth.law.fit import Fitted, interval
from components.study.growth.law.form import LAW, Setting
from components.study.growth.law.grid import EXACT
from components.study.growth.law.runs import Measured

FILE = Path(__file__).with_name("law.json")
FACTORS = (1.5, 2.0, 3.0)  # of parameters, that are considered unless the larger size is given
FLOPS_PER_PARAMETER = 6  # for each token of training
VERDICTS = {SCRATCH: "scratch", CONTINUED: "continue", EXACT: "grow"}
SLACK = 1.02  # of a range, for sizes that are given rounded


class Range(NamedTuple):
    """What the runs cover: parameters and tokens in millions."""

    small: tuple[float, float]
    factor: tuple[float, float]
    small_tokens: tuple[float, float]
    tokens: tuple[float, float]


@dataclass(frozen=True)
class Law:
    """The fitted law and the range of the runs that it was fitted to."""

    fitted: Fitted
    range: Range

    @classmethod
    def of(cls, fitted: Fitted, measured: Measured) -> "Law":
        grown = [run for run in measured.runs if run.arm == EXACT]
        if not grown:
            raise StepError("no grown model is among the finished training runs; train more of the grid")
        values = (
            [run.small for run in grown],
            [run.parameters / run.small for run in grown],
            [run.small_tokens for run in grown],
            [run.tokens for run in grown],
        )
        return cls(fitted, Range(*((min(each), max(each)) for each in values)))

    def record(self) -> dict[str, Any]:
        """For FILE; coefficients to six digits."""
        fitted = self.fitted
        return {
            "form": fitted.form.name,
            "names": list(fitted.form.first),
            "best": [float(f"{value:.6g}") for value in fitted.best],
            "draws": [[float(f"{value:.6g}") for value in draw] for draw in fitted.draws],
            "loss_noise": fitted.loss_noise,
            "pair_noise": fitted.pair_noise,
            "range": self.range._asdict(),
        }


def read_law(path: Path = FILE) -> Law:
    """Read a fitted law.

    Raises:
        StepError: the file is not one.
    """
    if not path.exists():
        raise StepError(
            f"{path} does not exist; fit the growth law with `make law` and copy reports/law/result/law.json there"
        )
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if (facts["form"], facts["names"]) != (LAW.name, list(LAW.first)):
            raise ValueError(f"form {facts['form']!r} with {', '.join(facts['names'])}")
        fitted = Fitted(
            LAW, np.array(facts["best"]), np.array(facts["draws"]), facts["loss_noise"], facts["pair_noise"]
        )
        return Law(fitted, Range(**{name: tuple(ends) for name, ends in facts["range"].items()}))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StepError(
            f"{path} is not a fitted growth law ({error}); fit it again with components.study.growth.law.report"
        ) from error


class Budget(NamedTuple):
    """What may be spent after the small model: tokens, in millions, or FLOPs; one of them is None."""

    tokens: float | None
    flops: float | None

    def tokens_for(self, parameters: float) -> float:
        """Millions of tokens that a model of so many million parameters may read."""
        if self.tokens is not None:
            return self.tokens
        assert self.flops is not None
        return self.flops / (FLOPS_PER_PARAMETER * parameters * 1e6) / 1e6


@dataclass(frozen=True)
class Option:
    """One way to spend the budget.

    Attributes:
        start: SCRATCH, CONTINUED or EXACT.
        parameters, tokens: of the trained model, in millions.
        loss: predicted, in nats per token, with its 90% interval `low` to `high`.
    """

    start: str
    parameters: float
    tokens: float
    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class Advice:
    """What to do.

    Attributes:
        options: by rising loss; the first is the advice. Empty if the advice is unknown.
        rival: the best option with another start.
        gain: the predicted loss of the rival minus that of the advice, with its 90% interval `low` to `high`.
        unknown: why there is no advice; empty if there is.
    """

    options: tuple[Option, ...] = ()
    rival: Option | None = None
    gain: float = 0.0
    low: float = 0.0
    high: float = 0.0
    unknown: str = ""

    @property
    def told_apart(self) -> bool:
        """Whether the interval of the gain does not contain 0."""
        return not self.unknown and self.low > 0

    @property
    def verdict(self) -> str:
        """`scratch`, `continue` or `grow`, `not told apart`, or `unknown`."""
        if self.unknown:
            return "unknown"
        return VERDICTS[self.options[0].start] if self.told_apart else "not told apart"


def advise(law: Law, small: float, small_tokens: float, large: Sequence[float], budget: Budget) -> Advice:
    """Compare training the small model on with growing it, and with a random start, at each larger size.

    Args:
        small: parameters of the small model, in millions.
        small_tokens: tokens that it has read, in millions.
        large: parameters of the larger models to consider, in millions; empty for FACTORS within the range.

    Raises:
        StepError: a larger model is not larger.
    """
    if refused := [size for size in large if size <= small]:
        raise StepError(
            f"--large: {refused[0]:g}M parameters are not more than the small model's {small:g}M; give more"
        )
    within = law.range.factor
    sizes = (
        list(large) or [small * factor for factor in FACTORS if within[0] <= factor <= within[1]] or [small * within[1]]
    )
    kinds = [(CONTINUED, small), *((start, size) for size in sizes for start in (EXACT, SCRATCH))]
    tokens = [budget.tokens_for(size) for _, size in kinds]
    if outside := outside_of(law.range, small, small_tokens, sizes, tokens):
        return Advice(unknown=outside)
    starts, parameters = (np.array(each) for each in zip(*kinds, strict=True))
    setting = Setting(
        starts, parameters, np.array(tokens), np.full(len(kinds), small), np.full(len(kinds), small_tokens)
    )
    losses, drawn = law.fitted.losses(setting), law.fitted.drawn(setting)
    low, high = interval(drawn, law.fitted.loss_noise)
    ordered = np.argsort(losses, kind="stable")
    options = [
        Option(kinds[i][0], kinds[i][1], tokens[i], float(losses[i]), float(low[i]), float(high[i])) for i in ordered
    ]
    best = ordered[0]
    other = next(i for i in ordered if kinds[i][0] != kinds[best][0])
    ends = interval(drawn[:, other] - drawn[:, best], law.fitted.pair_noise)
    rival = next(option for option in options if option.start != options[0].start)
    return Advice(tuple(options), rival, float(losses[other] - losses[best]), float(ends[0]), float(ends[1]))


def outside_of(known: Range, small: float, small_tokens: float, sizes: Sequence[float], tokens: Sequence[float]) -> str:
    """The first quantity beyond what the law was fitted to, as a sentence; empty if there is none."""
    asked = [
        ("small model", "M parameters", [small], known.small),
        ("larger model", " times its parameters", [size / small for size in sizes], known.factor),
        ("tokens of the small model", "M", [small_tokens], known.small_tokens),
        ("tokens of what follows", "M", tokens, known.tokens),
    ]
    for name, unit, values, (least, most) in asked:
        for value in values:
            if not least / SLACK <= value <= most * SLACK:
                return f"{name}: {value:,.4g}{unit}; the law was fitted to {least:.3g} to {most:.3g}{unit}"
    return ""


def text_of(advice: Advice) -> str:
    """The advice as lines for a terminal."""
    if advice.unknown:
        return f"unknown: {advice.unknown}"
    lines = [f"{'':<10}{'parameters':>12}{'tokens':>10}{'loss':>8}  90% interval"]
    for option in advice.options:
        lines.append(
            f"{VERDICTS[option.start]:<10}{option.parameters:>11.3g}M{option.tokens:>9.3g}M{option.loss:>8.3f}"
            f"  {option.low:.3f} to {option.high:.3f}"
        )
    best, rival = advice.options[0], advice.rival
    assert rival is not None
    known = "" if advice.told_apart else "not told apart; predicted: "
    gap = (
        f"{advice.gain:.3f} nats per token below {named(rival)} (90% interval {advice.low:+.3f} to {advice.high:+.3f})"
    )
    lines.append(f"{known}{named(best)}, {gap}")
    return "\n".join(lines)


def named(option: Option) -> str:
    return VERDICTS[option.start] + ("" if option.start == CONTINUED else f" ({option.parameters:.3g}M parameters)")


def summary_of(advice: Advice) -> Mapping[str, Any]:
    return {
        "verdict": advice.verdict,
        "unknown": advice.unknown,
        "gain": advice.gain,
        "low": advice.low,
        "high": advice.high,
        "options": [vars(option) for option in advice.options],
    }
