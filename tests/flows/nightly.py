"""What a person does who switches the nightly schedule on, as a process of its own beside a running `make up`.

Prints the start times that Prefect plans for the schedule as it is shipped; then has it fire every minute instead, and
prints the name of the state in which the first run ends.
"""

import sys

from flows import processes, server, settings

settings.configure(settings.project_root())
server.connect(settings.project_root())

from prefect import get_client  # noqa: E402
from prefect.client.orchestration import SyncPrefectClient  # noqa: E402
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId  # noqa: E402
from prefect.client.schemas.objects import FlowRun  # noqa: E402
from prefect.client.schemas.schedules import CronSchedule  # noqa: E402

PLANNED_S = 120  # Prefect's scheduler wakes every minute
ENDED_S = 240


def main() -> int:
    """Returns 1 when nothing was planned or nothing ended in time."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("pipeline/local")
        [schedule] = deployment.schedules
        client.update_deployment_schedule(deployment.id, schedule.id, active=True)
        if not processes.wait_until(lambda: runs(client, deployment.id), PLANNED_S, pause=1):
            return 1
        print(*sorted(f"{run.expected_start_time:%H:%M}" for run in runs(client, deployment.id)), flush=True)
        client.update_deployment_schedule(deployment.id, schedule.id, schedule=CronSchedule(cron="* * * * *"))
        if not processes.wait_until(lambda: ended(client, deployment.id), ENDED_S, pause=1):
            return 1
        print(ended(client, deployment.id)[0].state_name)
    return 0


def runs(client: SyncPrefectClient, deployment: object) -> list[FlowRun]:
    return client.read_flow_runs(deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])))


def ended(client: SyncPrefectClient, deployment: object) -> list[FlowRun]:
    return [run for run in runs(client, deployment) if run.state.is_final()]


if __name__ == "__main__":
    sys.exit(main())
