"""From per-example records to scores: means with closed-form standard errors, macro averages by category."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.benchmarking.exam import TaskData

Figure = dict[str, float | int | None]


def figure(value: float, stderr: float | None, n: int) -> Figure:
    """One score with its standard error (None where it is not known) and its number of examples."""
    return {"value": value, "stderr": stderr, "n": n}


def mean(values: Sequence[float]) -> Figure:
    """Mean with the standard error of the sample mean (n - 1), which a single value does not have."""
    n = len(values)
    average = math.fsum(values) / n
    spread = math.sqrt(math.fsum((v - average) ** 2 for v in values) / (n - 1) / n) if n > 1 else None
    return figure(average, spread, n)


def macro(figures: Sequence[Mapping[str, float | int | None]]) -> Figure:
    """Plain mean over tasks; its standard error is sqrt(sum of squares) / tasks, tasks being independent."""
    count = len(figures)
    errors = [f["stderr"] for f in figures]
    return figure(
        math.fsum(f["value"] for f in figures) / count,
        None if None in errors else math.sqrt(math.fsum(error**2 for error in errors)) / count,
        sum(int(f["n"]) for f in figures),
    )


def bits_per_byte(logprob: float, choice: str) -> float:
    """Bits that the model needs for each byte of a choice, its leading blank not counted as a byte."""
    return -logprob / math.log(2) / len(choice.encode("utf-8"))


def score_task(data: TaskData, records: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """Scores of one task from its records: accuracy, accuracy by length-normalised choice, bits per byte of the gold
    answer, and the two baselines that need no model."""
    n = len(records)
    return {
        "acc": mean([r["acc"] for r in records]),
        "acc_norm": mean([r["acc_norm"] for r in records]),
        "bits_per_byte": mean([r["bits_per_byte"] for r in records]),
        "chance": figure(data.chance, 0.0, n),
        "majority": figure(data.majority, 0.0, n),
    }


def group(
    suite: Sequence[TaskData], tasks: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Macro averages by category and over all tasks, metric by metric."""
    members: dict[str, list[str]] = {}
    for data in suite:
        members.setdefault(data.category, []).append(data.name)
    metrics = ("acc", "acc_norm", "bits_per_byte", "chance", "majority")

    def average(names: Sequence[str]) -> dict[str, Any]:
        return {metric: macro([tasks[name][metric] for name in names]) for metric in metrics}

    return {category: average(names) for category, names in sorted(members.items())}, average(list(tasks))
