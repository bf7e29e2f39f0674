"""Repairs at a start: runs of ended processes, the slots that they used, and runs that strangers queued.

A power cut, a kill or a crashed server leaves runs that count as running forever, and used slots. The next start, by
`make up` or a single run, compares the server's state with the existing processes.
"""

import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed, State

from flows import records
from flows.lineage import close_lost as close_lost_record
from flows.settings import state_folder

Say = Callable[[str], None]
UNDER_WAY = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
TASKS_UNDER_WAY = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=UNDER_WAY)))
LATE_S = 20  # after a flow run's end, because the server stores the states of its tasks from a queue
QUEUED = [StateType.SCHEDULED, StateType.PENDING, StateType.PAUSED]


def close_lost(home: Path, say: Say) -> None:
    """Close the Prefect and MLflow runs of processes that were killed."""
    for flow_run_id, record in list(records.lost(home)):
        say(f"flow run {flow_run_id} was killed; its finished stages are kept")
        close_record(home, flow_run_id, record)


def close_record(home: Path, flow_run_id: str, record: Mapping[str, Any]) -> None:
    """End a flow run, its tasks and its MLflow runs if they still count as running, and remove its record."""
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectNotFound):
        crash(client, client.read_flow_run(flow_run_id))
    if record.get("mlflow"):
        close_lost_record(home, record["mlflow"])
    records.remove(home, flow_run_id)


def close_ended(home: Path, flow_run_id: UUID, force: bool) -> bool:
    """Whether a run of an ended process counts as ended everywhere.

    Args:
        force: close it if it does not.
    """
    record = dict(records.all_of(home)).get(str(flow_run_id))  # the run removes it after MLflow has stored its end
    with get_client(sync_client=True) as client:
        try:
            under_way = client.read_flow_run(flow_run_id).state.type in UNDER_WAY
        except ObjectNotFound:
            under_way = False
    if record is None and not under_way:
        return True
    if force:
        close_record(home, str(flow_run_id), record or {})
    return force


def crash(client: SyncPrefectClient, run: FlowRun) -> None:
    """Mark a flow run and its tasks as crashed if they count as under way; this also frees the run's slot."""
    killed = Crashed(message="its process was killed")
    if run.state.type in UNDER_WAY:
        client.set_flow_run_state(run.id, killed, force=True)
    crash_tasks(client, FlowRunFilter(id=FlowRunFilterId(any_=[run.id])), killed)


def crash_tasks(client: SyncPrefectClient, runs: FlowRunFilter, state: State) -> None:
    """Set the state of the tasks of flow runs that count as under way."""
    for task_run in client.read_task_runs(flow_run_filter=runs, task_run_filter=TASKS_UNDER_WAY):
        client.set_task_run_state(task_run.id, state, force=True)


def close_tasks_of_ended_runs() -> None:
    """Mark tasks as crashed that count as under way although their flow run has ended.

    The server stores the states of tasks later, and drops them if it cannot write, for example on a full disk.
    """
    before = datetime.now(UTC) - timedelta(seconds=LATE_S)
    ended = FlowRunFilter(end_time=FlowRunFilterEndTime(before_=before))
    lost = Crashed(message="its flow run ended, and the server has no record of this task's end")
    with get_client(sync_client=True) as client:
        crash_tasks(client, ended, lost)


def close_orphans(home: Path, say: Say) -> None:
    """Mark all runs of a worker that are under way without a process as crashed, and free the slots of all deployments.

    For a start without a worker: `make up` before its own worker, and a single run with its own server.
    """
    close_lost(home, say)
    close_tasks_of_ended_runs()
    alive = {flow_run_id for flow_run_id, _ in records.all_of(home)}
    with get_client(sync_client=True) as client:
        for run in runs_in(client, UNDER_WAY):
            if run.deployment_id and str(run.id) not in alive:
                say(f"flow run {run.name} was lost with its worker; its finished stages are kept")
                crash(client, run)
        used = {run.deployment_id for run in runs_in(client, UNDER_WAY)}
        for deployment in client.read_deployments():
            limit = deployment.global_concurrency_limit
            if limit is not None and limit.active_slots and deployment.id not in used:
                client.update_global_concurrency_limit(limit.name, GlobalConcurrencyLimitUpdate(active_slots=0))


def forget_what_anyone_queued(home: Path, say: Say) -> None:
    """Once per project: cancel queued runs and remove deployments from before its server asked for credentials.

    Until then, any web page in a person's browser could queue a run or add a schedule. The deployments are registered again
    afterwards, only with the schedules in prefect.yaml.
    """
    marker = state_folder(home) / "closed"
    if marker.exists():
        return
    cancelled = Cancelled(message="queued before the server required credentials; start it again if it is yours")
    count = 0
    with get_client(sync_client=True) as client:
        while runs := runs_in(client, QUEUED):
            for run in runs:
                client.set_flow_run_state(run.id, cancelled, force=True)
            count += len(runs)
        while deployments := client.read_deployments():
            for deployment in deployments:
                client.delete_deployment(deployment.id)
    if count:
        say(f"cancelled {count} runs that were queued before the server required credentials; start yours again")
    marker.touch()


def runs_in(client: SyncPrefectClient, states: list[StateType]) -> list[FlowRun]:
    """Up to 200 flow runs in one of these states."""
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)))
    return client.read_flow_runs(flow_run_filter=wanted, limit=200)
