"""Paired differences between the described model and the others on the same examples, so that the difficulty of the
examples cancels out."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from components.reporting.evidence import Case, Figures, Scores
from components.results.comparability import compare_scores
from components.results.published import EXAM, Measured, read_published
from components.results.statistics import all_or_none, holm, paired


class Matched(NamedTuple):
    """The differences of two models on the examples of a task that both answered, and the cluster of each example; None
    if they have none."""

    values: list[float]
    clusters: list[str] | None


def difference(tasks: Collection[Matched]) -> dict[str, Any]:
    """The fields of a statistics.Difference of the mean over tasks."""
    return paired([task.values for task in tasks], clusters=[task.clusters for task in tasks]).record()


def exam_differences(case: Case) -> list[dict[str, Any]]:
    """The subject's score on the exam minus that of each other model, on the questions that both answered.

    Tasks have equal weight, as in the exam's accuracy. Models with another exam are left out.

    Returns:
        one object per pair: `of`, `against`, the fields of a `statistics.Difference`, `bits_per_byte` (the same for the
        correct answers' bits per byte, where lower is better; None if unknown) and `tasks` (the same by task).
    """
    found = []
    for of, against, ours, theirs in _pairs(case, EXAM):
        tasks = matched(ours.examples, theirs.examples, ours.clusters)
        if not tasks or not compare_scores({of: ours.basis, against: theirs.basis}).fair:
            continue
        bits = matched(ours.bits, theirs.bits, ours.clusters)
        found.append(
            {
                "of": of,
                "against": against,
                **difference(tasks.values()),
                "bits_per_byte": difference(bits.values()) if bits else None,
                "tasks": {name: difference([task]) for name, task in tasks.items()},
            }
        )
    return found


def suite_differences(case: Case) -> list[dict[str, Any]]:
    """Differences on every other suite by benchmark, without a mean over benchmarks. Tasks with other rows or another protocol
    are left out.

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
                task
                for task, metric in metrics.items()
                if task in theirs.tasks and theirs.tasks[task].metric == metric and _asked_alike(task, ours, theirs)
            }
            found_in_both = matched(ours.examples, theirs.examples, ours.clusters)
            tasks = {task: values for task, values in found_in_both.items() if task in same}
            members: dict[tuple[str, str], list[Measured]] = {}
            for score in ours.measured:
                if score.task in tasks:
                    members.setdefault((score.benchmark, score.form), []).append(score)
            bits = matched(ours.bits, theirs.bits, ours.clusters)
            several = Counter(benchmark for benchmark, _ in members)
            rows = {
                f"{benchmark}/{form}" if several[benchmark] > 1 else benchmark: {"metric": metrics[scores[0].task]}
                | difference(_strata(scores, tasks))
                | {"bits_per_byte": None if metrics[scores[0].task] == "bits_per_byte" else _bits(scores, bits)}
                for (benchmark, form), scores in members.items()
            }
            for row, p_value in zip(rows.values(), holm([row["p_value"] for row in rows.values()]), strict=True):
                row["p_adjusted"] = p_value
            if rows:
                found.append({"suite": suite, "of": of, "against": against, "benchmarks": rows})
    return found


def _asked_alike(task: str, ours: Scores, theirs: Scores) -> bool:
    """Whether both models were asked a task's questions from the same rows, with the same shots and form."""
    asked = [
        [(score.data, score.shots, score.form, score.limit) for score in scores.measured if score.task == task]
        for scores in (ours, theirs)
    ]
    return asked[0] == asked[1] and bool(asked[0]) and bool(asked[0][0][0])


def _strata(scores: Sequence[Measured], tasks: Mapping[str, Matched]) -> list[Matched]:
    """A benchmark's tasks, or all its questions as one task if questions have equal weight."""
    own = [tasks[score.task] for score in scores]
    average = scores[0].average or read_published().benchmarks.get(scores[0].benchmark, {}).get("average")
    if average != "questions":
        return own
    clusters = all_or_none(task.clusters for task in own)
    together = None if clusters is None else [label for labels in clusters for label in labels]
    return [Matched([value for task in own for value in task.values], together)]


def _bits(scores: Sequence[Measured], bits: Mapping[str, Matched]) -> dict[str, Any] | None:
    """The difference in the correct answers' bits per byte, if all tasks of a benchmark have them."""
    if any(score.task not in bits for score in scores):
        return None
    return difference(_strata(scores, bits))


def _pairs(case: Case, suite: str) -> Sequence[tuple[str, str, Any, Any]]:
    """The reference and each other model with their scores on a suite, if the scores of examples are known for both."""
    subject = case.reference
    ours = subject.on(suite) if subject else None
    if subject is None or ours is None or ours.examples is None:
        return []
    others = [(other.name, other.on(suite)) for other in case.models if other is not subject]
    return [(subject.name, name, ours, scores) for name, scores in others if scores and scores.examples is not None]


def matched(
    ours: Figures | None, theirs: Figures | None, clusters: Mapping[tuple[str, str], str] | None = None
) -> dict[str, Matched]:
    """Differences by task over the examples that both answered, in the order of their ids, with their clusters."""
    ours, theirs, clusters = ours or {}, theirs or {}, clusters or {}
    keys: dict[str, list[tuple[str, str]]] = {}
    for key in sorted(ours.keys() & theirs.keys()):
        keys.setdefault(key[0], []).append(key)
    return {
        task: Matched([ours[key] - theirs[key] for key in own], all_or_none(clusters.get(key) for key in own))
        for task, own in keys.items()
    }
