"""Read the results of components.benchmarking: scores by task and example, and the overlap with the corpus."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.reporting.checks import mapping, number, read_object, text
from components.reporting.evidence import Accuracy, Figures, Scores, mean_accuracy
from components.results.comparability import digest, of_scores
from components.results.published import EXAM, Measured, read_published
from components.results.statistics import Estimate, all_or_none

# The main metric of a task is the first of these that it has, else any other score.
ACCURACIES = ("acc", "accuracy", "answer_match", "exact_match", "pass@1", "acc_norm", "f1")
OVERALL = "overall"
BITS = "bits_per_byte"
NO_SCORES = (BITS, "chance", "majority")  # unless bits per byte are the headline
NAMES = {"accuracy": "acc", "pass_at_1": "pass@1", "safety_score": "safety"}  # as in published.yaml


def read_scores(directory: Path) -> Scores:
    """Read `scores.json` of a scores directory.

    The overall accuracy is the plain mean over tasks, so that tasks with many examples do not outweigh the others. Its
    standard error is sqrt(sum of squared standard errors) / number of tasks, as for independent tasks. Scores other than
    accuracies, such as the safety score, are left out if there are accuracies.

    Raises:
        StepError: missing, not JSON, no task, or a task with neither a score in [0, 1] nor bits per byte as headline.
    """
    path = Path(directory) / "scores.json"
    content = read_object(path)
    about = _overlaps(path, content)
    protocols = mapping(path, content, "protocols", {})
    tasks = {
        name: _score(path, f"tasks.{name}", entry, about.get(name, {}), (protocols.get(name) or {}).get("metric"))
        for name, entry in sorted(mapping(path, content, "tasks").items())
        # any other scale, such as a perplexity, has no mean
        if (about_task := protocols.get(name) or {}).get("scale") != "other" or about_task.get("metric") == BITS
    }
    only_bits = BITS if all(score.metric == BITS for score in tasks.values()) else None
    if not tasks:
        raise StepError(
            f"{path}: `tasks` is empty or has no score that is a share of right answers; run the benchmark on a suite "
            "with such a score, or leave the folder out of --scores"
        )
    categories = {
        name: _score(path, f"categories.{name}", entry, headline=only_bits)
        for name, entry in sorted(mapping(path, content, "categories", {}).items())
    }
    accuracies = [score for score in tasks.values() if score.metric in ACCURACIES]
    examples = Path(directory) / "examples.parquet"
    suite = text(path, content, "suite") or EXAM
    return Scores(
        overall=mean_accuracy(accuracies or list(tasks.values())),
        tasks=tasks,
        categories=categories,
        bits_per_byte=_mean_bits(path, content["tasks"]),
        weights=text(path, content.get("checkpoint"), "weights_sha256"),
        examples=read_examples(examples, {name: score.metric for name, score in tasks.items()}),
        bits=read_examples(examples, dict.fromkeys(tasks, BITS), required=False),
        suite=suite,
        measured=tuple(
            [_measured(path, suite, name, content, about.get(name, {})) for name in tasks]
            + _better_forms(path, suite, content)
        ),
        n_grams={name: int(found["n"]) for name, found in about.items()},
        reworded=_reworded(path, mapping(path, content, "reworded", {})),
        clusters=read_clusters(examples),
        basis=of_scores(content),
    )


def _reworded(path: Path, part: Mapping[str, Any]) -> dict[str, Accuracy]:
    """The exam in held-out wordings, by category and `overall`."""
    if not part.get(OVERALL):
        return {}
    entries = {**mapping(path, part, "categories"), OVERALL: part[OVERALL]}
    return {name: _score(path, f"reworded.{name}", entry) for name, entry in sorted(entries.items())}


def read_examples(path: Path, metrics: Mapping[str, str], required: bool = True) -> Figures | None:
    """Score of each example in its task's metric, by task and id; None without the file or the columns.

    Args:
        metrics: by task, the column to read; the default is `acc`.
        required: whether the file must have one of these columns.

    Raises:
        StepError: not Parquet, without the columns task, id and a metric, or with an example twice.
    """
    if not path.is_file():
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = {*metrics.values()} | ({"acc"} if required else set())
    try:
        columns = [name for name in pq.read_schema(path).names if name in wanted]
        if not columns and not required:
            return None
        rows = pq.read_table(path, columns=["task", "id", *(columns or ["acc"])]).to_pylist()
        keys = [(str(row["task"]), str(row["id"])) for row in rows]
        figures = [row.get(metrics.get(key[0], "acc")) for key, row in zip(keys, rows, strict=True)]
        found = {key: float(figure) for key, figure in zip(keys, figures, strict=True) if figure is not None}
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise StepError(
            f"{path} cannot be read as examples with task, id and acc or another metric ({error}); run the benchmark again"
        ) from error
    if len(set(keys)) < len(keys):
        raise StepError(f"{path}: {len(keys) - len(set(keys))} examples occur twice; run the benchmark again")
    return found


def read_clusters(path: Path) -> dict[tuple[str, str], str]:
    """The cluster of each example by task and id, for the examples that have one; the examples themselves are readable."""
    import pyarrow.parquet as pq

    if not path.is_file() or "cluster" not in pq.read_schema(path).names:
        return {}
    rows = pq.read_table(path, columns=["task", "id", "cluster"]).to_pylist()
    return {(str(row["task"]), str(row["id"])): str(row["cluster"]) for row in rows if row["cluster"] is not None}


def read_in_corpus(directory: Path) -> set[tuple[str, str]]:
    """Task and id of the examples in a scores directory that occur in the training corpus of its model; empty if it was
    not searched.

    Raises:
        StepError: the examples cannot be read.
    """
    path = Path(directory) / "examples.parquet"
    figures = read_examples(
        path, dict.fromkeys(read_object(path.with_name("scores.json"))["tasks"], "in_corpus"), False
    )
    return {key for key, found in (figures or {}).items() if found}


def benchmark_of(task: str) -> str:
    """The published benchmark to which a task belongs, such as `mmlu` for `mmlu_anatomy`; else the task's own name."""
    known = [name for name in read_published().benchmarks if task == name or task.startswith(f"{name}_")]
    return max(known, key=len, default=task)


