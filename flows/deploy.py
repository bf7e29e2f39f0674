"""Registers the deployments and the work pool of prefect.yaml with a Prefect server. Safe to repeat."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.errors import StepError
from flows import settings

NOTE = "note: "  # `make up` shows such lines
POOL = "local"
POOL_TYPE = "phiforge"  # `prefect worker start` has no worker of this type, so it cannot serve this pool


def ensure_pool() -> None:
    """Create the work pool. Its job template has no variables: a run has only parameters.

    A pool of another type, from an earlier release, is replaced; its deployments are registered again afterwards.
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
    """Register the deployments of prefect.yaml without prompting; returns the exit status.

    PHIFORGE_HOME is hidden from Prefect, which would write its value into the deployment; each worker has its own.
    """
    environment = {name: value for name, value in os.environ.items() if name != settings.HOME}
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    return subprocess.run(command, cwd=root, env=environment, check=False).returncode


@contextlib.contextmanager
def schedules_kept() -> Iterator[None]:
    """Keep each schedule switched on or off as a person has set it; Prefect would reset it to prefect.yaml."""
    from prefect import get_client

    def schedules(client: Any) -> Iterator[tuple[Any, Any]]:
        for deployment in client.read_deployments():
            for schedule in deployment.schedules:
                yield deployment, schedule

    with get_client(sync_client=True) as client:
        before = {(d.name, d.flow_id, s.slug): s.active for d, s in schedules(client) if s.slug}
        yield
        for deployment, schedule in schedules(client):
            active = before.get((deployment.name, deployment.flow_id, schedule.slug), schedule.active)
            if schedule.active != active:
                client.update_deployment_schedule(deployment.id, schedule.id, active=active)


def main() -> int:
    """Clean up after an earlier start, then register alerts and deployments; returns the exit status."""
    home = settings.project_root()
    settings.configure(home)
    from prefect import get_client

    from flows import alerts, recovery  # these import Prefect, which reads its settings from the environment

    def say(text: str) -> None:
        print(f"{NOTE}{text}")

    try:
        with get_client(sync_client=True) as client:
            alerts.register(client)
    except StepError as error:
        print(f"error: {error}")
        return 1
    recovery.forget_what_anyone_queued(home, say)
    recovery.close_orphans(home, say)
    ensure_pool()
    with schedules_kept():
        return deploy(home)


if __name__ == "__main__":
    sys.exit(main())
