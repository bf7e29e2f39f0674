"""MLflow's records: a parent run per flow run, a child run per stage; their parameters, curves and scores."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.foreign.addresses import is_web, without_secrets
from components.tracking import EXPERIMENT
from flows.client.tracking import Tracking
from flows.client.values import Curve, Record, Score

MLFLOW_PAGES = "PHIFORGE_MLFLOW_PAGES"  # where MLflow's pages are, when its records are read from the file itself


class Records(Tracking):
    """MLflow's runs of the experiment."""

    @property
    def address(self) -> str:
        """Where MLflow's own pages are, or empty: a file has none, unless a server of it is named."""
        return without_secrets(self.uri) if is_web(self.uri) else os.environ.get(MLFLOW_PAGES, "")

    def link(self, record: Record) -> str:
        """Page of a run in MLflow's interface, or an empty string."""
        return f"{self.address.rstrip('/')}/#/experiments/{record.experiment}/runs/{record.id}" if self.address else ""

    def parents(self, limit: int = 100) -> list[Record]:
        """Runs of the whole pipeline, newest first: those of flow runs, not those of single stages."""
        return self._search("tags.`pipeline.source` = 'prefect'", limit)

    def parent_of(self, flow_run_id: str) -> Record | None:
        """The record of a flow run; one whose stages were all cached has none."""
        condition = f"tags.`prefect.flow_run_id` = '{_quoted(flow_run_id)}' and tags.`pipeline.source` = 'prefect'"
        found = self._search(condition, 1)
        return found[0] if found else None

    def stages(
        self, parent: Record | None, outputs: Mapping[str, Mapping[str, str]] | None = None
    ) -> dict[str, Record]:
        """The records of a pipeline run's stages, by stage name.

        For a retried stage, the last try. For a cached stage, the record of the run that made its outputs, found by
        their hash.

        Args:
            parent: the pipeline run's record, which names its stages' outputs once it has ended.
            outputs: stage to path to md5 (or its start), where the caller knows them otherwise.
        """
        found: dict[str, Record] = {}
        if parent:
            children = self._search(f"tags.`mlflow.parentRunId` = '{_quoted(parent.id)}'", 200)
            found = {child.stage or child.name: child for child in reversed(children)}
            outputs = _outputs(parent) | dict(outputs or {})
        for stage, hashes in (outputs or {}).items():
            if stage not in found and (made := self._maker(stage, hashes)):
                found[stage] = made
        return found

    def _maker(self, stage: str, hashes: Mapping[str, str]) -> Record | None:
        """The latest record of a stage that wrote these outputs."""
        conditions = [f"tags.`dvc.outs` LIKE '%{_quoted(md5)}%'" for md5 in hashes.values() if md5]
        if not conditions:
            return None
        found = self._search(" and ".join([f"tags.stage = '{_quoted(stage)}'", *conditions]), 1)
        return found[0] if found else None

    def curves(self, record: Record, figures: tuple[str, ...] = ("loss", "validation_loss")) -> list[Curve]:
        """Histories of a stage's metrics; only those with more than one point are curves."""
        at = self._tokens(record)
        curves = []
        for figure in figures:
            points = self._history(record, figure) if figure in record.metrics else []
            if len(points) < 2:
                continue
            places = [place for step, _ in points if (place := at(step)) is not None]
            known = len(places) == len(points)
            x = places if known else [float(step) for step, _ in points]
            y = tuple(value for _, value in points)
            curves.append(Curve(record.stage, figure, tuple(x), y, "tokens" if known else "steps"))
        return curves

    def document(self, record: Record, path: str) -> dict[str, Any] | None:
        """A JSON object that a stage left with its record, such as `report/leaderboard.json`; None where it left none."""
        with self.errors():
            folder = path.rpartition("/")[0]
            if path not in {file.path for file in self.client.list_artifacts(record.id, folder)}:
                return None
            with tempfile.TemporaryDirectory() as there:
                local = self.client.download_artifacts(record.id, path, there)
                content = json.loads(Path(local).read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else None

    def _tokens(self, record: Record) -> Callable[[int], float | None]:
        """Training tokens seen at an optimizer step: all steps have as many, which a stage logs in one way or another."""
        size = _number(record.params.get("training.batch_tokens"))
        if size is None and "tokens" in record.metrics:
            step, tokens = self._history(record, "tokens")[-1]
            size = tokens / step if step else None
        return lambda step: None if size is None else step * size

    def _history(self, record: Record, figure: str) -> list[tuple[int, float]]:
        """(step, value), by step.

        Of a step that was logged twice the first value counts: a step's summary, logged at its end, comes without a
        step and so stands at 0 as well.
        """
        with self.errors():
            history = self.client.get_metric_history(record.id, figure)
        first: dict[int, float] = {}
        for metric in sorted(history, key=lambda m: m.timestamp):
            first.setdefault(metric.step, metric.value)
        return sorted(first.items())

    def _search(self, condition: str, limit: int) -> list[Record]:
        if self.absent():
            return []
        with self.errors():
            experiment = self.client.get_experiment_by_name(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
            if experiment is None:
                return []
            runs = self.client.search_runs(
                [experiment.experiment_id],
                condition,
                max_results=limit,
                order_by=["attributes.start_time DESC"],
            )
        return [_record(run) for run in runs]


def parameters(parent: Record | None, stages: Mapping[str, Record]) -> dict[str, str]:
    """Dotted parameters of a pipeline run: what each stage said that it read, and what the run was asked to change."""
    merged: dict[str, str] = {}
    for record in stages.values():
        merged |= record.params
    return merged | (parent.params if parent else {})


def scores(stages: Mapping[str, Record]) -> list[Score]:
    """Exam scores of a run's benchmark stages, from their metrics.

    Two forms are read: figures with their standard error, `categories.<name>.<metric>.{value,stderr,n}` (likewise
    `tasks` and `overall.<metric>`), and the plain accuracies of a step's summary, `<suite>.categories.<name>`.
    """
    found: list[Score] = []
    for stage, record in stages.items():
        base, _, model = stage.partition("@")
        if base == "benchmark":
            figures = _figures(model or stage, record.metrics)
            found += figures or _plain_figures(model or stage, record.metrics)
    return found


def _figures(model: str, metrics: Mapping[str, float]) -> list[Score]:
    found = []
    for key, value in sorted(metrics.items()):
        stem, _, last = key.rpartition(".")
        group, _, rest = stem.partition(".")
        name, _, metric = rest.rpartition(".")
        if last == "value" and group in ("overall", "categories", "tasks"):
            n = metrics.get(f"{stem}.n")
            stderr = metrics.get(f"{stem}.stderr")
            found.append(Score(model, group, name, metric, value, stderr, None if n is None else int(n)))
    return found


def _plain_figures(model: str, metrics: Mapping[str, float]) -> list[Score]:
    found = []
    for key, value in sorted(metrics.items()):
        suite, _, rest = key.partition(".")
        group, _, name = rest.partition(".")
        if rest == "accuracy":
            n = metrics.get(f"{suite}.examples")
            stderr = metrics.get(f"{suite}.stderr")
            found.append(Score(model, "overall", "", "acc", value, stderr, None if n is None else int(n)))
        elif group in ("categories", "tasks") and name:
            found.append(Score(model, group, name, "acc", value, None, None))
    return found


def _record(run: Any) -> Record:
    started = run.info.start_time
    return Record(
        id=run.info.run_id,
        name=run.info.run_name or run.info.run_id[:8],
        status=run.info.status,
        started=datetime.fromtimestamp(started / 1000, UTC) if started else None,
        experiment=run.info.experiment_id,
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
    )


def _outputs(parent: Record) -> dict[str, dict[str, str]]:
    """Stage to path to md5, from the tags `dvc.<stage>` that the flow leaves when it ends (`/` for `@`)."""
    found = {}
    for name, value in parent.tags.items():
        stage = name.removeprefix("dvc.").replace("/", "@")
        if name.startswith("dvc.") and value.endswith("}"):  # a longer list of outputs is cut off by MLflow
            found[stage] = json.loads(value)
    return found


def _number(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() else None


def _quoted(text: str) -> str:
    """Text for a quoted value of MLflow's filter language, which has no escape: quotes are dropped."""
    return text.replace("'", "").replace('"', "")
