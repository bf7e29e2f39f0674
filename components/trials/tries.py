"""A try: a question that is registered before its first run, and carried out seed by seed to a verdict.

The runs themselves are somebody else's: `carry_out` asks for figures by a function, so everything here works on any
figures. A try that was interrupted resumes from its ledger.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from components.errors import StepError
from components.params.section import Fraction
from components.results.statistics import interval, mean
from components.trials import budget, forms
from components.trials.figures import HIGHER, Measurement, Metric, comparison, metric_of, sealed_metric
from components.trials.folding import family_differences, paired_figures
from components.trials.forms import OPEN, PART, read_form, refuse_chosen
from components.trials.ledger import (
    CLOSED,
    CONFIRMED,
    NOT_COMPARABLE,
    NOT_CONFIRMED,
    REGISTERED,
    SEALED,
    SEED,
    VERDICT,
    Ledger,
    Try,
)
from components.trials.sequential import BETTER, HOPELESS_NOW, MORE, Judgement, Plan, judge

BASE, OURS = "as it is", "tried"
RETEST = 0.9  # confidence of the two-sided interval of the re-test: one-sided 5%
Say = Callable[[str], None]


class Question(BaseModel):
    """What a try asks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hypothesis: str = Field(min_length=1, description="The hypothesis in words")
    set: dict[str, Any] = Field(min_length=1, description="Parameters that the try changes: dotted keys to values")
    base: dict[str, Any] = Field({}, description="Parameters of both arms that differ from params.yaml")
    profile: str | None = Field(None, description="Profile of both arms; null = none")
    metric: str = Field(
        "small.exam_bits_per_byte", description="Model and figure to compare, such as large.validation_loss"
    )
    direction: Literal["", "higher", "lower"] = Field(
        "", description="Direction in which the metric is expected to change; empty = the better one"
    )
    smallest: float = Field(
        gt=0, allow_inf_nan=False, description="Smallest difference of interest, in the metric's unit"
    )
    most: int = Field(8, ge=2, le=100, description="Maximum number of seeds, each with a run of both arms")
    rate: Fraction = Field(budget.RATE, gt=0, description="Largest share of false discoveries in the project's ledger")

    @property
    def of(self) -> Metric:
        return metric_of(self.metric)

    @property
    def sign(self) -> int:
        return 1 if self.direction == HIGHER else -1

    def overrides(self, arm: str, seed: int, part: str) -> dict[str, Any]:
        """The parameters of a run."""
        return {**self.base, **(self.set if arm == OURS else {}), "seed": seed, PART: part}


class Asked(NamedTuple):
    """A run whose figure is wanted."""

    arm: str
    seed: int
    part: str
    metric: Metric


Measure = Callable[[Asked], Measurement]


def read_question(values: Mapping[str, Any]) -> Question:
    """A question from plain values.

    Raises:
        StepError: a value is refused; names it.
    """
    asked = read_form(Question, values, "try")
    refuse_chosen("try", {"seed", PART}, {*asked.set, *asked.base})
    better = asked.of.better
    return asked.model_copy(update={"direction": asked.direction or better})


def register(ledger: Ledger, question: Question, by: str, source: Mapping[str, str]) -> Try:
    """Write a question into the ledger with its level, before its first run; the same question resumes where it stopped.

    Raises:
        StepError: this question was answered, or the ledger has another rate.
    """
    asked = question.model_dump()
    with ledger.writing():
        tries = ledger.tries()
        for one in tries:
            if one.question == asked and one.registered["source"]["tree"] == source["tree"]:
                if one.verdict is None:
                    return one
                raise StepError(
                    f"try {one.number} asked this and ended as {one.verdict['outcome']!r}; asking again would be a second "
                    f"chance; read {ledger.book}, or ask something else"
                )
        if tries and tries[0].question["rate"] != question.rate:
            raise StepError(
                f"rate is {question.rate}; expected {tries[0].question['rate']}, with which {ledger.path} began; leave it out"
            )
        confirmed = sum((one.verdict or {}).get("outcome") == CONFIRMED for one in tries)
        number = 1 + max((one.number for one in tries), default=0)
        facts = {"question": asked, "by": by, "source": dict(source)}
        level = budget.level(number - 1, confirmed, question.rate)
        ledger.append(number, REGISTERED, **facts, level=level, confirmed_before=confirmed)
        return next(one for one in ledger.tries() if one.number == number)


def carry_out(ledger: Ledger, number: int, first_seed: int, measure: Measure, say: Say) -> Try:
    """Buy seeds until a try is decided, re-test a winner, and write the verdict.

    Args:
        first_seed: seed of the first pair; the next ones follow.
        measure: makes the run that is asked for and returns its figure.

    Raises:
        StepError: a run failed; the try stays open and resumes.
    """
    found = _open(ledger, number)
    question = Question.model_validate(found.question)
    plan = Plan(found.registered["level"], question.smallest, question.most)
    state = judge(improvements(found.seeds), plan) if found.seeds else None
    while state is None or state.outcome == MORE:
        seed = first_seed + len(found.seeds)
        pair = {arm: measure(Asked(arm, seed, OPEN, question.of)) for arm in (BASE, OURS)}
        if reason := comparison(question.of, pair).reason:
            return _end(ledger, found, NOT_COMPARABLE, f"Nobody can say which is better. {reason}")
        row = _row(question, seed, pair)
        state = judge([*improvements(found.seeds), row["improvement"]], plan)
        with ledger.writing():
            ledger.append(number, SEED, **row, judgement=state.record())
        found = _open(ledger, number)
        say(sentence(found.seeds[-1], state, question))
    if state.outcome == BETTER:
        return _retest(ledger, found, question, state, measure, say)
    facts = _spread(found, state)
    return _end(ledger, found, state.outcome, verdict_text(question, state, facts["paired"]), **facts)