def _overlaps(path: Path, content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each task's overlap with the training corpus; empty if it was not searched."""
    if content.get("contamination") is None:
        return {}
    tasks = mapping(path, mapping(path, content, "contamination"), "tasks", where="contamination.")
    for name in tasks:
        where = f"contamination.tasks.{name}."
        entry = mapping(path, tasks, name, where="contamination.tasks.")
        number(path, entry, "n", where=where)
        number(path, entry, "overlap", required=False, where=where)
    return tasks


def _score(
    path: Path, where: str, entry: Any, overlap: Mapping[str, Any] | None = None, headline: str | None = None
) -> Accuracy:
    """The main score of a task or category, with the baselines that its entry states.

    Args:
        headline: main metric according to the file.
    """
    metrics = (
        {k: v for k, v in entry.items() if isinstance(v, dict) and "value" in v} if isinstance(entry, dict) else {}
    )
    others = sorted(metrics.keys() - {*ACCURACIES, *NO_SCORES})
    metric = next((m for m in (headline, *ACCURACIES, *others) if m in metrics), None)
    if metric is None:
        raise StepError(
            f"{path}: `{where}` has no accuracy or other score; expected one of {', '.join(ACCURACIES)} or another metric "
            "from 0 to 1, with value, stderr and n"
        )
    inside = f"{where}.{metric}."
    found = _estimate(path, metrics[metric], inside)
    if metric == BITS:
        return Accuracy(**found, metric=metric, overlap=(overlap or {}).get("overlap"))
    if not 0 <= found["value"] <= 1:
        raise StepError(f"{path}: `{inside}value` is {found['value']}; expected a score from 0 to 1, not a percentage")
    return Accuracy(
        **found,
        chance=_baseline(path, where, entry, "chance"),
        chance_stderr=_baseline(path, where, entry, "chance", "stderr"),
        metric=metric,
        majority=_baseline(path, where, entry, "majority"),
        overlap=(overlap or {}).get("overlap"),
        clean=_clean(path, overlap or {}, where).get(metric),
    )


def _estimate(path: Path, figures: Mapping[str, Any], where: str) -> dict[str, Any]:
    """value, stderr and n of a figure."""
    value = number(path, figures, "value", where=where)
    stderr = number(path, figures, "stderr", required=False, where=where)
    if stderr is not None and stderr < 0:
        raise StepError(f"{path}: `{where}stderr` is {stderr}; expected a standard error of at least 0")
    n = number(path, figures, "n", required=False, where=where)
    found: dict[str, Any] = {"value": value, "stderr": stderr, "n": None if n is None else int(n)}
    clusters = number(path, figures, "clusters", required=False, where=where)
    clustered = number(path, figures, "clustered_stderr", required=False, where=where)
    return found | {"clusters": None if clusters is None else int(clusters), "clustered_stderr": clustered}


def _clean(path: Path, overlap: Mapping[str, Any], where: str) -> dict[str, Estimate]:
    """Scores over the examples that do not occur in the corpus, by metric."""
    found = overlap.get("clean") or {}
    inside = f"contamination.{where}.clean."
    if not isinstance(found, dict) or not all(isinstance(figures, dict) for figures in found.values()):
        raise StepError(f"{path}: `{inside[:-1]}` is {found!r}; expected an object per metric; run the benchmark again")
    return {metric: Estimate(**_estimate(path, figures, f"{inside}{metric}.")) for metric, figures in found.items()}


def _measured(path: Path, suite: str, task: str, content: Mapping[str, Any], overlap: Mapping[str, Any]) -> Measured:
    """A task's score by all its metrics, with its protocol from the file."""
    metrics, entry = {}, content["tasks"][task]
    protocol = (content.get("protocols") or {}).get(task) or {}
    for metric, figures in entry.items():
        if (
            (metric in NO_SCORES and metric != protocol.get("metric"))
            or not isinstance(figures, dict)
            or "value" not in figures
        ):
            continue
        found = _estimate(path, figures, f"tasks.{task}.{metric}.")
        if found["n"] is not None:
            metrics[NAMES.get(metric, metric)] = Estimate(**found)
    benchmark = protocol.get("benchmark") or benchmark_of(task)
    average = (content.get("averages") or {}).get(benchmark, "")
    return Measured(
        task=task,
        benchmark=benchmark,
        metrics=metrics,
        shots=protocol.get("shots", content.get("num_fewshot")),
        form=protocol.get("form") or "",
        overlap=overlap.get("overlap"),
        clean={NAMES.get(m, m): e for m, e in _clean(path, overlap, f"tasks.{task}").items()},
        suite=suite,
        average={"examples": "questions", "best": "tasks"}.get(average, average),
        limit=content.get("limit") or 0,
        truncated=protocol.get("truncated_prompts") or 0,
        data=(content.get("data") or {}).get(task) or "",
    )


def _better_forms(path: Path, suite: str, content: Mapping[str, Any]) -> list[Measured]:
    """Benchmarks with several forms, where the better form counts, as in OLMES."""
    found = []
    for benchmark, figures in mapping(path, content, "benchmarks", {}).items():
        if (content.get("averages") or {}).get(benchmark) == "best" and "accuracy" in figures:
            estimate = Estimate(**_estimate(path, figures["accuracy"], f"benchmarks.{benchmark}.accuracy."))
            shots = {p.get("shots") for p in content["protocols"].values() if p.get("benchmark") == benchmark}
            alike = shots.pop() if len(shots) == 1 else None
            form, limit = "cloze or letters", content.get("limit") or 0
            rows = [
                content.get("data", {}).get(t)
                for t, p in content["protocols"].items()
                if p.get("benchmark") == benchmark
            ]
            about: dict[str, Any] = {"suite": suite, "limit": limit, "data": digest(rows) if all(rows) else ""}
            found.append(Measured(benchmark, benchmark, {"best": estimate}, alike, form, **about))
    return found


def _baseline(path: Path, where: str, entry: Mapping[str, Any], name: str, part: str = "value") -> float | None:
    """A baseline of a task or category, written as a metric (`{"value": 0.25}`) or as a plain number."""
    found = entry.get(name)
    if isinstance(found, dict):
        return number(path, found, part, required=part == "value", where=f"{where}.{name}.")
    return number(path, entry, name, required=False, where=f"{where}.") if part == "value" else None


def _mean_bits(path: Path, tasks: Mapping[str, Any]) -> float | None:
    """Mean over tasks of their bits per byte; None unless every task has it."""
    if not all(isinstance(task.get(BITS), dict) for task in tasks.values()):
        return None
    values = all_or_none(
        number(path, task[BITS], "value", where=f"tasks.{name}.{BITS}.") for name, task in tasks.items()
    )
    return None if values is None else math.fsum(values) / len(values)
