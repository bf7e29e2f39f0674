"""What the records of the ablation say: losses and exam of each arm, and what each further ingredient changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from components.errors import StepError
from components.study.ablation.arms import ARMS
from components.study.ablation.record import Record
from components.study.statistics import interval, verdict


@dataclass(frozen=True)
class Ablation:
    """The trainings by arm and seed, arms in the order of the recipe. Arms of which a training diverged are apart."""

    runs: dict[str, list[Record]]
    seeds: list[int]
    diverged: list[str]

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Ablation":
        """Sort the records.

        Raises:
            StepError: fewer than two arms came to an end, or the trainings are not of equal tokens, one model and one exam.
        """
        seeds = sorted({record.seed for record in records})
        diverged = [arm for arm in ARMS if any(r.arm == arm and r.loss is None for r in records)]
        arms = [arm for arm in ARMS if arm not in diverged and any(r.arm == arm for r in records)]
        if len(arms) < 2:
            raise StepError(
                f"{len(arms)} of the arms came to an end ({', '.join(diverged) or 'none'} diverged), but at least "
                "two are needed for a comparison; lower small.learning_rate"
            )
        runs = {arm: sorted((r for r in records if r.arm == arm), key=lambda r: r.seed) for arm in arms}
        for arm in arms:
            if [record.seed for record in runs[arm]] != seeds:
                raise StepError(
                    f"arm {arm!r} has seeds {[r.seed for r in runs[arm]]}, expected {seeds}; run the ablation"
                )
        check_alike([record for arm in arms for record in runs[arm]])
        return cls(runs, seeds, diverged)

    def of_arm(self, arm: str, figure: str) -> list[float]:
        """A figure of an arm, a seed each: `loss`, `whole_loss`, `exam`, or one of a kind or a category after a dot."""
        return [value_of(record, figure) for record in self.runs[arm]]


def check_alike(records: Sequence[Record]) -> None:
    """Refuse trainings that differ in more than their documents and seeds."""
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
    """Chance and majority, in all (under an empty name) and by category."""
    exam = record.exam or {"chance": 0, "majority": 0, "categories": {}}
    rows = {"": exam, **exam["categories"]}
    return {name: {key: row[key] for key in ("chance", "majority")} for name, row in rows.items()}


def value_of(record: Record, figure: str) -> float:
    """A figure of a record: `loss`, `losses.KIND`, `exam` or `exam.CATEGORY`."""
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
        "differences": [difference(ablation, *pair) for pair in pairwise(ablation.runs)],
    }


def figures_of(ablation: Ablation) -> dict[str, int]:
    """The figures that arms are compared by, and whether more of it (1) or less (-1) is better."""
    first = next(iter(ablation.runs.values()))[0]
    losses = ["loss", "whole_loss", *(f"losses.{kind}" for kind in sorted(first.losses))]
    exams = ["exam", *(f"exam.{name}" for name in sorted((first.exam or {"categories": {}})["categories"]))]
    return dict.fromkeys(losses, -1) | dict.fromkeys(exams, 1)


def describe(ablation: Ablation, arm: str) -> dict[str, Any]:
    """An arm: what was read and how often, and its figures over the seeds."""
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


def difference(ablation: Ablation, before: str, after: str) -> dict[str, Any]:
    """What the next ingredient changes: an arm minus the one before it, seed by seed."""
    found: dict[str, Any] = {"arm": after, "against": before}
    for name, better in figures_of(ablation).items():
        pairs = zip(ablation.of_arm(after, name), ablation.of_arm(before, name), strict=True)
        values = interval([ours - theirs for ours, theirs in pairs])
        found[name] = values.record() | {"verdict": verdict(values, better)}
    return found