def _retest(ledger: Ledger, found: Try, question: Question, state: Judgement, measure: Measure, say: Say) -> Try:
    """Look at the sealed half of the exam, once: the models of all seeds of a winner, on questions no try has shown."""
    metric = sealed_metric(question.of)
    for done in found.seeds[len(found.sealed) :]:
        say(f"re-test of seed {done['seed']} on the sealed half of the exam")
        pair = {arm: measure(Asked(arm, done["seed"], forms.SEALED, metric)) for arm in (BASE, OURS)}
        if reason := comparison(metric, pair).reason:
            return _end(ledger, found, NOT_COMPARABLE, f"The re-test cannot be read. {reason}", **_spread(found, state))
        row = _row(question, done["seed"], pair) | {"metric": metric.name}  # for a loss, bits fall with it too
        with ledger.writing():
            ledger.append(found.number, SEALED, **row)
        found = _open(ledger, found.number)
    again = mean(improvements(found.sealed))
    low, high = interval(again, RETEST)
    same = metric == question.of
    holds = low is not None and high is not None and (low > 0 if same else high >= 0)
    outcome = ("improves too" if same else "does not get worse") if holds else "does not bear it out"
    facts = _spread(found, state)
    text = (
        f"{verdict_text(question, state, facts['paired'])} On the sealed half of the exam {metric.name} {outcome}: "
        f"{again.value:+.4f} [{low:+.4f}, {high:+.4f}] (90% interval over {again.n} seeds)."
    )
    facts |= {"sealed": {"metric": metric.name, "mean": again.value, "low": low, "high": high}}
    return _end(ledger, found, CONFIRMED if holds else NOT_CONFIRMED, text, **facts)


def close(ledger: Ledger, number: int, reason: str) -> Try:
    """End a try without an answer, such as one whose runs fail; it keeps its share of the budget.

    Raises:
        StepError: there is no such open try, or the reason is empty.
    """
    if not reason.strip():
        raise StepError("closing a try: the reason is empty; expected a text; give --reason 'TEXT'")
    return _end(ledger, _open(ledger, number), CLOSED, reason.strip())


def improvements(rows: list[dict[str, Any]]) -> list[float]:
    return [row["improvement"] for row in rows]


def _row(question: Question, seed: int, pair: Mapping[str, Measurement]) -> dict[str, Any]:
    base, ours = pair[BASE], pair[OURS]
    families = {name: question.sign * value for name, value in family_differences(ours, base).items()}
    improvement = question.sign * (ours.value - base.value)
    if not math.isfinite(improvement):
        raise StepError(f"seed {seed}: {question.metric} is {ours.value} and {base.value}; expected finite numbers")
    return {"seed": seed, "base": base.value, "ours": ours.value, "improvement": improvement, "families": families}


def _spread(found: Try, state: Judgement) -> dict[str, Any]:
    """What else is known at the end: the plain paired interval, and for an exam the interval over seeds and families."""
    paired = paired_figures(improvements(found.seeds), [row["families"] for row in found.seeds])
    return {"judgement": state.record(), "paired": paired}


def sentence(row: Mapping[str, Any], state: Judgement, question: Question) -> str:
    """A paired seed in one line."""
    return (
        f"seed {row['seed']}: {question.metric} {row['base']:.4f} as it is, {row['ours']:.4f} tried; improvement "
        f"{row['improvement']:+.4f}, mean {state.mean:+.4f}{_between(state)}; evidence {state.evidence:.3g}, against "
        f"{state.against:.3g}"
    )


def verdict_text(question: Question, state: Judgement, paired: Mapping[str, Any]) -> str:
    """The verdict in words, with the confidence sequence once it is bounded, and the paired interval of these seeds alone."""
    plain = "" if paired["low"] is None else f" (paired 95% interval {paired['low']:+.4f} to {paired['high']:+.4f})"
    seen = f"{state.mean:+.4f}{_between(state)} over {state.seeds} seeds{plain}"
    if state.outcome == BETTER:
        return f"{question.metric} is {question.direction}: the improvement is {seen}."
    if state.outcome == HOPELESS_NOW:
        return f"An improvement of {question.smallest:g} or more is excluded: it is {seen}."
    return f"Not told apart after {state.seeds} seeds: the improvement is {seen}. Not shown is not the same as shown to be nothing."


def _between(state: Judgement) -> str:
    return "" if state.low is None else f" [{state.low:+.4f}, {state.high:+.4f}]"


def _open(ledger: Ledger, number: int) -> Try:
    found = next((one for one in ledger.tries() if one.number == number), None)
    if found is None or found.verdict is not None:
        raise StepError(
            f"try {number} is {'unknown' if found is None else 'finished'}; expected an open try of {ledger.path}"
        )
    return found


def _end(ledger: Ledger, found: Try, outcome: str, text: str, **facts: Any) -> Try:
    with ledger.writing():
        ledger.append(found.number, VERDICT, outcome=outcome, text=text, **facts)
    return next(one for one in ledger.tries() if one.number == found.number)
