"""Flow runs on a Prefect server: start, read, cancel, and the command that starts the same run by hand."""

import json
import os
import shlex
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from components.foreign.addresses import without_secrets
from components.running import progress
from flows.client.values import REMEDY, FlowRun, LogLine, Refused, StageRun, Unavailable
from flows.definitions import DEFINITIONS, PIPELINE, WITHOUT
from flows.graph import load_graph
from flows.settings import project_root

DEFAULT_API = "http://127.0.0.1:4200/api"
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
COMMANDS = {  # of `phiforge`, by flow
    "pipeline": "run",
    "corpus": "corpus",
    "growth-study": "study",
    "growth-law": "law",
    "data-ablation": "ablation",
    "without": "without",
    "tuning": "tune",
}
DEPLOYED = {"phiforge"}  # tags of our deployments, which all their runs have
NOTE = "phiforge.note"  # label of a run with a person's note
PAGE, PAGES = 200, 5  # lines per request to the server, and maximum requests for the last lines


@dataclass(frozen=True)
class Launch:
    """A run to start; its parameters must have passed `components.params.check_params`."""

    overrides: Mapping[str, Any] = field(default_factory=dict)
    profile: str | None = None
    flow: str = PIPELINE.flow
    text: str = ""
    size: str = ""
    name: str = ""  # empty: Prefect invents one
    note: str = ""
    tags: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, Any]:
        """The flow's parameters; defaults are left out."""
        given = {"overrides": dict(self.overrides), "profile": self.profile, "text": self.text, "size": self.size}
        return {name: value for name, value in given.items() if value}

    @property
    def command(self) -> str:
        """The shell command that does the same on the terminal, from any folder of the project's machine."""
        root, verb = project_root(), COMMANDS[self.flow]
        words = [os.path.relpath(Path(sys.executable).with_name("phiforge"), root), verb]
        for name, value in (("--profile", self.profile), ("--size", self.size), ("--text", self.text)):
            words += [f"{name}={value}"] if value else []
        for key, value in self.overrides.items():
            words += ["--set", f"{key}={json.dumps(value, ensure_ascii=False)}"]
        return f"cd {shlex.quote(str(root))} && {shlex.join(words)}"


def flow_titles() -> dict[str, str]:
    """The names of the flows, with their titles."""
    return {name: definition.title for name, definition in DEFINITIONS.items()}


def launchable() -> dict[str, str]:
    """The flows that take any text, size and parameters, with their titles; `without` asks for the documents to leave out."""
    return {name: title for name, title in flow_titles().items() if name != WITHOUT.flow}


def pipeline_graph(root: Path, flow: str = PIPELINE.flow) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The stages of a flow in the order in which they run, each with its description and the stages that it needs.

    Raises:
        StepError: its dvc.yaml is missing or broken.
    """
    definition = DEFINITIONS[flow]
    return {stage.name: (stage.description, stage.deps) for stage in load_graph(root, definition.file, definition.last)}


def pipeline_stages(root: Path, flow: str = PIPELINE.flow) -> dict[str, str]:
    """Names of a flow's stages in the order in which they run, with their descriptions; raises as `pipeline_graph`."""
    return {name: description for name, (description, _) in pipeline_graph(root, flow).items()}


