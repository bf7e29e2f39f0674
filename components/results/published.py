"""Published scores, and a table of our scores beside them.

A column has one protocol: benchmark, metric, shots and form (`Column`). So `acc` is never mixed with `acc_norm`, 25 shots
with none, or a chain of thought with a direct answer. Scores without a stated metric have their own column. Rows are
either measured or published.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from components.errors import StepError
from components.foreign import yaml_text
from components.results.comparability import digest
from components.results.statistics import Estimate, all_or_none, macro, with_clusters

FILE = Path(__file__).with_suffix(".yaml")
MEASURED, PUBLISHED = "measured", "published"
UNSTATED = "unstated"
EXAM = "exam"  # the suite of each run, and the first comparison of models
DASH = "-"
LOWER_IS_BETTER = ("bits_per_byte", "perplexity", "validation_loss")  # these are not shares from 0 to 1


@dataclass(frozen=True)
class Column:
    """A protocol; comparable scores share a column.

    Attributes:
        subject: a benchmark or a group of benchmarks.
        metric: one of the file's metrics; `unstated` if the source does not state it.
        shots: number of worked examples in the prompt; None if not stated.
        form: description of other conditions of the score.
    """

    subject: str
    metric: str
    shots: int | None = None
    form: str = ""

    @property
    def id(self) -> str:
        parts = [self.subject, self.metric, "" if self.shots is None else f"{self.shots}-shot", self.form]
        return "/".join(part for part in parts if part)


@dataclass(frozen=True)
class Published:
    """One published score, as a share from 0 to 1."""

    model: str
    source: str
    column: Column
    value: float


@dataclass(frozen=True)
class Reference:
    """The file's `sources`, `models`, `benchmarks`, `groups` and `metrics`, unchanged, and its figures."""

    sources: dict[str, dict[str, Any]]
    models: dict[str, dict[str, Any]]
    benchmarks: dict[str, dict[str, Any]]
    groups: dict[str, dict[str, Any]]
    metrics: dict[str, str]
    figures: tuple[Published, ...]

    def title(self, subject: str) -> str:
        known = self.benchmarks.get(subject) or self.groups.get(subject) or {}
        return known.get("title", subject.replace("_", " "))


@dataclass(frozen=True)
class Measured:
    """The score of one of our models on one task, with its protocol.

    Attributes:
        task: name; several tasks may belong to one benchmark, such as the subjects of MMLU.
        benchmark: one of the file's benchmarks, or another name.
        metrics: estimate by metric; bits per byte only if they are the headline.
        overlap: share of the examples that occur in the training corpus; None if it was not searched.
        clean: estimates over the other examples, by metric.
        suite: name of the suite; tasks of one suite are averaged together.
        average: score of a benchmark with several tasks: the mean over `tasks`, or over all `questions`.
        limit: maximum examples per task; 0 = all.
        truncated: number of prompts that were longer than the model's context and were cut at the start.
        data: hash of its rows; empty if unknown.
    """

    task: str
    benchmark: str
    metrics: Mapping[str, Estimate]
    shots: int | None = None
    form: str = ""
    overlap: float | None = None
    clean: Mapping[str, Estimate] = field(default_factory=dict)
    suite: str = ""
    average: str = ""
    limit: int = 0
    truncated: int = 0
    data: str = ""


@cache
def read_published(path: Path = FILE) -> Reference:
    """Read and check the file of published scores.

    Raises:
        StepError: the file is not YAML, or a figure has no source, no protocol or an unknown name, or is not a percentage.
    """
    try:
        content = yaml_text.read(path)
    except (OSError, ValueError) as error:
        raise StepError(f"{path.name} cannot be read as YAML ({str(error).splitlines()[0]}); restore it") from error
    parts = ("sources", "models", "benchmarks", "groups", "metrics")
    for part in parts:
        if not isinstance(content, dict) or not isinstance(content.get(part), dict) or not content[part]:
            raise StepError(f"{path.name}: `{part}` is missing or not an object; restore it")
    figures = tuple(figure for source in content["sources"] for figure in _figures(path.name, source, content))
    sources, models, benchmarks, groups, metrics = (content[part] for part in parts)
    return Reference(sources, models, benchmarks, groups, metrics, figures)


