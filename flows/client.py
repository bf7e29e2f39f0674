"""What a screen or a script may ask of runs: start, read, cancel. Prefect and MLflow answer through their own clients.

Everything is handed out as plain frozen values, so that a caller needs neither library and a test needs neither
server. Nothing here knows a screen. Clients are imported on first use, since MLflow's costs two seconds of CPU.

- `Runs` speaks to the Prefect server: flow runs, their stages (one task run a stage, named after DVC's stage), logs.
- `Records` speaks to MLflow: a parent run a flow run (tag `prefect.flow_run_id`), a child run a stage (tag `stage`).
"""

import json
import os
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from components import progress
from components.errors import StepError
from components.tracking import EXPERIMENT
from flows.settings import mlflow_uri, project_root

__all__ = [
    "Curve",
    "FlowRun",
    "LogLine",
    "Record",
    "Records",
    "Runs",
    "Score",
    "StageRun",
    "Unavailable",
    "launch_command",
    "pipeline_stages",
    "project_root",
    "scores",
]

MLFLOW_PAGES = "PHIFORGE_MLFLOW_PAGES"  # where MLflow's pages are, when its records are read from the file itself
FLOW = "pipeline"
DEPLOYMENT = "pipeline/local"
DEFAULT_API = "http://127.0.0.1:4200/api"
REMEDY = "Start the platform with `make up`, or set {variable} to where it runs."

ACTIVE = {"SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"}  # state types that may still change
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
PAGE, PAGES = 200, 5  # lines the server gives at once, and how many such pages are read for a tail


class Unavailable(StepError):
    """A server does not answer or refuses; the message names its address and the remedy."""


@dataclass(frozen=True)
class FlowRun:
    """One run of the pipeline. `state` is what Prefect shows (`Late`, `Cached`), `kind` its type (`SCHEDULED`)."""

    id: str
    name: str
    state: str
    kind: str
    message: str
    created: datetime | None
    started: datetime | None
    seconds: float
    overrides: dict[str, Any]
    profile: str | None

    @property
    def active(self) -> bool:
        return self.kind in ACTIVE


@dataclass(frozen=True)
class StageRun:
    """One stage of a run; without a task run it waits (`state` Waiting, `kind` empty)."""

    name: str
    state: str = "Waiting"
    kind: str = ""
    message: str = ""
    seconds: float = 0.0
    attempts: int = 0
    task_run_id: str = ""

    @property
    def running(self) -> bool:
        return self.kind == "RUNNING"


@dataclass(frozen=True)
class LogLine:
    time: datetime
    level: int  # as in the standard library: 20 information, 30 warning, 40 error
    text: str
    task_run_id: str


@dataclass(frozen=True)
class Record:
    """One MLflow run: a pipeline's (parent) or a stage's (child)."""

    id: str
    name: str
    status: str
    started: datetime | None
    experiment: str
    tags: dict[str, str] = field(repr=False)
    params: dict[str, str] = field(repr=False)
    metrics: dict[str, float] = field(repr=False)

    @property
    def ended(self) -> bool:
        return self.status not in ("RUNNING", "SCHEDULED")

    @property
    def stage(self) -> str:
        return self.tags.get("stage", "")

    @property
    def flow_run_id(self) -> str:
        return self.tags.get("prefect.flow_run_id", "")


@dataclass(frozen=True)
class Curve:
    """A figure over training: x in tokens where the stage logged tokens, else in optimizer steps."""

    stage: str
    figure: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    unit: str  # "tokens" or "steps"


@dataclass(frozen=True)
class Score:
    """One figure of the exam with its standard error (None where the stage logged none)."""

    model: str
    group: str  # "overall", "categories" or "tasks"
    name: str  # empty for overall
    metric: str  # as in scores.json: acc, acc_norm, bits_per_byte
    value: float
    stderr: float | None
    n: int | None


def launch_parameters(overrides: Mapping[str, Any], profile: str | None) -> dict[str, Any]:
    """The flow's parameters for a run; what is left at its default is left out."""
    given: dict[str, Any] = {}
    if overrides:
        given["overrides"] = dict(overrides)
    if profile:
        given["profile"] = profile
    return given


