"""MLflow's records: a parent run per flow run, a child run per stage; their parameters, curves and scores."""

import json
import os
import tempfile
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.foreign.addresses import is_web, without_secrets
from components.results.comparability import TAG, Basis
from components.results.examples import Examples, read_examples
from components.tracking import EXPERIMENT
from flows.client.tracking import Tracking
from flows.client.values import Curve, Record, Score

EXAMPLES = "scores/examples.parquet"  # of a benchmark stage
EARLIEST = datetime.min.replace(tzinfo=UTC)
MLFLOW_PAGES = "PHIFORGE_MLFLOW_PAGES"  # where browsers reach MLflow, if not at the address of its API


class Records(Tracking):
    """MLflow's runs of the experiment."""

    @property
    def address(self) -> str:
        """The address of MLflow's own pages; empty for a file without a server."""
        return os.environ.get(MLFLOW_PAGES) or (without_secrets(self.uri) if is_web(self.uri) else "")

    def link(self, record: Record) -> str:
        """Page of a run in MLflow's interface, or an empty string."""
        return f"{self.address.rstrip('/')}/#/experiments/{record.experiment}/runs/{record.id}" if self.address else ""

    def parents(self, limit: int = 100) -> list[Record]:
        """Runs of the whole pipeline, newest first: those of flow runs, not those of single stages."""
        return self._search("tags.`pipeline.source` = 'prefect'", limit)

    def parent_of(self, flow_run_id: str) -> Record | None:
        """The record of a flow run; None if all its stages were cached."""
        condition = f"tags.`prefect.flow_run_id` = '{_quoted(flow_run_id)}' and tags.`pipeline.source` = 'prefect'"
        return next(iter(self._search(condition, 1)), None)

    def stages(
        self, parent: Record | None, outputs: Mapping[str, Mapping[str, str]] | None = None
    ) -> dict[str, Record]:
        """The records of a pipeline run's stages, by stage name.

        For a retried stage, the last attempt. For a cached stage, the record of the run that made its outputs, identified
        by their hash.

        Args:
            parent: the pipeline run's record, which lists its stages' outputs once it has ended.
            outputs: stage to path to md5 (or its start), if the caller knows them from elsewhere.
        """
        stages: dict[str, Record] = {}
        if parent:
            children = self._search(f"tags.`mlflow.parentRunId` = '{_quoted(parent.id)}'", 200)
            stages = {child.stage or child.name: child for child in reversed(children)}
            outputs = _outputs(parent) | dict(outputs or {})
        for stage, hashes in (outputs or {}).items():
            if stage not in stages and (maker := self._maker(stage, hashes)):
                stages[stage] = maker
        return stages

    def measured(self, limit: int = 1000) -> list[Record]:
        """The latest records of training and benchmark stages of all runs, newest first."""
        found = [
            record for kind in ("train", "benchmark") for record in self._search(f"tags.stage LIKE '{kind}%'", limit)
        ]
        return sorted(found, key=lambda record: record.started or EARLIEST, reverse=True)

    def rename(self, record: Record, name: str) -> None:
        with self.errors():
            self.client.update_run(record.id, name=name)

    def delete(self, record: Record) -> None:
        """Delete the record of a pipeline run; those of its stages stay, because cached stages of other runs refer to them."""
        with self.errors():
            self.client.delete_run(record.id)

    def examples(self, record: Record, metrics: Collection[str]) -> dict[str, Examples]:
        """By metric, the scored examples of a benchmark stage; empty if it stored none.

        Raises:
            StepError: its file is not one of examples.
        """
        with self.errors(), tempfile.TemporaryDirectory() as folder:
            if EXAMPLES not in {
                file.path for file in self.client.list_artifacts(record.id, EXAMPLES.partition("/")[0])
            }:
                return {}
            return read_examples(Path(self.client.download_artifacts(record.id, EXAMPLES, folder)), metrics)

    def _maker(self, stage: str, hashes: Mapping[str, str]) -> Record | None:
        """The latest record of a stage that wrote these outputs."""
        conditions = [f"tags.`dvc.outs` LIKE '%{_quoted(md5)}%'" for md5 in hashes.values() if md5]
        if not conditions:
            return None
        return next(iter(self._search(" and ".join([f"tags.stage = '{_quoted(stage)}'", *conditions]), 1)), None)

    def usual_seconds(self) -> dict[str, float]:
        """How long each stage took when it last ran."""
        found: dict[str, float] = {}
        for record in self._search("metrics.seconds > 0 and tags.stage != ''", 200):
            found.setdefault(record.stage, record.metrics["seconds"])
        return found

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
        """A JSON object that a stage stored with its record, such as `report/leaderboard.json`; None if there is none."""
        text = self.file(record.id, path)
        content = json.loads(text) if text else None
        return content if isinstance(content, dict) else None

    def file(self, record_id: str, path: str) -> str:
        """A text file that a stage stored with its record, such as `report/index.html`; empty if there is none."""
        with self.errors():
            parent = path.rpartition("/")[0]
            if path not in {file.path for file in self.client.list_artifacts(record_id, parent)}:
                return ""
            with tempfile.TemporaryDirectory() as folder:
                return Path(self.client.download_artifacts(record_id, path, folder)).read_text(encoding="utf-8")

    def _tokens(self, record: Record) -> Callable[[int], float | None]:
        """Training tokens as a function of the optimizer step: all steps have equally many, which a stage logs as a
        parameter or as a metric."""
        size = _number(record.params.get("training.batch_tokens"))
        if size is None and "tokens" in record.metrics:
            step, tokens = self._history(record, "tokens")[-1]
            size = tokens / step if step else None
        return lambda step: None if size is None else step * size

    def _history(self, record: Record, figure: str) -> list[tuple[int, float]]:
        """(step, value) in the order of the steps.

        If a step was logged twice, the first value counts: a summary is logged at the end without a step, and so at step
        0 too.
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
    """Dotted parameters of a pipeline run: those that each stage read, and the run's overrides."""
    merged: dict[str, str] = {}
    for record in stages.values():
        merged |= record.params
    return merged | (parent.params if parent else {})


