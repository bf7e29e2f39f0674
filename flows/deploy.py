"""Registers the deployments and the work pool of prefect.yaml with a Prefect server. Safe to repeat."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import read_json, write_json
from flows import settings

NOTE = "note: "  # `make up` shows such lines
POOL = "local"
SCHEDULES = "schedules.json"  # what prefect.yaml said when the schedules were registered last
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
def schedules_kept(home: Path) -> Iterator[None]:
    """Keep each schedule as a person has switched or changed it, unless prefect.yaml has changed since it was registered;
    Prefect would reset all of them to prefect.yaml."""
    from prefect import get_client

    def schedules(client: Any) -> Iterator[tuple[Any, Any, str]]:
        for deployment in client.read_deployments():
            for schedule in deployment.schedules:
                if schedule.slug:
                    yield deployment, schedule, f"{deployment.flow_id} {deployment.name} {schedule.slug}"

    def value(schedule: Any) -> dict[str, Any]:
        return {"active": schedule.active, "times": schedule.schedule.model_dump(mode="json")}

    file = settings.state_folder(home) / SCHEDULES
    registered = read_json(file, "", "remove it, and check the times of your schedules") if file.is_file() else {}
    with get_client(sync_client=True) as client:
        before = {key: schedule for _, schedule, key in schedules(client)}
        yield
        in_file = {}
        for deployment, schedule, key in schedules(client):
            in_file[key] = value(schedule)
            if key in before and registered.get(key, in_file[key]) == in_file[key] != value(before[key]):
                client.update_deployment_schedule(
                    deployment.id, schedule.id, active=before[key].active, schedule=before[key].schedule
                )
        write_json(file, in_file)


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
    with schedules_kept(home):
        return deploy(home)


if __name__ == "__main__":
    sys.exit(main())