def _figures(file: str, source: str, content: Mapping[str, Any]) -> Iterable[Published]:
    entry, where = content["sources"][source], f"{file}: source {source!r}"
    for key in ("title", "url", "read", "protocols", "figures"):
        if not isinstance(entry, dict) or not entry.get(key):
            raise StepError(f"{where} has no {key!r}; every score needs its source and its protocol")
    for model, values in entry["figures"].items():
        if model not in content["models"]:
            raise StepError(f"{where}: model {model!r} is not among `models`")
        for subject, value in values.items():
            column = _column(where, subject, entry["protocols"], content)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
                raise StepError(f"{where}: {model}, {subject} is {value!r}; expected a percentage")
            yield Published(model, source, column, value / 100)


def _column(where: str, subject: str, protocols: Mapping[str, Any], content: Mapping[str, Any]) -> Column:
    if subject not in protocols:
        raise StepError(f"{where} has a score of {subject!r} but no protocol for it")
    if subject not in content["benchmarks"] and subject not in content["groups"]:
        raise StepError(f"{where}: {subject!r} is neither among `benchmarks` nor `groups`")
    protocol = protocols[subject]
    unknown = set(protocol) - {"metric", "shots", "form"}
    if unknown or protocol.get("metric") not in content["metrics"]:
        raise StepError(
            f"{where}: the protocol of {subject!r} is {protocol!r}; expected a metric among "
            f"{', '.join(content['metrics'])}, and optionally shots and form"
        )
    shots = protocol.get("shots")
    if shots is not None and (isinstance(shots, bool) or not isinstance(shots, int) or shots < 0):
        raise StepError(f"{where}: the protocol of {subject!r} has shots {shots!r}; expected a whole number")
    return Column(subject, protocol["metric"], shots, protocol.get("form", ""))


def standings(measured: Mapping[str, Sequence[Measured]], reference: Reference | None = None) -> dict[str, Any]:
    """Our models and the published ones as one table, as plain values for JSON.

    Args:
        measured: by model, its scores per task.

    Returns:
        `columns`: protocols, with id, subject, title, group, metric, shots, form, and whether the column is in the blog's
        table (`blog`), has a figure of ours (`measured`) and has a published one (`published`).
        `rows`: kind, model, parameters, source (None for ours), `limit` (ours only: maximum examples per task, 0 = all), and
        `figures` by column: value, and for ours stderr, n, tasks, data (hash of the rows), truncated, overlap, clean, and
        clusters and clustered_stderr if there are clusters. A published model has a row
        for each of its sources.
        `sources`, `metrics`: details by name.
    """
    reference = reference or read_published()
    ours = {model: _cells(scores, reference) for model, scores in measured.items()}
    columns: dict[Column, dict[str, Any]] = {}
    for column in [*(c for cells in ours.values() for c in cells), *(f.column for f in reference.figures)]:
        columns.setdefault(column, {})
    order = sorted(columns, key=lambda c: _place(c, reference))
    blog = {f.column for f in reference.figures if f.source == "phi-2-blog"}
    blog |= {c for c in columns if c.subject in reference.groups}
    have = {column for cells in ours.values() for column in cells}
    published = {figure.column for figure in reference.figures}
    rows = [
        {
            "kind": MEASURED,
            "model": model,
            "title": model,
            "parameters": None,
            "source": None,
            "limit": max((score.limit for score in measured[model]), default=0),
            "figures": {column.id: cell for column, cell in cells.items()},
        }
        for model, cells in ours.items()
    ]
    stated = [
        {
            "id": column.id,
            "subject": column.subject,
            "title": reference.title(column.subject),
            "group": group_of(column.subject, reference),
            "metric": column.metric,
            "shots": column.shots,
            "form": column.form,
            "blog": column in blog,
            MEASURED: column in have,
            PUBLISHED: column in published,
        }
        for column in order
    ]
    apart, rows = _apart(stated, rows, "model")
    return {
        "columns": apart,
        "rows": rows + _published_rows(reference),
        "sources": {
            name: {"number": number} | {key: source[key] for key in ("title", "url", "read")}
            for number, (name, source) in enumerate(reference.sources.items(), start=1)
        },
        "metrics": {c.metric: c.metric.replace("_", " ") for c in order} | dict(reference.metrics),
    }