def basis(stages: Mapping[str, Record], step: str) -> Basis:
    """What a run's figures of a step (`train_small`, `benchmark`) were measured on; unknown if its stages differ, or if a
    stage did not record it."""
    tags = {record.tags.get(TAG, "") for stage, record in stages.items() if stage.partition("@")[0] == step}
    return Basis.of(tags.pop() if len(tags) == 1 else "")


def scores(stages: Mapping[str, Record]) -> list[Score]:
    """Exam scores of a run's benchmark stages, from their metrics.

    Two forms are read: metrics with their standard error, `categories.<name>.<metric>.{value,stderr,n}` (also `tasks` and
    `overall.<metric>`), and the plain accuracies of a step's summary, `<suite>.categories.<name>`.
    """
    scores: list[Score] = []
    for stage, record in stages.items():
        base, _, model = stage.partition("@")
        if base == "benchmark":
            scores += _detailed(model or stage, record.metrics) or _plain(model or stage, record.metrics)
    return scores


def _detailed(model: str, metrics: Mapping[str, float]) -> list[Score]:
    scores = []
    for key, value in sorted(metrics.items()):
        stem, _, last = key.rpartition(".")
        group, _, rest = stem.partition(".")
        name, _, metric = rest.rpartition(".")
        if last == "value" and group in ("overall", "categories", "tasks"):
            n, clusters = (
                None if (of := metrics.get(f"{stem}.{part}")) is None else int(of) for part in ("n", "clusters")
            )
            stderr, clustered, chance = (
                metrics.get(f"{stem}.{part}") for part in ("stderr", "clustered_stderr", "chance_stderr")
            )
            scores.append(Score(model, group, name, metric, value, stderr, n, clusters, clustered, chance))
    return scores


def _plain(model: str, metrics: Mapping[str, float]) -> list[Score]:
    scores = []
    for key, value in sorted(metrics.items()):
        suite, _, rest = key.partition(".")
        group, _, name = rest.partition(".")
        if rest == "accuracy":
            stderr, n = metrics.get(f"{suite}.stderr"), metrics.get(f"{suite}.examples")
            scores.append(Score(model, "overall", "", "acc", value, stderr, None if n is None else int(n)))
        elif group in ("categories", "tasks") and name:
            scores.append(Score(model, group, name, "acc", value, None, None))
    return scores


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
    """Stage to path to md5, from the tags `dvc.<stage>` that the flow sets when it ends (`/` for `@`)."""
    return {
        name.removeprefix("dvc.").replace("/", "@"): json.loads(value)
        for name, value in parent.tags.items()
        if name.startswith("dvc.") and value.endswith("}")  # MLflow cuts off a longer list of outputs
    }


def _number(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() else None


def _quoted(text: str) -> str:
    """Text for a quoted value of MLflow's filter language, which has no escape: quotes are removed."""
    return text.replace("'", "").replace('"', "")
