"""The schedules of the deployments on a Prefect server: read them, switch them, change their times, start them now."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from components.errors import StepError, short
from flows.client.runs import Runs
from flows.client.values import Refused


@dataclass(frozen=True)
class Schedule:
    """A schedule of a deployment.

    Attributes:
        deployment: name of the flow and the deployment, such as `pipeline/local`.
        about: what the deployment does.
        cron: the five fields of cron; empty for a schedule of another kind, which `other` then says in words.
        parameters: of the runs that it starts, beside the deployment's.
    """

    id: str
    deployment_id: str
    deployment: str
    slug: str
    active: bool
    about: str = ""
    cron: str = ""
    timezone: str = "UTC"
    other: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def next_times(self, count: int) -> list[datetime]:
        """The next times at which it is due, whether it is switched on or not; none for a schedule of another kind."""
        return next_times(self.cron, self.timezone, count) if self.cron else []


def next_times(cron: str, timezone: str, count: int) -> list[datetime]:
    """The next times of a cron expression, in its time zone.

    Raises:
        StepError: the expression or the time zone is unknown.
    """
    from prefect.server.schemas.schedules import CronSchedule

    _schedule_of(cron, timezone)
    return asyncio.run(CronSchedule(cron=cron, timezone=timezone).get_dates(count, datetime.now(UTC)))


def _schedule_of(cron: str, timezone: str) -> Any:
    from prefect.client.schemas.schedules import CronSchedule

    try:
        return CronSchedule(cron=cron, timezone=timezone)
    except ValueError:
        pass
    try:
        CronSchedule(cron="0 0 * * *", timezone=timezone)
    except ValueError:
        raise StepError(
            f"time zone {short(timezone)}: unknown; expected a name such as UTC or Europe/Berlin; correct it"
        ) from None
    raise StepError(
        f"time {short(cron)}: not a cron expression; expected minute, hour, day of the month, month and day of the week, such as "
        "30 2 * * * for 02:30 every night; correct it"
    )


def schedules(runs: Runs) -> list[Schedule]:
    """All schedules, by deployment."""
    with runs.client() as client:
        deployments = client.read_deployments()
        names = {flow: client.read_flow(flow).name for flow in {one.flow_id for one in deployments}}
    found = [_schedule(one, names[one.flow_id], schedule) for one in deployments for schedule in one.schedules]
    return sorted(found, key=lambda one: (one.deployment, one.slug, one.id))


def _schedule(deployment: Any, flow: str, found: Any) -> Schedule:
    cron = getattr(found.schedule, "cron", "")
    return Schedule(
        id=str(found.id),
        deployment_id=str(deployment.id),
        deployment=f"{flow}/{deployment.name}",
        slug=found.slug or "",
        active=bool(found.active),
        about=deployment.description or "",
        cron=cron,
        timezone=getattr(found.schedule, "timezone", None) or "UTC",
        other="" if cron else str(getattr(found.schedule, "interval", "") or getattr(found.schedule, "rrule", "")),
        parameters=found.parameters or {},
    )


def switch(runs: Runs, schedule: Schedule, active: bool) -> None:
    """Switch a schedule on or off."""
    with runs.client() as client:
        client.update_deployment_schedule(UUID(schedule.deployment_id), UUID(schedule.id), active=active)


def change(runs: Runs, schedule: Schedule, cron: str, timezone: str) -> None:
    """Change the times of a schedule; raises as `next_times` does."""
    wanted = _schedule_of(cron, timezone)
    with runs.client() as client:
        client.update_deployment_schedule(
            UUID(schedule.deployment_id), UUID(schedule.id), active=schedule.active, schedule=wanted
        )


def start(runs: Runs, schedule: Schedule) -> tuple[str, str]:
    """Start now what a schedule starts; id and name of the run."""
    from prefect.exceptions import ObjectNotFound

    try:
        with runs.client() as client:
            run = client.create_flow_run_from_deployment(
                UUID(schedule.deployment_id), parameters=dict(schedule.parameters)
            )
    except ObjectNotFound:
        raise Refused(f"The deployment {schedule.deployment} is gone. `make up` registers it again.") from None
    return str(run.id), run.name
