"""The interface of screens and scripts to runs: start, read, cancel, through Prefect's and MLflow's own clients.

Everything is returned as plain frozen values. Nothing here depends on a screen. The libraries are imported on first
use, since MLflow's costs two seconds of CPU.

- `Runs` speaks to the Prefect server: flow runs, their stages (one task run a stage, named after DVC's stage), logs.
- `Records` speaks to MLflow: one parent run per flow run (tag `prefect.flow_run_id`), a child run a stage (tag `stage`).
"""

from flows import access
from flows.client.records import Records, parameters, scores
from flows.client.runs import Runs, flow_titles, launch_command, launch_parameters, pipeline_stages
from flows.client.values import Curve, FlowRun, LogLine, Record, Score, StageRun, Unavailable
from flows.settings import project_root

__all__ = [
    "Curve",
    "FlowRun",
    "LogLine",
    "Record",
    "Records",
    "Runs",
    "Score",
    "StageRun",
    "Unavailable",
    "access",
    "flow_titles",
    "launch_command",
    "launch_parameters",
    "parameters",
    "pipeline_stages",
    "project_root",
    "scores",
]
