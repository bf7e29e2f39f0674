"""Traces of results and documents: `components.tracing` with the records of this project's MLflow and Prefect.

SQLite files are read without MLflow's and Prefect's clients, whose imports need two seconds of CPU each. With a server, MLflow's
client is used; what Prefect's server knows is then only what MLflow's tags say of it.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.foreign.addresses import local_path
from components.tracing.backward import backward
from components.tracing.forward import forward
from components.tracing.kinds import FORWARD
from components.tracing.project import Project
from components.tracing.runs import FlowRun, Run, Runs, Version
from components.tracing.starts import resolve
from components.tracking import WEIGHTS
from flows.client.registry import DECISION, MOST_VERSIONS
from flows.client.tracking import Tracking
from flows.settings import mlflow_uri, places, state_folder

CACHE = ".dvc/cache"
MOST_RUNS = 50_000


def open_project(root: Path) -> Project:
    """What a project's main folder knows."""
    return Project(root, cache_of(root), places(root), read_runs(root))


def trace(project: Project, given: str, kind: str = "", shown: int = 5) -> dict[str, Any]:
    """The trace of a word, backward or forward as its kind demands.

    Args:
        kind: one of `components.tracing.kinds.KINDS`; empty to try all of them.
        shown: maximum documents described one by one.

    Raises:
        StepError: nothing has this name.
    """
    start = resolve(project, given, kind)
    return forward(project, start, shown) if start.kind in FORWARD else backward(project, start, shown)


def cache_of(root: Path) -> Path:
    """The folder of DVC's cache, without the import of DVC."""
    from configobj import ConfigObj

    for name in ("config.local", "config"):
        file = root / ".dvc" / name
        found = ConfigObj(str(file), encoding="utf-8").get("cache", {}).get("dir") if file.is_file() else None
        if found:
            return (file.parent / found).resolve()
    return root / CACHE


def read_runs(root: Path) -> Runs:
    """What MLflow and Prefect have recorded; empty without them."""
    uri = mlflow_uri(root)
    path = uri.removeprefix("sqlite:///")
    if path != uri:
        runs, versions = _of_file(Path(path)) if Path(path).is_file() else ([], [])
    else:
        runs, versions = _of_server(Tracking(uri))
    return Runs(runs, versions, list(_flow_runs(state_folder(root) / "prefect" / "prefect.db")))


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A database to read. The block ends early if its program has not made its tables yet."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            yield database
    except sqlite3.DatabaseError as error:
        if "no such table" not in str(error):
            raise StepError(f"{path} cannot be read ({error}); if it is damaged, restore it from a backup") from error


def _of_file(path: Path) -> tuple[list[Run], list[Version]]:
    tags: dict[str, dict[str, str]] = {}
    with _reading(path) as database:
        for run, key, value in database.execute("SELECT run_uuid, key, value FROM tags"):
            tags.setdefault(run, {})[key] = value
        rows = database.execute(
            "SELECT run_uuid, name, status, start_time FROM runs WHERE lifecycle_stage = 'active' ORDER BY start_time"
        )
        runs = [_run(run, name, status, started, tags.get(run, {})) for run, name, status, started in rows]
        return runs, list(_versions(database))
    return [], []


def _run(run_id: str, name: str, status: str, started: float | None, tags: Mapping[str, str]) -> Run:
    at = datetime.fromtimestamp(started / 1000, UTC).isoformat(timespec="seconds") if started else ""
    return Run(run_id, name or "", tags.get("mlflow.parentRunId", ""), status or "", at, tags)


def _versions(database: sqlite3.Connection) -> Iterator[Version]:
    tags: dict[tuple[str, str], dict[str, str]] = {}
    for name, version, key, value in database.execute("SELECT name, version, key, value FROM model_version_tags"):
        tags.setdefault((name, str(version)), {})[key] = value
    aliases: dict[tuple[str, str], list[str]] = {}
    for name, alias, version in database.execute("SELECT name, alias, version FROM registered_model_aliases"):
        aliases.setdefault((name, str(version)), []).append(alias)
    known = database.execute(
        "SELECT name, version, run_id, storage_location FROM model_versions "
        "WHERE current_stage != 'Deleted_Internal' ORDER BY name, version DESC"
    )
    for name, version, run, place in known:
        key = name, str(version)
        yield _version(*key, run, place, tags.get(key, {}), aliases.get(key, []))


def _version(name: str, version: str, run: str, place: str, tags: Mapping[str, str], aliases: list[str]) -> Version:
    decisions = []
    for tag in sorted(tag for tag in tags if tag.startswith(DECISION)):
        with suppress(ValueError):  # anyone who may write to MLflow can set it
            decisions.append(json.loads(tags[tag]))
    return Version(
        name, version, run or "", local_path(place or ""), tags.get(WEIGHTS, ""), tuple(sorted(aliases)), decisions
    )


def _of_server(tracking: Tracking) -> tuple[list[Run], list[Version]]:
    with tracking.errors():
        client = tracking.client
        experiments = [found.experiment_id for found in client.search_experiments()]
        runs: list[Run] = []
        page = ""
        while len(runs) < MOST_RUNS:
            found = client.search_runs(experiments, max_results=1000, page_token=page or None)
            runs += [
                _run(run.info.run_id, run.info.run_name, run.info.status, run.info.start_time, run.data.tags)
                for run in found
            ]
            if not (page := found.token):
                break
        aliases = {model.name: model.aliases for model in client.search_registered_models()}
        versions = [
            _version(
                one.name,
                str(one.version),
                one.run_id,
                client.get_model_version_download_uri(one.name, one.version),
                one.tags,
                [alias for alias, number in aliases[one.name].items() if str(number) == str(one.version)],
            )
            for one in client.search_model_versions(max_results=MOST_VERSIONS)
        ]
    return sorted(runs, key=lambda run: run.started), versions


def _flow_runs(path: Path) -> Iterator[FlowRun]:
    """The flow runs in Prefect's SQLite file."""
    if not path.is_file():
        return
    columns = (
        "flow_run.id, flow_run.name, start_time, state_name, flow_run.created_by, flow_run.parameters, deployment.name"
    )
    with _reading(path) as database:
        rows = database.execute(f"SELECT {columns} FROM flow_run LEFT JOIN deployment ON deployment.id = deployment_id")
        for number, name, started, state, created_by, parameters, deployment in rows:
            yield FlowRun(
                number,
                name,
                started or "",
                state or "",
                _starter(json.loads(created_by or "null"), deployment),
                json.loads(parameters or "{}"),
            )


def _starter(created_by: Mapping[str, Any] | None, deployment: str | None) -> str:
    """Who or what started a flow run, as Prefect recorded it."""
    who = (
        f"{str(created_by.get('type', '')).lower()} {created_by.get('display_value') or ''}".strip()
        if created_by
        else ""
    )
    return who or (f"deployment {deployment}" if deployment else "")
