"""Runs in Prefect, with their tasks, logs and artifacts. Prefect itself removes its events after seven days."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from flows.definitions import DEFINITIONS, PART, SWEEP, TRY
from flows.housekeeping.plan import Entry

UPLOAD = re.compile(r"/uploads/([0-9a-f]{16})\b")  # in a path among a run's parameters
PAGE = 200  # limit of one request to Prefect's API
FLOW = "housekeeping"


class FlowRuns:
    """The runs of this project's flows on the Prefect server at PREFECT_API_URL."""

    def entries(self) -> Iterator[Entry]:
        """Every flow run; those that have not ended are in use."""
        from prefect import get_client
        from prefect.client.schemas.filters import FlowFilter, FlowFilterName
        from prefect.client.schemas.sorting import FlowRunSort

        ours = FlowFilter(name=FlowFilterName(any_=[*DEFINITIONS, PART.flow, TRY.flow, SWEEP.flow, FLOW]))
        with get_client(sync_client=True) as client:
            offset = 0
            while page := client.read_flow_runs(
                flow_filter=ours, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=PAGE, offset=offset
            ):
                for run in page:
                    time = run.end_time or run.start_time or run.expected_start_time or run.created
                    in_use = run.state is None or not run.state.is_final()
                    needs = {
                        f"sweeps:{run.id}.json",
                        *(f"uploads:{key}" for key in UPLOAD.findall(str(run.parameters))),
                    }
                    yield Entry("prefect", str(run.id), f"prefect:{run.id}", time.timestamp(), frozenset(needs), in_use)
                offset += len(page)

    def paths(self, _entry: Entry) -> list[Path]:
        return []  # rows of a database

    def remove(self, entry: Entry) -> bool:
        """Remove a run; Prefect removes its tasks and logs with it, but not its artifacts."""
        from prefect import get_client
        from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
        from prefect.exceptions import ObjectNotFound

        run = UUID(entry.name)
        with get_client(sync_client=True) as client, suppress(ObjectNotFound):
            made = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
            for artifact in client.read_artifacts(artifact_filter=made):
                client.delete_artifact(artifact.id)
            client.delete_flow_run(run)
        return True
