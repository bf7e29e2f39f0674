"""Runs of the pipeline as parts of a try or a sweep: each a flow run and an MLflow run below its parent's.

A child runs the stages up to one of them in its own workspace. Stages whose inputs are those of an earlier run come from
DVC's cache, so arms that differ in training share everything before it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flows.pipeline import bring_all_up_to_date, flow_of  # first, since it configures Prefect

# isort: split
from prefect.runtime import flow_run as this_flow_run
from prefect.states import State

from components.errors import StepError
from components.tracking import storable
from components.trials.figures import Measurement, Metric, read
from components.trials.folding import table
from flows import records
from flows.definitions import PART
from flows.lineage import Lineage, client
from flows.sizes import Asked
from flows.workspace import place_of


@flow_of(PART, "A part of the pipeline, up to one of its stages, for a try or a sweep.")
def part(last: str, overrides: dict[str, Any], profile: str | None = None, parent: str = "") -> State:
    """Bring the stages up to `last` up to date; `parent` is the MLflow run of the try or sweep."""
    return bring_all_up_to_date(replace(PART, last=last), Asked(overrides, profile), parent=parent)


@dataclass
class Parent:
    """The flow run and the MLflow run of a try or a sweep.

    Attributes:
        run_id: of the MLflow run.
    """

    home: Path
    run_id: str
    client: Any

    def measure(self, name: str, metric: Metric, overrides: Mapping[str, Any], profile: str | None) -> Measurement:
        """Make a run, or find that it is cached, and read its figure.

        Args:
            name: of the flow run.

        Raises:
            StepError: the run failed.
        """
        state = part.with_options(flow_run_name=name)(
            metric.last, dict(overrides), profile, self.run_id, return_state=True
        )
        if not state.is_completed():
            error = state.result(raise_on_failure=False)
            raise StepError(f"{name}: {error if isinstance(error, BaseException) else state.message}")
        return read(place_of(self.home, overrides, profile).root, metric)

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Log the numbers that are known."""
        for name, value in values.items():
            if value is not None:
                self.client.log_metric(self.run_id, name, storable(value), step=step)

    def tags(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            self.client.set_tag(self.run_id, name, value)

    def fold(self, folded: Mapping[str, Any]) -> None:
        """Log a folded comparison: means, paired differences and names of the arms, and the table."""
        for number, row in enumerate(folded["arms"]):
            against = row["against"] or {}
            figures = {key: row[key] for key in ("mean", "low", "high")}
            figures |= {f"minus reference/{key}": against.get(key) for key in ("mean", "low", "high")}
            self.metrics({f"arm {number}/{key}": value for key, value in figures.items()}, len(row["seeds"]))
            self.tags({f"arm {number}": row["name"][:5000]})
        self.tags({"mlflow.note.content": table(folded)[:5000]})


@contextmanager
def parent_run(home: Path, kind: str, name: str, params: Mapping[str, Any]) -> Iterator[Parent]:
    """The MLflow run of the flow run that calls this; closed at the end, and by the next start after a kill.

    Args:
        kind: `try` or `sweep`.
    """
    lineage = Lineage(home, home, this_flow_run.id, name)
    lineage.facts = {"overrides": params, "kind": kind}
    run_id = lineage.ensure()
    records.write(home, this_flow_run.id, mlflow=run_id)
    status = "KILLED"
    try:
        yield Parent(home, run_id, client(home))
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        lineage.finish(status, {}, {})
        records.remove(home, this_flow_run.id)
