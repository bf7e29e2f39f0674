"""The MLflow side of a pipeline run: a parent run, with tags that link it to DVC, git and Prefect.

The parent is created when the first stage runs, because importing MLflow's client costs two seconds of CPU. Each stage
that runs has a child run. A step with curves or a model to log opens its child run (components.tracking); otherwise this
module opens it from the step's notes. This module adds the hashes that DVC computes after a stage.
"""

import getpass
import json
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.running.locks import exclusive
from components.tracking import FLOW_RUN, NOTES, PARENT, WEIGHTS, Notes, ensure_experiment, source_tags, storable
from flows import records
from flows.links import restore_weights, share_files
from flows.settings import lock_file, mlflow_uri

TAG_LIMIT = 5000  # maximum length of a tag in MLflow
PARAM_LIMIT = 6000


class Lineage:
    """The MLflow parent run of one flow run."""

    def __init__(self, home: Path, root: Path, flow_run_id: str, name: str) -> None:
        self.home, self.root, self.flow_run_id, self.name = Path(home), Path(root), flow_run_id, name
        self.run_id = ""
        self.facts: dict[str, Any] = {}  # overrides, profile, workspace, kind, parent: logged when the run is created
        self._client: Any = None
        self._lock = threading.Lock()

    def environment(self) -> dict[str, str]:
        """Environment variables with the parent for a process; the first call creates the parent."""
        self.ensure()
        return {PARENT: self.run_id, FLOW_RUN: self.flow_run_id, "MLFLOW_TRACKING_URI": mlflow_uri(self.home)}

    def environment_of(self, stage: str) -> dict[str, str]:
        """Environment variables with the parent and the file for notes, for a stage's process."""
        return self.environment() | {NOTES: str(records.notes_file(self.home, self.flow_run_id, stage))}

    def ensure(self) -> str:
        """The parent's run id."""
        with self._lock:
            if not self.run_id:
                # The first client of a new database creates its tables; two at the same time would collide.
                with exclusive(lock_file(self.home, "mlflow")):
                    self._create()
        return self.run_id

    def _create(self) -> None:
        self._client = client(self.home)
        experiment_id = ensure_experiment(self._client)
        tags = source_tags(self.root) | {
            "pipeline.source": self.facts.get("kind", "prefect"),
            "prefect.flow_run_id": self.flow_run_id,
            "prefect.flow_run_name": self.name,
            "mlflow.source.name": "flows/pipeline.py",
            "mlflow.user": user_name(),
        }
        if "git.commit" in tags:
            tags["mlflow.source.git.commit"] = tags["git.commit"]  # for MLflow's own pages
        for name, tag in (("workspace", "workspace"), ("profile", "profile"), ("parent", "mlflow.parentRunId")):
            if self.facts.get(name):
                tags[tag] = str(self.facts[name])
        run = self._client.create_run(experiment_id, run_name=self.name, tags=tags)
        self.run_id = run.info.run_id
        for key, value in self.facts.get("overrides", {}).items():
            self._client.log_param(self.run_id, key, str(value)[:PARAM_LIMIT])

    def stage_ran(self, stage: str, outs: Mapping[str, str], cache: Path) -> None:
        """Tag the stage's run with the hashes that DVC computed after the step, and link the files of its logged models to
        DVC's cache. Earlier models of the same weights are restored if they were changed."""
        if not self.run_id:
            return  # so far only stages without tracking have run
        self._log_notes(stage)
        hashes = json.dumps(dict(outs), sort_keys=True)[:TAG_LIMIT]
        for run in self._children(f"tags.stage = '{stage}'"):
            self._client.set_tag(run.info.run_id, "dvc.outs", hashes)
            made = f"source_run_id = '{run.info.run_id}'"
            models = self._client.search_logged_models([run.info.experiment_id], made)
            share_files([model.artifact_location for model in models], outs, cache)
            for weights in filter(None, (model.tags.get(WEIGHTS) for model in models)):
                equal = self._client.search_logged_models([run.info.experiment_id], f"tags.{WEIGHTS} = '{weights}'")
                restore_weights([model.artifact_location for model in equal], outs, cache)

    def finish(self, status: str, outcomes: Mapping[str, Mapping[str, str]], metrics: Mapping[str, float]) -> None:
        """Close the parent, and child runs that a killed step left open.

        Args:
            status: FINISHED, FAILED or KILLED.
            outcomes: output hashes of every stage that is up to date, whether it ran now or earlier.
            metrics: numbers of the report.
        """
        if not self.run_id:
            return
        for stage, outs in outcomes.items():
            hashes = json.dumps(dict(outs), sort_keys=True)[:TAG_LIMIT]
            key = re.sub(r"[^\w./ -]", "_", stage.replace("@", "/"), flags=re.ASCII)  # MLflow refuses other characters
            self._client.set_tag(self.run_id, f"dvc.{key}", hashes)
        for name, value in metrics.items():
            self._client.log_metric(self.run_id, name, storable(value))
        close(self._client, self.run_id, status)

    def close_child(self, stage: str, status: str) -> None:
        """End the run of a stage if its step could not."""
        if self.run_id:
            self._log_notes(stage)
            for run in self._children(f"tags.stage = '{stage}' and attributes.status = 'RUNNING'"):
                self._client.set_terminated(run.info.run_id, status)

    def _log_notes(self, stage: str) -> None:
        """Log the notes of the stage's step."""
        file = records.notes_file(self.home, self.flow_run_id, stage)
        if file.is_file():
            notes = Notes(**json.loads(file.read_text(encoding="utf-8")))
            file.unlink()
            notes.close_run(self._client, notes.open_run(self._client))

    def _children(self, condition: str) -> list[Any]:
        return children(self._client, self.run_id, condition)


def user_name() -> str:
    """Who started this process, by the operating system's name; the number of a user without a name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def client(home: Path) -> Any:
    """MLflow's client of a project."""
    import logging

    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=mlflow_uri(home))


def children(mlflow_client: Any, parent: str, condition: str) -> list[Any]:
    """The child runs of a parent that meet a condition in MLflow's search language."""
    experiment = mlflow_client.get_run(parent).info.experiment_id
    return list(mlflow_client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}' and {condition}"))


def close(mlflow_client: Any, parent: str, status: str) -> None:
    """End a parent and the children that still count as running."""
    for run in children(mlflow_client, parent, "attributes.status = 'RUNNING'"):
        mlflow_client.set_terminated(run.info.run_id, "KILLED" if status == "FINISHED" else status)
    mlflow_client.set_terminated(parent, status)


def close_lost(home: Path, run_id: str, status: str = "KILLED") -> None:
    """End the MLflow run of a flow run that could not end it; an ended run is not changed."""
    mlflow_client = client(home)
    if mlflow_client.get_run(run_id).info.status == "RUNNING":
        close(mlflow_client, run_id, status)
