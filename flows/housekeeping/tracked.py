"""Runs in MLflow with their files and models, and registered versions with the entries that they need.

A run and its stages are one entry. MLflow's own `gc` ignores what a registered version refers to and removes deleted
experiments too, so its parts are called one by one.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.foreign.addresses import is_web, local_path
from components.tracking import EXPERIMENT
from flows.client.tracking import Tracking
from flows.housekeeping.objects import hashes_in
from flows.housekeeping.plan import Entry
from flows.settings import mlflow_uri

PARENT = "mlflow.parentRunId"
OPEN = ("RUNNING", "SCHEDULED")
FLOW_RUN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Tracked:
    """A run of the pipeline: its MLflow run, those of its stages, and the models that they logged."""

    runs: list[Any] = field(default_factory=list)
    models: list[Any] = field(default_factory=list)

    @property
    def tags(self) -> dict[str, list[str]]:
        found = defaultdict(list)
        for run in self.runs:
            for name, value in run.data.tags.items():
                found[name].append(value)
        return found


class TrackedRuns(Tracking):
    """The runs and versions of one project. Behind a server they can be read, so that they count as existing, but not
    removed: that needs the database."""

    def __init__(self, home: Path) -> None:
        super().__init__(mlflow_uri(home))
        self._groups: dict[str, Tracked] = {}

    @property
    def remark(self) -> str:
        """The reason why runs are not removed; empty if they are."""
        if not is_web(self.uri):
            return ""
        return (
            "MLflow's runs are not removed: MLFLOW_TRACKING_URI names a server, and removing needs its database; run "
            "`make housekeeping` with MLFLOW_TRACKING_URI set to the address of the database"
        )

    def entries(self) -> Iterator[Entry]:
        """Runs with the entries that they need, and registered versions. Every version is kept, with or without an alias.

        Raises:
            Unavailable: MLflow does not answer.
        """
        if self.absent():
            return
        with self.errors():
            self._groups = self._read()
            versions = _pages(lambda token: self.client.search_model_versions(page_token=token))
        for name, group in self._groups.items():
            infos = [run.info for run in group.runs]
            times = [info.end_time or info.start_time or 0 for info in infos]
            tags = group.tags
            needs = {f"source:{ref}" for ref in tags["git.ref"]} | {
                f"prefect:{run}" for run in tags["prefect.flow_run_id"]
            }
            stays = is_web(self.uri) or any(info.status in OPEN for info in infos)
            yield Entry("mlflow", name, f"mlflow:{name}", max(times, default=0) / 1000, frozenset(needs), stays)
        groups = {run.info.run_id: name for name, group in self._groups.items() for run in group.runs}
        groups |= {model.model_id: name for name, group in self._groups.items() for model in group.models}
        yield from (self._version(version, groups) for version in versions)

    def paths(self, entry: Entry) -> list[Path]:
        """Folders of a run's files and models that are on this disk."""
        return [path for path in map(local_path, self._addresses(self._groups[entry.name])) if path]

    def remove(self, entry: Entry) -> bool:
        """Remove a run with its stages, their files, their models, and the rows of all of them."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        group = self._groups[entry.name]
        for address in self._addresses(group):  # files first: a run is still listed if its removal is interrupted
            get_artifact_repository(address).delete_artifacts()
        for path in self.paths(entry):
            with suppress(OSError):  # not empty, or already removed
                path.parent.rmdir()
        for model in group.models:
            self._store()._hard_delete_logged_model(model.model_id)
        for run in group.runs:
            self._store()._hard_delete_run(run.info.run_id)
        return True

    def _read(self) -> dict[str, Tracked]:
        from mlflow.entities import ViewType

        experiment = self.client.get_experiment_by_name(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
        groups: dict[str, Tracked] = defaultdict(Tracked)
        if experiment is None:
            return groups
        place = [experiment.experiment_id]
        runs = _pages(lambda token: self.client.search_runs(place, run_view_type=ViewType.ALL, page_token=token))
        above = {run.info.run_id: run.data.tags.get(PARENT, run.info.run_id) for run in runs}
        # The parts of a try or sweep are between it and the stages.
        by_run = {name: groups[above.get(parent, parent)] for name, parent in above.items()}
        for run in runs:
            by_run[run.info.run_id].runs.append(run)
        models = _pages(lambda token: self.client.search_logged_models(place, page_token=token))
        if not is_web(self.uri):
            deleted = self._store()._get_deleted_logged_models()
            models += [self._store().get_logged_model(found, allow_deleted=True) for found in deleted]
        for model in models:
            if model.source_run_id in by_run:
                by_run[model.source_run_id].models.append(model)
        return groups

    def _store(self) -> Any:
        return self.client._tracking_client.store

    def _version(self, version: Any, groups: dict[str, str]) -> Entry:
        """A registered version needs the runs that made it, their lineage, and the outputs that its tags name."""
        own = " ".join([version.source or "", version.run_id or "", *version.tags.values()])
        names = {groups[id_] for id_ in re.findall(r"(?:m-)?[0-9a-f]{32}", own) if id_ in groups}
        tags = [self._groups[name].tags for name in names]
        text = " ".join([own, *(value for each in tags for values in each.values() for value in values)])
        workspaces = {value for each in tags for value in each["workspace"]} | {version.tags.get("workspace", "")}
        needs = {f"mlflow:{name}" for name in names} | {f"experiment:run-{key}" for key in workspaces}
        needs |= {f"source:{ref}" for ref in re.findall(r"refs/phiforge/[0-9a-f]+", text)}
        needs |= {f"prefect:{flow_run}" for flow_run in FLOW_RUN_ID.findall(text)}
        name = f"{version.name}/{version.version}"
        return Entry("versions", name, f"version:{name}", needs=frozenset(needs) | hashes_in(text), pinned=True)

    @staticmethod
    def _addresses(group: Tracked) -> list[str]:
        return [run.info.artifact_uri for run in group.runs] + [model.artifact_location for model in group.models]


def database_file(uri: str) -> Path | None:
    """The file of an SQLite address, or None."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def _pages(read: Any) -> list[Any]:
    """All results of a paged query to MLflow."""
    results, token = [], None
    while True:
        page = read(token)
        results += page
        token = page.token
        if not token:
            return results
