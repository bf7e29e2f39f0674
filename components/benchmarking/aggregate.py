"""Turns per-example records into scores: means with closed-form standard errors, benchmarks of several tasks, categories."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from components.benchmarking.suites import Suite, Task
from components.results import statistics

Figure = dict[str, Any]  # value, stderr (None if it is not known), n
Figures = dict[str, Figure]
BASELINES = ("chance", "majority")


def figure(value: float, stderr: float | None, n: int) -> Figure:
    """One score with its standard error (None if it is not known) and its number of examples."""
    return {"value": value, "stderr": stderr, "n": n}


def mean(records: Sequence[Mapping[str, Any]], metric: str) -> Figure:
    """Mean of a metric over the records that have it, with its standard errors (see statistics.mean)."""
    own = [record for record in records if record.get(metric) is not None]
    clusters = [record["cluster"] for record in own] if all(record.get("cluster") for record in own) else None
    return statistics.mean([record[metric] for record in own], clusters).record()


def macro(figures: Sequence[Figure]) -> Figure:
    """Plain mean over tasks with its standard errors (see statistics.macro)."""
    return statistics.macro([statistics.Estimate(**f) for f in figures]).record()


def bits_per_byte(logprob: float, choice: str) -> float:
    """Bits per byte of a choice, without its leading space; `logprob` is in nats."""
    return float(statistics.bits_per_byte([logprob], [choice])[0])


def score_task(task: Task, records: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> Figures:
    """Mean of each of a task's metrics over the examples that have it, and the task's baselines, which need no model.

    The standard error of `chance` is that of a model that guesses.
    """
    scores = {metric: mean(records, metric) for metric in metrics}
    n = len(records)
    guesses = [task.chance] * n
    if all(r.get("choices") and r.get("answer", 0) is not None for r in records):
        guesses = [1 / len(r["choices"]) for r in records]
    known = statistics.all_or_none(guesses)
    if known is not None:
        chance = math.fsum(known) / n if task.chance is None else task.chance
        scores["chance"] = figure(chance, math.sqrt(math.fsum(g * (1 - g) for g in known)) / n, n)
    if task.majority is not None:
        scores["majority"] = figure(task.majority, 0.0, n)
    return scores


def average(parts: Sequence[tuple[Figures, str]]) -> Figures:
    """Plain means of the metrics that all parts have, and, if the parts have different headline metrics, their mean as `accuracy`.

    Args:
        parts: the figures of each part with the name of its headline metric.
    """
    common = [metric for metric in parts[0][0] if all(metric in figures for figures, _ in parts)]
    found = {metric: macro([figures[metric] for figures, _ in parts]) for metric in common}
    if len({headline for _, headline in parts}) > 1:
        found["accuracy"] = macro([figures[headline] for figures, headline in parts])
    return found


def benchmark_scores(
    suite: Suite,
    tasks: Mapping[str, Figures],
    records: Mapping[str, Sequence[Mapping[str, Any]]],
    failed: Mapping[str, str],
) -> dict[str, tuple[Figures, str]]:
    """Each benchmark's scores and headline metric; benchmarks with a failed task are left out.

    A benchmark of several tasks is their plain mean, the mean over all their examples, or the better of its two forms.
    A metric that not every example has, such as F1 over all of a task's examples, is always a plain mean over tasks.
    """
    members: dict[str, list[Task]] = {}
    for task in suite.tasks:
        members.setdefault(task.benchmark, []).append(task)
    found = {}
    for benchmark, own in members.items():
        if any(task.name in failed or task.name not in tasks for task in own):
            continue
        if suite.average.get(benchmark) == "best":
            found[benchmark] = _best(own, tasks)
        elif len(own) == 1:
            found[benchmark] = tasks[own[0].name], own[0].headline
        else:
            scores = average([(tasks[task.name], task.headline) for task in own])
            if suite.average.get(benchmark) == "examples":
                pooled = [record for task in own for record in records[task.name]]
                metrics = [m for m in scores if all(record.get(m) is not None for record in pooled)]
                scores |= {metric: mean(pooled, metric) for metric in metrics}
                scores |= _pooled_baselines(own, tasks)
            # Only tasks with different headlines may lack the first one's, and then they have a common accuracy.
            found[benchmark] = scores, own[0].headline if own[0].headline in scores else "accuracy"
    return found


def _pooled_baselines(own: Sequence[Task], tasks: Mapping[str, Figures]) -> Figures:
    found = {}
    for name in BASELINES:
        parts = [tasks[task.name][name] for task in own if name in tasks[task.name]]
        if len(parts) == len(own):
            n = sum(part["n"] for part in parts)
            error = math.sqrt(math.fsum((part["stderr"] * part["n"]) ** 2 for part in parts)) / n
            found[name] = figure(math.fsum(part["value"] * part["n"] for part in parts) / n, error, n)
    return found


def _best(own: Sequence[Task], tasks: Mapping[str, Figures]) -> tuple[Figures, str]:
    """The form with the better headline metric, as `accuracy`, together with each form's own headline metric."""
    forms: dict[str, list[Task]] = {}
    for task in own:
        forms.setdefault(task.form, []).append(task)
    scores = {form: macro([tasks[task.name][task.headline] for task in members]) for form, members in forms.items()}
    best = max(scores, key=lambda form: scores[form]["value"])
    chance = average([(tasks[task.name], task.headline) for task in forms[best]]).get("chance")
    return {"accuracy": scores[best], **scores, **({"chance": chance} if chance else {})}, "accuracy"


def group(
    suite: Suite, benchmarks: Mapping[str, tuple[Figures, str]], left_out: Collection[str] = ()
) -> tuple[dict[str, Figures], Figures]:
    """Plain means of benchmarks by category and over all.

    Args:
        left_out: benchmarks left out of all means, since their score, such as a perplexity, is not a share of right answers.
    """
    safety = {task.benchmark for task in suite.tasks if task.kind == "safety"}  # has a category of its own
    members: dict[str, list[str]] = {}
    for task in suite.tasks:
        own = members.setdefault(task.category, [])
        if task.benchmark in benchmarks and task.benchmark not in own and task.benchmark not in left_out:
            own.append(task.benchmark)
    categories = {name: average([benchmarks[b] for b in own]) for name, own in sorted(members.items()) if own}
    rest = [benchmarks[name] for name in benchmarks if name not in safety and name not in left_out]
    return categories, average(rest) if rest else {}
