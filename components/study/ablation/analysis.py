"""Analyses the records of the ablation: losses and exam of each arm, and the effect of each added ingredient."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from statistics import fmean
from typing import Any

from components.errors import StepError
from components.study import multipliers
from components.study.ablation.arms import ARMS
from components.study.ablation.record import Record
from components.study.levels import over_families_and_seeds, over_seeds
from components.study.statistics import interval, verdict


@dataclass(frozen=True)
class Ablation:
    """The training runs by arm, in the order of the recipe, then by seed. An arm with a diverged run is not compared.

    Attributes:
        further: training runs of the baseline by its further budgets, then by seed.
    """

    runs: dict[str, list[Record]]
    further: dict[float, list[Record]]
    seeds: list[int]
    diverged: list[str]

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Ablation":
        """Sort the records.

        Raises:
            StepError: fewer than two arms are complete, or the runs differ in tokens, model or exam.
        """
        further = sorted((r for r in records if r.horizon != 1.0), key=lambda r: (r.horizon, r.seed))
        records = [record for record in records if record.horizon == 1.0]
        seeds = sorted({record.seed for record in records})
        diverged = [arm for arm in ARMS if any(r.arm == arm and r.loss is None for r in records)]
        arms = [arm for arm in ARMS if arm not in diverged and any(r.arm == arm for r in records)]
        if len(arms) < 2:
            raise StepError(
                f"complete arms: {len(arms)} ({', '.join(diverged) or 'none'} diverged); expected at least 2 to compare; "
                "lower small.learning_rate"
            )
        runs = {arm: sorted((r for r in records if r.arm == arm), key=lambda r: r.seed) for arm in arms}
        for arm in arms:
            if [record.seed for record in runs[arm]] != seeds:
                raise StepError(
                    f"arm {arm!r} has seeds {[r.seed for r in runs[arm]]}, expected {seeds}; run the ablation"
                )
        whole = [record for arm in arms for record in runs[arm]]
        lost = {r.horizon for r in further if r.loss is None}
        diverged += [f"{further[0].arm} at horizon {horizon:g}" for horizon in sorted(lost)]
        kept = [r for r in further if r.horizon not in lost]
        check_alike([*whole, *(replace(record, tokens=whole[0].tokens) for record in kept)])
        budgets = {horizon: list(group) for horizon, group in groupby(kept, key=lambda r: r.horizon)}
        return cls(runs, budgets, seeds, diverged)

    def of_arm(self, arm: str, figure: str) -> list[float]:
        """A metric of an arm for each seed, named as in `value_of`."""
        return [value_of(record, figure) for record in self.runs[arm]]

    def exams(self, arm: str) -> list[dict[str, Any]]:
        """The exam of an arm for each seed."""
        return [{"accuracy": float("nan")} | (record.exam or {}) for record in self.runs[arm]]


def check_alike(records: Sequence[Record]) -> None:
    """Refuse training runs that differ in more than their documents and seeds."""
    first = records[0]
    for record in records:
        for name, ours, theirs in (
            ("tokens", record.tokens, first.tokens),
            ("parameters", record.parameters, first.parameters),
            ("learning rate", record.learning_rate, first.learning_rate),
            ("kinds of held-out documents", sorted(record.losses), sorted(first.losses)),
            ("exam", baselines(record), baselines(first)),
        ):
            if ours != theirs:
                raise StepError(
                    f"{name} of arm {record.arm!r}, seed {record.seed}: {ours}, of arm {first.arm!r}, seed {first.seed}: "
                    f"{theirs}; only the documents may differ: remove the records and run the ablation again"
                )


def baselines(record: Record) -> dict[str, dict[str, float]]:
    """Accuracy of guessing (`chance`, `majority`), over all questions (under an empty name) and by category."""
    exam = record.exam or {"chance": 0, "majority": 0, "categories": {}}
    rows = {"": exam, **exam["categories"]}
    return {name: {key: row[key] for key in ("chance", "majority")} for name, row in rows.items()}


def value_of(record: Record, figure: str) -> float:
    """A metric of a record: `loss`, `whole_loss`, `losses.KIND`, `exam` or `exam.CATEGORY`."""
    name, _, part = figure.partition(".")
    exam = record.exam or {"accuracy": float("nan"), "categories": {}}
    if name == "exam":
        return (exam["categories"][part] if part else exam)["accuracy"]
    return record.losses[part] if part else getattr(record, name)


def analyse(ablation: Ablation) -> dict[str, Any]:
    """The whole result as JSON."""
    first = next(iter(ablation.runs.values()))[0]
    return {
        "seeds": ablation.seeds,
        "diverged": ablation.diverged,
        "tokens": first.tokens,
        "parameters": first.parameters,
        "examples": (first.exam or {}).get("examples", 0),
        "baselines": baselines(first),
        "arms": [describe(ablation, arm) for arm in ablation.runs],
        "multipliers": list(multipliers_of(ablation)),
        "differences": [difference(ablation, *pair) for pair in neighbours(ablation.runs)],
    }


def figures_of(ablation: Ablation) -> dict[str, int]:
    """The metrics that arms are compared by, and whether more (1) or less (-1) is better."""
    first = next(iter(ablation.runs.values()))[0]
    losses = ["loss", "whole_loss", *(f"losses.{kind}" for kind in sorted(first.losses))]
    exams = ["exam", *(f"exam.{name}" for name in sorted((first.exam or {"categories": {}})["categories"]))]
    return dict.fromkeys(losses, -1) | dict.fromkeys(exams, 1)


def describe(ablation: Ablation, arm: str) -> dict[str, Any]:
    """An arm: the tokens read of each kind, how often, and its metrics over the seeds."""
    records = ablation.runs[arm]
    read = {
        kind: {
            "share": sum(r.read.get(kind, {}).get("tokens", 0) for r in records) / sum(r.tokens for r in records),
            "passes": fmean(r.read[kind]["tokens"] / r.read[kind]["distinct"] for r in records if kind in r.read),
        }
        for kind in sorted({kind for record in records for kind in record.read})
    }
    return {
        "arm": arm,
        "meaning": ARMS[arm].meaning,
        "documents": records[0].documents,
        "read": read,
        **{name: interval(ablation.of_arm(arm, name)).record() for name in figures_of(ablation)},
        "by_seed": {name: ablation.of_arm(arm, name) for name in ("loss", "exam")},
    }


def multipliers_of(ablation: Ablation) -> Iterator[dict[str, Any]]:
    """How many tokens the arm with further budgets would need for the loss of each other arm of its kind, over theirs."""
    baseline = next((records[0].arm for records in ablation.further.values()), None)
    if baseline not in ablation.runs:
        return
    budgets = sorted([ablation.runs[baseline], *ablation.further.values()], key=lambda records: records[0].tokens)
    seeds = list(zip(*map(points, budgets), strict=True))
    for arm in ablation.runs:
        if arm != baseline and ARMS[arm].sources == ARMS[baseline].sources:
            found = multipliers.multiplier(seeds, points(ablation.runs[arm]))
            yield multipliers.row(arm, baseline, "tokens", found)


def points(records: Iterable[Record]) -> list[tuple[float, float]]:
    """Tokens and final loss of each seed."""
    return [(record.tokens, value_of(record, "loss")) for record in records]


def neighbours(arms: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each arm with the next one of its kind: of the recipe, and of the documents that were rewritten."""
    arms = list(arms)
    for sources in (False, True):
        yield from pairwise(arm for arm in arms if ARMS[arm].sources == sources)


def difference(ablation: Ablation, before: str, after: str) -> dict[str, Any]:
    """The effect of one more ingredient: an arm minus the one before it, seed by seed."""
    row: dict[str, Any] = {"arm": after, "against": before}
    for name, better in figures_of(ablation).items():
        values, power = over_seeds(ablation.of_arm(after, name), ablation.of_arm(before, name))
        if name == "exam":
            values, power = over_families_and_seeds(ablation.exams(after), ablation.exams(before))
        row[name] = values.record() | power | {"verdict": verdict(values, better)}
    return row
