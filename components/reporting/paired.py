"""Paired differences between the described model and the others on the same examples, so that the difficulty of the
examples cancels out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from components.reporting.evidence import Case, Figures
from components.results.published import EXAM, Measured, read_published
from components.results.statistics import holm, paired


def exam_differences(case: Case) -> list[dict[str, Any]]:
    """The subject's score on the exam minus that of each other model, on the questions that both answered.

    Tasks have equal weight, as in the exam's accuracy.

    Returns:
        one object per pair: `of`, `against`, the fields of a `statistics.Difference`, `bits_per_byte` (the same for the
        correct answers' bits per byte, where lower is better; None if unknown) and `tasks` (the same by task).
    """
    found = []
    for of, against, ours, theirs in _pairs(case, EXAM):
        tasks = matched(ours.examples, theirs.examples)
        if not tasks:
            continue
        bits = matched(ours.bits, theirs.bits)
        found.append(
            {
                "of": of,
                "against": against,
                **paired(list(tasks.values())).record(),
                "bits_per_byte": paired(list(bits.values())).record() if bits else None,
                "tasks": {name: paired([values]).record() for name, values in tasks.items()},
            }
        )
    return found


def suite_differences(case: Case) -> list[dict[str, Any]]:
    """Differences on every other suite by benchmark, without a mean over benchmarks.

    Returns:
        one object per pair and suite: `suite`, `of`, `against` and `benchmarks`, by benchmark (`name/form` if it has
        several) the fields of a Difference with `metric`, `bits_per_byte` (as above; None if it is the metric) and `p_adjusted`, its p-value
        adjusted for the number of benchmarks (Holm).
    """
    found = []
    for suite in sorted({suite for model in case.models for suite in model.suites}):
        for of, against, ours, theirs in _pairs(case, suite):
            metrics = {task: score.metric for task, score in ours.tasks.items()}
            same = {
                task for task, metric in metrics.items() if task in theirs.tasks and theirs.tasks[task].metric == metric
            }
            tasks = {task: values for task, values in matched(ours.examples, theirs.examples).items() if task in same}
            members: dict[tuple[str, str], list[Measured]] = {}
            for score in ours.measured:
                if score.task in tasks:
                    members.setdefault((score.benchmark, score.form), []).append(score)
            bits, several = matched(ours.bits, theirs.bits), Counter(benchmark for benchmark, _ in members)
            rows = {
                f"{benchmark}/{form}" if several[benchmark] > 1 else benchmark: {"metric": metrics[scores[0].task]}
                | paired(_strata(scores, tasks)).record()
                | {"bits_per_byte": None if metrics[scores[0].task] == "bits_per_byte" else _bits(scores, bits)}
                for (benchmark, form), scores in members.items()
            }
            for row, p_value in zip(rows.values(), holm([row["p_value"] for row in rows.values()]), strict=True):
                row["p_adjusted"] = p_value
            if rows:
                found.append({"suite": suite, "of": of, "against": against, "benchmarks": rows})
    return found


def _strata(scores: Sequence[Measured], tasks: Mapping[str, list[float]]) -> list[list[float]]:
    """A benchmark's tasks, or all its questions as one task if questions have equal weight."""
    average = scores[0].average or read_published().benchmarks.get(scores[0].benchmark, {}).get("average")
    if average == "questions":
        return [[value for score in scores for value in tasks[score.task]]]
    return [tasks[score.task] for score in scores]


def _bits(scores: Sequence[Measured], bits: Mapping[str, list[float]]) -> dict[str, Any] | None:
    """The difference in the correct answers' bits per byte, if all tasks of a benchmark have them."""
    if any(score.task not in bits for score in scores):
        return None
    return paired(_strata(scores, bits)).record()


def _pairs(case: Case, suite: str) -> Sequence[tuple[str, str, Any, Any]]:
    """The subject and each other model with their scores on a suite, if the scores of examples are known for both. If the
    subject is not among the models, as with two checkpoints alone, the first model takes its place.
    """
    subject = case.model(case.subject) or next(iter(case.models), None)
    ours = subject.on(suite) if subject else None
    if subject is None or ours is None or ours.examples is None:
        return []
    others = [(other.name, other.on(suite)) for other in case.models if other is not subject]
    return [(subject.name, name, ours, scores) for name, scores in others if scores and scores.examples is not None]


def matched(ours: Figures | None, theirs: Figures | None) -> dict[str, list[float]]:
    """Differences by task over the examples that both answered, in the order of their ids."""
    tasks: dict[str, list[float]] = {}
    ours, theirs = ours or {}, theirs or {}
    for task, example in sorted(ours.keys() & theirs.keys()):
        tasks.setdefault(task, []).append(ours[task, example] - theirs[task, example])
    return tasks