def merge(boards: Mapping[str, Mapping[str, Any]], reference: Reference | None = None) -> dict[str, Any]:
    """The standings of several runs in one table: their measured rows, with `run`, above the published rows of today.

    Args:
        boards: results of `standings`, by the name of the run.
    """
    reference = reference or read_published()
    merged = standings({}, reference)
    columns = {column["id"]: dict(column) for column in merged["columns"]}
    measured = []
    for run, board in boards.items():
        for column in board.get("columns", []):
            known = columns.setdefault(column["id"], dict(column) | {PUBLISHED: False})
            known[MEASURED] = known[MEASURED] or column[MEASURED]
        measured += [row | {"run": run} for row in board.get("rows", []) if row["kind"] == MEASURED]
    used = [column for column in columns.values() if column[MEASURED] or column[PUBLISHED]]
    order = sorted(used, key=lambda c: _place(Column(c["subject"], c["metric"], c["shots"], c["form"]), reference))
    metrics = {name: title for board in boards.values() for name, title in board.get("metrics", {}).items()}
    apart, rows = _apart(order, measured, "run")
    return merged | {"columns": apart, "rows": rows + merged["rows"], "metrics": metrics | merged["metrics"]}


def _apart(
    columns: Iterable[dict[str, Any]], rows: Sequence[dict[str, Any]], owner: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Scores on other questions are not comparable: a column in which the measured rows' questions differ becomes several.
    The first row's questions keep the column; the others are named after the first row that has them.

    Args:
        owner: key of a row with its run or model. What is not recorded is comparable within one of them only.
    """
    sets: dict[str, dict[str, str]] = {}  # by column, a name for each set of questions
    for row in rows:
        for column, cell in row["figures"].items():
            sets.setdefault(column, {}).setdefault(cell.get("data") or row[owner], row[owner])

    def named(column: str, cell: Mapping[str, Any], row: Mapping[str, Any]) -> str:
        questions = cell.get("data") or row[owner]
        return column if questions == next(iter(sets[column])) else f"{column}|{sets[column][questions]}"

    apart = [row | {"figures": {named(c, cell, row): cell for c, cell in row["figures"].items()}} for row in rows]
    found = []
    for column in columns:
        found.append(column)
        for name in list(sets.get(column["id"], {}).values())[1:]:
            title, form = f"{column['title']}, other questions ({name})", f"{column['form']} {name}".strip()
            found.append(column | {"id": f"{column['id']}|{name}", "title": title, "form": form, PUBLISHED: False})
    return found, apart


def column_groups(
    board: Mapping[str, Any],
) -> tuple[list[dict[str, Any]], dict[tuple[str | None, str], list[dict[str, Any]]]]:
    """The columns of the blog's table with the exam's, and those of a table for each group and metric that was measured."""
    first = [
        c
        for c in board["columns"]
        if (c["blog"] and c["metric"] != "acc_norm") or (c["subject"] == EXAM and c[MEASURED])
    ]
    groups: dict[tuple[str | None, str], list[dict[str, Any]]] = {}
    for c in board["columns"]:
        if c[MEASURED] and c["subject"] != EXAM and (c not in first or c["subject"] == c["group"]):
            groups.setdefault((c["group"], c["metric"]), []).append(c)
    return first, groups


def rows_in(board: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Measured rows, then the published ones that have a figure in one of the columns."""
    ids = {column["id"] for column in columns}
    return [row for row in board["rows"] if row["kind"] == MEASURED or ids & row["figures"].keys()]


def measured_as(row: Mapping[str, Any]) -> str:
    """`measured`, with the number of examples per task if not all were scored."""
    return f"measured, {row['limit']} per task" if row.get("limit") else "measured"


def protocol(column: Mapping[str, Any]) -> tuple[str, str, str]:
    """Metric, shots and form of a column in words; empty if not stated or obvious."""
    words = {UNSTATED: "metric not stated", "exact_match": "exact match", "bits_per_byte": "bits per byte"}
    metric = words.get(column["metric"], column["metric"])
    shots = "" if column["shots"] is None else f"{column['shots']}-shot"
    return metric, shots, "" if column["subject"] in (column["group"], EXAM) else column["form"]


def published_by_protocol(board: Mapping[str, Any]) -> Iterator[tuple[list[str], list[tuple[str, str, int]]]]:
    """Every published figure by column: benchmark, metric, shots and form, and title, percentage and source number of each
    model."""
    for column in board["columns"]:
        figures = [
            (row["title"], percent(row["figures"][column["id"]]["value"]), board["sources"][row["source"]]["number"])
            for row in board["rows"]
            if row["kind"] == PUBLISHED and column["id"] in row["figures"]
        ]
        if figures:
            shots = DASH if column["shots"] is None else str(column["shots"])
            yield [column["title"], board["metrics"][column["metric"]], shots, column["form"] or DASH], figures


def _published_rows(reference: Reference) -> list[dict[str, Any]]:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for figure in sorted(reference.figures, key=lambda f: list(reference.models).index(f.model)):
        about = reference.models[figure.model]
        row = rows.setdefault(
            (figure.model, figure.source),
            {
                "kind": PUBLISHED,
                "model": figure.model,
                "title": about["title"],
                "parameters": about.get("parameters"),
                "source": figure.source,
                "figures": {},
            },
        )
        row["figures"][figure.column.id] = {"value": figure.value}
    return list(rows.values())


def unit(metric: str) -> tuple[int, int]:
    """The factor and the number of decimals with which a metric is shown: percent for a share, else its own unit."""
    return (1, 3) if metric in LOWER_IS_BETTER else (100, 1)


def percent(value: float) -> str:
    """A published share as percent, with the published digits and at least one after the point."""
    return f"{100 * value:.2f}".removesuffix("0")


def group_of(subject: str, reference: Reference) -> str | None:
    """The group of the blog's table to which a benchmark belongs; a group belongs to itself."""
    if subject in reference.groups:
        return subject
    return next((name for name, group in reference.groups.items() if subject in group["benchmarks"]), None)


def _place(column: Column, reference: Reference) -> tuple[Any, ...]:
    """Sorting key: groups in the file's order, the mean of a group before its benchmarks, then metric, shots and form."""
    groups, benchmarks, metrics = list(reference.groups), list(reference.benchmarks), list(reference.metrics)
    group = group_of(column.subject, reference)
    return (
        groups.index(group) if group else len(groups),
        column.subject not in reference.groups,
        benchmarks.index(column.subject) if column.subject in benchmarks else len(benchmarks),
        column.subject,
        # In the file's order; unknown metrics are last.
        metrics.index(column.metric) if column.metric in metrics else len(metrics),
        math.inf if column.shots is None else column.shots,
        column.form,
    )


def _cells(scores: Sequence[Measured], reference: Reference) -> dict[Column, dict[str, Any]]:
    """A model's figures by column: of its benchmarks, and means of the groups with all benchmarks."""
    cells: dict[Column, dict[str, Any]] = {}
    for suite in dict.fromkeys(score.suite for score in scores):
        own = _suite_cells([score for score in scores if score.suite == suite], reference)
        cells = own | _group_cells(own, reference) | cells
    return cells


def _suite_cells(scores: Sequence[Measured], reference: Reference) -> dict[Column, dict[str, Any]]:
    """Averages over a benchmark's tasks with equal prompts and settings; each form of a benchmark has its own column."""
    alike: dict[tuple[str, int | None, str], list[Measured]] = {}
    for score in scores:
        alike.setdefault((score.benchmark, score.shots, score.form), []).append(score)
    cells: dict[Column, dict[str, Any]] = {}
    for (benchmark, shots, form), parts in alike.items():
        average = parts[0].average or reference.benchmarks.get(benchmark, {}).get("average")
        for metric in parts[0].metrics:
            if metric != "perplexity" and all(metric in part.metrics for part in parts):
                cells[Column(benchmark, metric, shots, form)] = _benchmark_cell(parts, metric, average)
    return cells


def _benchmark_cell(parts: Sequence[Measured], metric: str, average: str | None) -> dict[str, Any]:
    by_questions = average == "questions"
    sizes = [part.metrics[metric].n for part in parts]
    clean = [part.clean[metric] for part in parts if metric in part.clean]
    overlaps = all_or_none(part.overlap for part in parts)
    return {
        **_average([part.metrics[metric] for part in parts], by_questions).record(),
        "tasks": len(parts),
        "data": digest([[part.data, part.limit] for part in parts]) if all(part.data for part in parts) else "",
        "truncated": sum(part.truncated for part in parts),
        "overlap": None
        if overlaps is None
        else math.fsum(o * n for o, n in zip(overlaps, sizes, strict=True)) / sum(sizes),
        "clean": _average(clean, by_questions).record() if len(clean) == len(parts) else None,
    }


def _average(parts: Sequence[Estimate], by_questions: bool) -> Estimate:
    if not by_questions or len(parts) == 1:
        return macro(parts)
    total = sum(part.n for part in parts)
    shares = [part.n / total for part in parts]
    errors = all_or_none(part.stderr for part in parts)
    found = Estimate(
        math.fsum(share * part.value for share, part in zip(shares, parts, strict=True)),
        None
        if errors is None
        else math.sqrt(math.fsum((share * error) ** 2 for share, error in zip(shares, errors, strict=True))),
        total,
    )
    if any(part.clusters != 1 for part in parts):
        return found
    sizes = np.array([part.n for part in parts], dtype=np.float64)
    return with_clusters(found, sizes * [part.value for part in parts], sizes)


def _group_cells(cells: Mapping[Column, dict[str, Any]], reference: Reference) -> dict[Column, dict[str, Any]]:
    """Plain means over a group's benchmarks, by `acc` and, if it has choices, by `acc_norm`.

    For a benchmark without choices, both use its exact match or pass@1.
    """
    found: dict[Column, dict[str, Any]] = {}
    for group, about in reference.groups.items():
        if len(about["benchmarks"]) < 2:
            continue
        for metric in ("acc", "acc_norm", "pass@1"):
            members = all_or_none(_member(cells, benchmark, metric) for benchmark in about["benchmarks"])
            if members is None or not any(column.metric == metric for column in members):
                continue
            parts = [_estimate(cells[column]) for column in members]
            clean = [cells[column]["clean"] for column in members]
            overlaps = [cells[column]["overlap"] for column in members]
            own = {column.subject: column.shots for column in members}
            as_published = all(own[name] == shots for name, shots in about.get("shots", {}).items())
            as_published &= not any(column.form for column in members)
            form = about["form"] if as_published else f"mean of {len(parts)}; with other prompts than in the blog"
            found[Column(group, metric, None, form)] = {
                **macro(parts).record(),
                "tasks": len(parts),
                "data": digest(rows) if all(rows := [cells[column]["data"] for column in members]) else "",
                "truncated": sum(cells[column]["truncated"] for column in members),
                "overlap": None if None in overlaps else math.fsum(overlaps) / len(overlaps),
                "clean": None if None in clean else macro([_estimate(c) for c in clean]).record(),
            }
    return found


def _member(cells: Mapping[Column, Any], benchmark: str, metric: str) -> Column | None:
    """The column of a benchmark for its group's mean; None if it was scored in several forms."""
    own = [column for column in cells if column.subject == benchmark]
    wanted = (metric,) if any(c.metric in ("acc", "acc_norm") for c in own) else ("exact_match", "pass@1")
    found = next(([c for c in own if c.metric == name] for name in wanted if any(c.metric == name for c in own)), [])
    return found[0] if len(found) == 1 else None


def _estimate(cell: Mapping[str, Any]) -> Estimate:
    return Estimate(cell["value"], cell["stderr"], cell["n"], cell.get("clusters"), cell.get("clustered_stderr"))
