"""Registers what prefect.yaml says with a Prefect server, and the work pool that it names. Safe to repeat."""

import os
import subprocess
import sys
from pathlib import Path

from flows import settings

POOL = "local"


def ensure_pool() -> None:
    """Create the process work pool; one that is there stays as it was set up."""
    from prefect import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(POOL)
        except ObjectNotFound:
            template = ProcessWorker.get_default_base_job_template()
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))


def deploy(root: Path) -> int:
    """Register the deployments of prefect.yaml, without questions; returns the exit status.

    PHIFORGE_HOME is hidden from Prefect, which would write its value into the deployment instead of leaving it to each
    worker.
    """
    environment = {name: value for name, value in os.environ.items() if name != settings.HOME}
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    return subprocess.run(command, cwd=root, env=environment, check=False).returncode


if __name__ == "__main__":
    settings.configure(settings.project_root())
    ensure_pool()
    sys.exit(deploy(settings.project_root()))