class Runs:
    """Flow runs of the pipeline on a Prefect server. Every method raises Unavailable if the server does not answer.

    Args:
        api: address of the server's API; else PREFECT_API_URL, Prefect's own settings, or the local default.
        timeout_s: of each request.
    """

    def __init__(self, api: str | None = None, timeout_s: float = 10.0) -> None:
        self._given, self.timeout_s = api, timeout_s

    @cached_property
    def api(self) -> str:
        if given := self._given or os.environ.get("PREFECT_API_URL"):
            return given
        from prefect.settings import PREFECT_API_URL

        return PREFECT_API_URL.value() or DEFAULT_API

    @property
    def address(self) -> str:
        """The address of Prefect's own pages, as browsers reach it."""
        return os.environ.get("PREFECT_UI_URL") or without_secrets(self.api).removesuffix("/").removesuffix("/api")

    def ready(self, flow: str = PIPELINE.flow) -> bool:
        """Whether a worker waits for new runs of a flow's deployment.

        Raises:
            Unavailable: there is no server, or it does not have the deployment.
        """
        return str(getattr(self._deployment(flow).status, "value", "")) == "READY"

    def launch(self, wanted: Launch, key: str | None = None) -> FlowRun:
        """Start a flow's deployment.

        Args:
            key: name of this launch; a second launch of the same name starts nothing and returns the first one's run.
        """
        deployment = self._deployment(wanted.flow)
        with self.client() as client:
            run = client.create_flow_run_from_deployment(
                deployment.id,
                parameters=wanted.parameters,
                idempotency_key=key,
                name=wanted.name or None,
                tags=wanted.tags or None,
                labels={NOTE: wanted.note} if wanted.note else None,
            )
        return _flow_run(run, wanted.flow)

    def recent(self, limit: int = 50) -> list[FlowRun]:
        """The latest runs, newest first, without those that are scheduled for later."""
        from prefect.client.schemas.filters import FlowRunFilterExpectedStartTime as Expected
        from prefect.client.schemas.sorting import FlowRunSort

        until = datetime.now(UTC) + timedelta(minutes=1)  # clocks of machines differ a little
        return self._runs(limit, FlowRunSort.EXPECTED_START_TIME_DESC, expected_start_time=Expected(before_=until))

    def upcoming(self, limit: int = 5) -> list[FlowRun]:
        """The next runs that are scheduled for later, soonest first."""
        from prefect.client.schemas.filters import FlowRunFilterExpectedStartTime as Expected
        from prefect.client.schemas.filters import FlowRunFilterState, FlowRunFilterStateType
        from prefect.client.schemas.objects import StateType
        from prefect.client.schemas.sorting import FlowRunSort

        after = Expected(after_=datetime.now(UTC) + timedelta(minutes=1))
        waiting = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
        return self._runs(limit, FlowRunSort.EXPECTED_START_TIME_ASC, expected_start_time=after, state=waiting)

    def _runs(self, limit: int, sort: Any, **conditions: Any) -> list[FlowRun]:
        """Runs of the project's flows."""
        from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter

        with self.client() as client:
            runs = client.read_flow_runs(
                flow_filter=FlowFilter(name=FlowFilterName(any_=list(DEFINITIONS))),
                flow_run_filter=FlowRunFilter(**conditions),
                sort=sort,
                limit=min(limit, PAGE),
            )
            names = {flow: client.read_flow(flow).name for flow in {run.flow_id for run in runs}}
        return [_flow_run(run, names[run.flow_id]) for run in runs]

    def get(self, flow_run_id: str) -> FlowRun | None:
        """The run with this id, or None if the server has none."""
        from uuid import UUID

        from prefect.exceptions import ObjectNotFound

        try:
            key = UUID(flow_run_id)
        except ValueError:
            return None
        try:
            with self.client() as client:
                run = client.read_flow_run(key)
                return _flow_run(run, client.read_flow(run.flow_id).name)
        except ObjectNotFound:
            return None

    def stages(self, flow_run_id: str, order: Mapping[str, str] | None = None) -> list[StageRun]:
        """The stages of a run: those of `order` first, in its order, then any other task of the run."""
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
        from prefect.client.schemas.sorting import TaskRunSort

        with self.client() as client:
            found = client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])),
                sort=TaskRunSort.EXPECTED_START_TIME_ASC,
                limit=200,
            )
        by_name = {run.name: _stage_run(run) for run in found}  # the latest run of each name
        names = [*(order or {}), *(name for name in by_name if name not in (order or {}))]
        return [by_name.get(name, StageRun(name)) for name in names]

    def progress(self, task_run_id: str) -> dict[str, float] | None:
        """Values of a stage's last progress line (`done`, `total`, `loss` ...), or None."""
        for line in self._page({"task_run_id": [task_run_id]}, 0, 50):
            if values := progress.parse(line.text.strip()):
                return values
        return None

    def logs(self, flow_run_id: str, task_run_id: str = "", limit: int = 200) -> list[LogLine]:
        """The last lines of a run, or of one of its stages, oldest first, without progress lines."""
        keys = {"task_run_id": [task_run_id]} if task_run_id else {"flow_run_id": [flow_run_id]}
        lines: list[LogLine] = []
        # Progress lines are left out here, since the server's text search fails with SQLite older than 3.44.
        for page in range(PAGES):
            found = self._page(keys, page * PAGE, PAGE)
            lines += [line for line in found if progress.parse(line.text.strip()) is None]
            if len(lines) >= limit or len(found) < PAGE:
                break
        return lines[:limit][::-1]

    def outputs(self, flow_run_id: str) -> dict[str, dict[str, str]]:
        """Stage to path to the start of its md5, from the table that a run writes when it ends; empty without it."""
        from prefect.client.schemas.filters import (
            ArtifactFilter,
            ArtifactFilterFlowRunId,
            ArtifactFilterKey,
        )

        wanted = ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]), key=ArtifactFilterKey(any_=["stages"])
        )
        with self.client() as client:
            found = client.read_artifacts(artifact_filter=wanted, limit=1)
        table = json.loads(found[0].data) if found and isinstance(found[0].data, str) else []
        stages = {}
        for row in table:
            pairs = (item.rpartition(" ") for item in row.get("outputs", "").split("  ") if item)
            stages[row["stage"]] = {path: md5 for path, _, md5 in pairs}
        return stages

    def cancel(self, flow_run_id: str) -> None:
        """Request that a run be cancelled; a run that has not started yet is cancelled immediately."""
        from uuid import UUID

        from prefect.states import Cancelled, Cancelling

        with self.client() as client:
            kind = client.read_flow_run(UUID(flow_run_id)).state.type.value
            if kind in ENDED:
                return
            state = Cancelling() if kind in {"RUNNING", "PENDING", "CANCELLING"} else Cancelled()
            client.set_flow_run_state(UUID(flow_run_id), state)

    def change(self, run: FlowRun) -> None:
        """Give a run the name, the tags and the note of this value."""
        from uuid import UUID

        with self.client() as client:
            kept = DEPLOYED & set(client.read_flow_run(UUID(run.id)).tags)
            client.update_flow_run(UUID(run.id), name=run.name, tags=[*sorted(kept), *run.tags])
            client.update_flow_run_labels(UUID(run.id), {NOTE: run.note})

    def delete(self, flow_run_id: str) -> None:
        """Delete a run that has ended, with its log; its results stay until housekeeping removes them.

        Raises:
            Refused: it has not ended.
        """
        from uuid import UUID

        with self.client() as client:
            run = client.read_flow_run(UUID(flow_run_id))
            if run.state and run.state.type.value not in ENDED:
                raise Refused(f"{run.name} has not ended, so it cannot be deleted. Cancel it first.")
            client.delete_flow_run(UUID(flow_run_id))

    def _page(self, keys: Mapping[str, list[str]], offset: int, limit: int) -> list[LogLine]:
        """Log lines, newest first."""
        from prefect.client.schemas.filters import LogFilter
        from prefect.client.schemas.sorting import LogSort

        wanted = LogFilter.model_validate({name: {"any_": ids} for name, ids in keys.items()})
        with self.client() as client:
            lines = client.read_logs(wanted, limit=limit, offset=offset, sort=LogSort.TIMESTAMP_DESC)
        return [LogLine(log.timestamp, log.level, log.message, str(log.task_run_id or "")) for log in lines]

    def _deployment(self, flow: str) -> Any:
        from prefect.exceptions import ObjectNotFound

        name = DEFINITIONS[flow].deployment
        try:
            with self.client() as client:
                return client.read_deployment_by_name(name)
        except ObjectNotFound:
            raise Refused(
                f"The Prefect server at {self.address} has no deployment {name!r}. `make up` registers it."
            ) from None

    @cached_property
    def _lock(self) -> threading.Lock:
        return threading.Lock()

    @cached_property
    def _open_client(self) -> Any:
        # Not get_client(): without a configured address it would start a server of its own.
        import httpx
        from prefect.client.orchestration import SyncPrefectClient
        from prefect.settings import PREFECT_API_AUTH_STRING

        return SyncPrefectClient(
            self.api,
            auth_string=PREFECT_API_AUTH_STRING.value(),
            httpx_settings={"timeout": httpx.Timeout(self.timeout_s, connect=min(self.timeout_s, 3.0))},
        )

    @contextmanager
    def client(self) -> Iterator[Any]:
        """Prefect's client, kept open (a new one costs a TLS context), with transport errors as Unavailable."""
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
            raise Refused(
                f"The Prefect server at {self.address} refused: {error.response.status_code} {detail}"
            ) from error
        except httpx.TimeoutException as error:
            raise Unavailable(
                f"The Prefect server at {self.address} did not answer within {self.timeout_s:g} s: it is starting, overloaded or "
                "frozen. If that does not pass, stop the platform with Ctrl-C and start it again with `make up`."
            ) from error
        except httpx.HTTPError as error:
            raise Unavailable(
                f"No Prefect server answers at {self.address}. {REMEDY.format(variable='PREFECT_API_URL')}"
            ) from error


def _flow_run(run: Any, flow: str) -> FlowRun:
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
        flow=flow,
        text=given.get("text") or "",
        size=given.get("size") or "",
        expected=run.expected_start_time,
        note=str((run.labels or {}).get(NOTE, "")),
        tags=tuple(sorted({*(run.tags or ())} - DEPLOYED)),
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
    """Seconds from start to end, or until now, including retries and the waits between them."""
    if run.start_time is None:
        return 0.0
    return max(((run.end_time or datetime.now(UTC)) - run.start_time).total_seconds(), 0.0)
