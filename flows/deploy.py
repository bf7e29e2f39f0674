"""Registers what prefect.yaml says with a Prefect server, and the work pool that it names. Safe to repeat."""

import os
import subprocess
import sys
from pathlib import Path

from flows import settings

NOTE = "note: "  # `make up` shows such lines
POOL = "local"
POOL_TYPE = "phiforge"  # Prefect's own `prefect worker start` has no worker for it, and so cannot open this pool


def ensure_pool() -> None:
    """Create the work pool. Its job template takes no variables: a run brings parameters and nothing else.

    A pool of another type, as earlier releases made it, is replaced; its deployments are registered again right after.
    """
    from prefect import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound

    template = {
        "job_configuration": {"stream_output": True},
        "variables": {"type": "object", "properties": {}, "additionalProperties": False},
    }
    with get_client(sync_client=True) as client:
        try:
            found = client.read_work_pool(POOL)
            if found.type == POOL_TYPE:
                client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template))
                return
            client.delete_work_pool(POOL)
        except ObjectNotFound:
            pass
        client.create_work_pool(WorkPoolCreate(name=POOL, type=POOL_TYPE, base_job_template=template))


def deploy(root: Path) -> int:
    """Register the deployments of prefect.yaml, without questions; returns the exit status.

    PHIFORGE_HOME is hidden from Prefect, which would write its value into the deployment instead of leaving it to each
    worker.
    """
    environment = {name: value for name, value in os.environ.items() if name != settings.HOME}
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    return subprocess.run(command, cwd=root, env=environment, check=False).returncode


def forget_what_anyone_queued(root: Path) -> None:
    """Once per project: cancel queued runs and remove deployments from before its server asked for credentials.

    Until then, any page that a person visited could queue a run or add a schedule. The deployments are registered again
    right after, without schedules that prefect.yaml does not name.
    """
    marker = settings.state_folder(root) / "closed"
    if marker.exists():
        return
    from prefect import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.states import Cancelled

    waiting = FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING, StateType.PAUSED])
    cancelled = Cancelled(message="queued before the server asked for credentials; start it again if it is yours")
    count = 0
    with get_client(sync_client=True) as client:
        while runs := client.read_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=waiting))):
            for run in runs:
                client.set_flow_run_state(run.id, cancelled, force=True)
            count += len(runs)
        while deployments := client.read_deployments():
            for deployment in deployments:
                client.delete_deployment(deployment.id)
    if count:
        print(f"{NOTE}cancelled {count} queued runs from before the server asked for credentials; start yours again")
    marker.touch()


if __name__ == "__main__":
    settings.configure(settings.project_root())
    forget_what_anyone_queued(settings.project_root())
    ensure_pool()
    sys.exit(deploy(settings.project_root()))