def launch_command(overrides: Mapping[str, Any], profile: str | None = None) -> str:
    """The shell command that starts the same run as `Runs.launch`."""
    words = ["prefect", "deployment", "run", DEPLOYMENT]
    for key, value in launch_parameters(overrides, profile).items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        words += ["-p", f"{key}={text}"]
    # Quote after the `=`, as a person would write it.
    return " ".join(
        f"{name}={shlex.quote(value)}" if equals else name
        for name, equals, value in (word.partition("=") for word in words)
    )


def pipeline_stages(root: Path) -> dict[str, str]:
    """Names of the project's stages in the order in which they run, with their descriptions.

    Raises:
        StepError: dvc.yaml is missing or broken.
    """
    from flows.graph import load_graph

    return {stage.name: stage.description for stage in load_graph(root)}


class Runs:
    """Flow runs of the pipeline on a Prefect server. Every method raises Unavailable when the server does not answer.

    Args:
        api: address of the server's API; else PREFECT_API_URL, Prefect's own settings, or the local default.
    """

    def __init__(self, api: str | None = None) -> None:
        self._given = api

    @cached_property
    def api(self) -> str:
        if given := self._given or os.environ.get("PREFECT_API_URL"):
            return given
        from prefect.settings import PREFECT_API_URL

        return PREFECT_API_URL.value() or DEFAULT_API

    @property
    def address(self) -> str:
        """Where Prefect's own pages are."""
        return self.api.removesuffix("/").removesuffix("/api")

    def ready(self) -> bool:
        """Whether something listens for new runs of the deployment.

        Raises:
            Unavailable: no server, or no such deployment on it.
        """
        return str(getattr(self._deployment().status, "value", "")) == "READY"

    def launch(self, overrides: Mapping[str, Any], profile: str | None = None) -> FlowRun:
        """Start the deployment; the parameters must have passed `components.params.check_params`."""
        deployment = self._deployment()
        with self._client() as client:
            run = client.create_flow_run_from_deployment(
                deployment.id, parameters=launch_parameters(overrides, profile)
            )
        return _flow_run(run)

    def recent(self, limit: int = 50) -> list[FlowRun]:
        """The latest runs, newest first; those that a schedule plans for later are no runs yet."""
        from prefect.client.schemas.filters import (
            FlowFilter,
            FlowFilterName,
            FlowRunFilter,
            FlowRunFilterExpectedStartTime,
        )
        from prefect.client.schemas.sorting import FlowRunSort

        until = datetime.now(UTC) + timedelta(minutes=1)  # clocks of machines differ a little
        with self._client() as client:
            runs = client.read_flow_runs(
                flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])),
                flow_run_filter=FlowRunFilter(expected_start_time=FlowRunFilterExpectedStartTime(before_=until)),
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=min(limit, PAGE),
            )
        return [_flow_run(run) for run in runs]

    def get(self, flow_run_id: str) -> FlowRun | None:
        """One run, or None where the server has none with this id."""
        from uuid import UUID

        from prefect.exceptions import ObjectNotFound

        try:
            key = UUID(flow_run_id)
        except ValueError:
            return None
        try:
            with self._client() as client:
                return _flow_run(client.read_flow_run(key))
        except ObjectNotFound:
            return None

    def stages(self, flow_run_id: str, order: Mapping[str, str] | None = None) -> list[StageRun]:
        """The stages of a run: those of `order` first, in its order, then any other task of the run."""
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
        from prefect.client.schemas.sorting import TaskRunSort

        with self._client() as client:
            found = client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])),
                sort=TaskRunSort.EXPECTED_START_TIME_ASC,
                limit=200,
            )
        by_name = {run.name: _stage_run(run) for run in found}  # the latest of a name wins
        names = [*(order or {}), *(name for name in by_name if name not in (order or {}))]
        return [by_name.get(name, StageRun(name)) for name in names]

    def progress(self, stage: StageRun) -> dict[str, float] | None:
        """Figures of the last progress line that a stage printed (`done`, `total`, `loss` ...), or None."""
        for line in self._page({"task_run_id": [stage.task_run_id]}, 0, 50):
            if figures := progress.parse(line.text.strip()):
                return figures
        return None

    def logs(self, flow_run_id: str, task_run_id: str = "", limit: int = 200) -> list[LogLine]:
        """The last lines of a run, or of one of its stages, oldest first, without progress lines."""
        keys = {"task_run_id": [task_run_id]} if task_run_id else {"flow_run_id": [flow_run_id]}
        lines: list[LogLine] = []
        # Progress lines are left out here: the server's text search fails on a SQLite older than 3.44.
        for page in range(PAGES):
            found = self._page(keys, page * PAGE, PAGE)
            lines += [line for line in found if progress.parse(line.text.strip()) is None]
            if len(lines) >= limit or len(found) < PAGE:
                break
        return lines[:limit][::-1]

    def outputs(self, flow_run_id: str) -> dict[str, dict[str, str]]:
        """Stage to path to the start of its md5, from the table that a run leaves when it ends; else empty."""
        from prefect.client.schemas.filters import (
            ArtifactFilter,
            ArtifactFilterFlowRunId,
            ArtifactFilterKey,
        )

        wanted = ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]), key=ArtifactFilterKey(any_=["stages"])
        )
        with self._client() as client:
            found = client.read_artifacts(artifact_filter=wanted, limit=1)
        table = json.loads(found[0].data) if found and isinstance(found[0].data, str) else []
        stages = {}
        for row in table:
            pairs = (item.rpartition(" ") for item in row.get("outputs", "").split("  ") if item)
            stages[row["stage"]] = {path: md5 for path, _, md5 in pairs}
        return stages

    def cancel(self, flow_run_id: str) -> None:
        """Ask for a run to be cancelled; a run that has not started yet is cancelled at once."""
        from uuid import UUID

        from prefect.states import Cancelled, Cancelling

        with self._client() as client:
            kind = client.read_flow_run(UUID(flow_run_id)).state.type.value
            if kind in ENDED:
                return
            state = Cancelling() if kind in {"RUNNING", "PENDING", "CANCELLING"} else Cancelled()
            client.set_flow_run_state(UUID(flow_run_id), state)

    def _page(self, keys: Mapping[str, list[str]], offset: int, limit: int) -> list[LogLine]:
        """Log lines, newest first."""
        from prefect.client.schemas.filters import LogFilter
        from prefect.client.schemas.sorting import LogSort

        wanted = LogFilter.model_validate({name: {"any_": ids} for name, ids in keys.items()})
        with self._client() as client:
            lines = client.read_logs(wanted, limit=limit, offset=offset, sort=LogSort.TIMESTAMP_DESC)
        return [LogLine(log.timestamp, log.level, log.message, str(log.task_run_id or "")) for log in lines]

    def _deployment(self) -> Any:
        from prefect.exceptions import ObjectNotFound

        try:
            with self._client() as client:
                return client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            raise Unavailable(
                f"The Prefect server at {self.address} has no deployment {DEPLOYMENT!r}. `make up` registers it."
            ) from None

    @cached_property
    def _lock(self) -> threading.Lock:
        return threading.Lock()

    @cached_property
    def _open_client(self) -> Any:
        # Not get_client(): without a configured address that one would start a server of its own.
        import httpx
        from prefect.client.orchestration import SyncPrefectClient

        return SyncPrefectClient(self.api, httpx_settings={"timeout": httpx.Timeout(10.0, connect=3.0)})

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """Prefect's client, kept open (a new one costs a TLS context), with transport errors in words."""
        import httpx
        from prefect.exceptions import ObjectNotFound

        with self._lock:
            client = self._open_client
        try:
            yield client
        except ObjectNotFound:
            raise
        except httpx.HTTPStatusError as error:
            detail = error.response.text.strip()[:300]
            raise Unavailable(
                f"The Prefect server at {self.address} refused: {error.response.status_code} {detail}"
            ) from error
        except httpx.HTTPError as error:
            raise Unavailable(
                f"No Prefect server answers at {self.address}. {REMEDY.format(variable='PREFECT_API_URL')}"
            ) from error


