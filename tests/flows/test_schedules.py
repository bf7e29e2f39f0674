"""Schedules are read, switched, changed and started through the client, and outlast a registration of prefect.yaml."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from components.errors import StepError
from flows.client import Runs
from flows.client import schedules as planned
from flows.deploy import schedules_kept

CRON, LATER = "30 2 * * *", "15 4 * * 1-5"


@pytest.fixture
def deployment(prefect_api: str) -> Any:
    """Registers a deployment with a nightly schedule, as `prefect deploy` does, and removes it at the end."""
    from prefect import get_client
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule

    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("test-schedules")

        def register(cron: str = CRON, active: bool = False) -> UUID:
            nightly = DeploymentScheduleCreate(
                schedule=CronSchedule(cron=cron, timezone="UTC"), active=active, slug="nightly", parameters={"seed": 2}
            )
            found = client.create_deployment(
                flow, "local", schedules=[nightly], description="about", enforce_parameter_schema=False
            )
            return UUID(str(found))

        register()
        yield register
        client.delete_deployment(client.read_deployment_by_name("test-schedules/local").id)


def nightly(runs: Runs) -> planned.Schedule:
    return next(one for one in planned.schedules(runs) if one.deployment == "test-schedules/local")


def test_a_schedule_is_read_switched_changed_and_started(deployment: Any, prefect_api: str) -> None:
    runs = Runs(prefect_api)
    found = nightly(runs)
    assert (found.slug, found.cron, found.timezone, found.active) == ("nightly", CRON, "UTC", False)
    planned.switch(runs, found, True)
    planned.change(runs, nightly(runs), LATER, "Europe/Berlin")
    found = nightly(runs)
    assert (found.cron, found.timezone, found.active) == (LATER, "Europe/Berlin", True)
    _, name = planned.start(runs, found)
    assert name
    runs_of_it = [time.astimezone() for time in found.next_times(3)]
    assert runs_of_it == sorted(runs_of_it)
    assert runs_of_it[0] > datetime.now(UTC)


@pytest.mark.parametrize(
    ("cron", "timezone", "words"),
    [
        ("2:30", "UTC", "not a cron expression"),
        ("", "UTC", "not a cron expression"),
        (CRON, "Mars/North", "time zone 'Mars/North'"),
    ],
)
def test_a_wrong_time_is_refused_in_a_sentence(cron: str, timezone: str, words: str) -> None:
    with pytest.raises(StepError, match=words):
        planned.next_times(cron, timezone, 1)


def test_a_registration_keeps_what_a_person_set_until_the_file_changes(
    deployment: Any, prefect_api: str, tmp_path: Any
) -> None:
    runs = Runs(prefect_api)
    with schedules_kept(tmp_path):
        deployment()
    planned.switch(runs, nightly(runs), True)
    planned.change(runs, nightly(runs), LATER, "UTC")
    for _ in range(2):  # `make up`, twice
        with schedules_kept(tmp_path):
            deployment()
        found = nightly(runs)
        assert (found.cron, found.active) == (LATER, True)
    with schedules_kept(tmp_path):
        deployment(cron="0 3 * * *", active=True)  # somebody has edited prefect.yaml
    found = nightly(runs)
    assert (found.cron, found.active) == ("0 3 * * *", True)
