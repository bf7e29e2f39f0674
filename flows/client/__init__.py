"""The interface of screens and scripts to runs: start, read, cancel, through Prefect's and MLflow's own clients.

Results are plain frozen values, independent of any screen. The libraries are imported on first use, since MLflow's needs
two seconds of CPU.

- `Runs` reads the Prefect server: flow runs, their stages (one task run per stage, named after DVC's stage), logs.
- `Records` reads MLflow: one parent run per flow run (tag `prefect.flow_run_id`), a child run per stage (tag `stage`).
"""

from flows import access
from flows.client.records import Records, basis, parameters, scores
from flows.client.runs import Launch, Runs, flow_titles, launchable, pipeline_graph, pipeline_stages
from flows.client.values import Curve, FlowRun, LogLine, Record, Refused, Score, StageRun, Unavailable
from flows.settings import configure, project_root
from flows.tokens import team

__all__ = [
    "Curve",
    "FlowRun",
    "Launch",
    "LogLine",
    "Record",
    "Records",
    "Refused",
    "Runs",
    "Score",
    "StageRun",
    "Unavailable",
    "access",
    "basis",
    "configure",
    "flow_titles",
    "launchable",
    "parameters",
    "pipeline_graph",
    "pipeline_stages",
    "project_root",
    "scores",
    "team",
]