class Records:
    """MLflow's runs of the experiment. Methods raise Unavailable when the tracking server does not answer.

    Args:
        uri: tracking address; else MLFLOW_TRACKING_URI, or the project's SQLite file.
    """

    def __init__(self, uri: str | None = None) -> None:
        self.uri = uri or mlflow_uri(project_root())

    @property
    def address(self) -> str:
        """Where MLflow's own pages are, or empty: a file has none, unless a server of it is named."""
        return self.uri if self.uri.startswith("http") else os.environ.get(MLFLOW_PAGES, "")

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

        Of a stage that was tried again, the last try. Of a stage that was cached, the record of the run that made its
        outputs, found by their hash.

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
        """Histories of a stage's figures; only those with more than one point make a curve."""
        at = self._tokens(record)
        curves = []
        for figure in figures:
            points = self._history(record, figure) if figure in record.metrics else []
            if len(points) < 2:
                continue
            x = tuple(at(step) for step, _ in points)
            known = all(place is not None for place in x)
            if not known:
                x = tuple(float(step) for step, _ in points)
            curves.append(Curve(record.stage, figure, x, tuple(y for _, y in points), "tokens" if known else "steps"))
        return curves

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
        with self._errors():
            history = self._client.get_metric_history(record.id, figure)
        first: dict[int, float] = {}
        for metric in sorted(history, key=lambda m: m.timestamp):
            first.setdefault(metric.step, metric.value)
        return sorted(first.items())

    def _search(self, condition: str, limit: int) -> list[Record]:
        if self._absent():
            return []
        with self._errors():
            experiment = self._client.get_experiment_by_name(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
            if experiment is None:
                return []
            runs = self._client.search_runs(
                [experiment.experiment_id],
                condition,
                max_results=limit,
                order_by=["attributes.start_time DESC"],
            )
        return [_record(run) for run in runs]

    def _absent(self) -> bool:
        """Whether the SQLite file is not there yet: reading must not make one."""
        path = self.uri.removeprefix("sqlite:///")
        return path != self.uri and not Path(path).exists()

    @cached_property
    def _client(self) -> Any:
        # A server that is down should be known in seconds, not after MLflow's minutes of retries.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self.uri)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            first = str(error).splitlines()[0][:200]
            raise Unavailable(
                f"MLflow at {self.uri} does not answer ({first}). {REMEDY.format(variable='MLFLOW_TRACKING_URI')}"
            ) from error


def parameters(parent: Record | None, stages: Mapping[str, Record]) -> dict[str, str]:
    """Dotted parameters of a pipeline run: what each stage said that it read, and what the run was asked to change."""
    merged: dict[str, str] = {}
    for record in stages.values():
        merged |= record.params
    return merged | (parent.params if parent else {})


def scores(stages: Mapping[str, Record]) -> list[Score]:
    """Exam figures of a run's benchmark stages, from their metrics.

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


def _flow_run(run: Any) -> FlowRun:
    state = run.state
    given = run.parameters or {}
    overrides = given.get("overrides")
    return FlowRun(
        id=str(run.id),
        name=run.name,
        state=state.name if state else "Pending",
        kind=state.type.value if state else "PENDING",
        message=(state.message or "") if state else "",
        created=run.created,
        started=run.start_time,
        seconds=_seconds(run),
        overrides=dict(overrides) if isinstance(overrides, Mapping) else {},
        profile=given.get("profile") or None,
    )


def _stage_run(run: Any) -> StageRun:
    state = run.state
    return StageRun(
        name=run.name,
        state=state.name if state else "Pending",
        kind=state.type.value if state else "PENDING",
        message=(state.message or "") if state else "",
        seconds=_seconds(run),
        attempts=run.run_count,
        task_run_id=str(run.id),
    )


def _seconds(run: Any) -> float:
    """Seconds from start to end, or until now; retries and the waits between them count."""
    if run.start_time is None:
        return 0.0
    return max(((run.end_time or datetime.now(UTC)) - run.start_time).total_seconds(), 0.0)


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
