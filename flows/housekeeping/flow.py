"""Housekeeping as a Prefect flow, for its deployment."""

from flows import settings  # before Prefect, which reads its settings from the environment

settings.configure(settings.project_root())

from prefect import flow, get_run_logger  # noqa: E402
from prefect.runtime import flow_run as this_flow_run  # noqa: E402
from prefect.states import Completed, State  # noqa: E402

from flows import records  # noqa: E402
from flows.housekeeping import tidy  # noqa: E402
from flows.housekeeping.flow_runs import FLOW  # noqa: E402


@flow(
    name=FLOW,
    description="Remove leftovers of old runs that are no longer needed; limits: params.yaml, housekeeping.",
)
def housekeeping(dry_run: bool = False) -> State:
    """Remove leftovers of old runs that are no longer needed.

    Args:
        dry_run: show what would be removed without removing it.
    """
    home = settings.project_root()
    records.write(home, this_flow_run.id)
    try:
        report = tidy(home, dry_run)
    finally:
        records.remove(home, this_flow_run.id)
    get_run_logger().info(report.text)
    return Completed(message=report.text.partition("\n")[0].removesuffix(":"))
