"""Files with the state of a project's runs, and the environment of all its tools.

Defaults are embedded: Prefect's and MLflow's SQLite files are in the project's folder, servers listen on 127.0.0.1
only, and telemetry is off. Variables that are already set take precedence, so Postgres, S3 and servers are chosen by
variables. Import this module before Prefect, which reads its settings when it is imported.
"""

import math
import os
import sys
from pathlib import Path

import components  # noqa: F401 - sets the opt-outs of telemetry in this process and so in its children
from components.errors import StepError
from components.files import STATE, private_directory
from components.foreign.addresses import is_web
from components.running.revision import LOCATION
from components.tracking import given_uri
from flows.access import client_variables, given_auth

HOME = "PHIFORGE_HOME"  # the project's folder, for processes that start in other folders (a worker's flow runs)
CONCURRENT = "PHIFORGE_CONCURRENT_STAGES"
WATCH = "PHIFORGE_WATCH_MINUTES"  # between two checks of the sources for changes
WATCH_FLOW = "PHIFORGE_WATCH_FLOW"  # the flow that runs when the text has changed
FOLDER = "workspaces"  # checkouts of runs with their own parameters
MAIN = "main-tree"  # the lock of runs that work in the main folder

# Prefect's background services for schedules, workers and automations, which the embedded server of one run does not
# need.
IDLE_SERVICES = (
    "SCHEDULER",
    "LATE_RUNS",
    "FOREMAN",
    "CANCELLATION_CLEANUP",
    "PAUSE_EXPIRATIONS",
    "TRIGGERS",
    "REPOSSESSOR",
)


def project_root() -> Path:
    """The project's main folder: PHIFORGE_HOME, or the folder that contains this package."""
    return Path(os.environ.get(HOME) or Path(__file__).parents[1]).resolve()


def state_folder(root: Path) -> Path:
    """`.phiforge`: the project's state.

    Locks, logs, records of running processes, and states of training and curation can be made again. Prefect's database,
    the DVC remote and the answers of paid models (`synthesis`) cannot, so never delete the whole folder.
    """
    return private_directory(Path(root) / STATE)


def lock_file(root: Path, name: str) -> Path:
    """The file of a lock for all runs of a project."""
    folder = state_folder(root) / "locks"
    folder.mkdir(exist_ok=True)
    return folder / f"{name}.lock"


def turns_folder(root: Path, limit: str) -> Path:
    """The folder for the tickets of all stages that need a device."""
    return lock_file(root, f"limit-{limit}").with_suffix(".tickets")


def lock_of(key: str) -> str:
    """Name of the lock of a workspace."""
    return f"workspace-{key}"


def last_used(root: Path, lock: str) -> float:
    """Time of the last successful run under a lock (seconds since the epoch); 0 without one."""
    path = lock_file(root, lock)
    return path.stat().st_mtime if path.exists() else 0


def workspace_folders(root: Path) -> list[Path]:
    """The existing checkouts, unordered."""
    folder = Path(root) / FOLDER
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def places(root: Path) -> list[Path]:
    """The folders of runs, latest first: the main folder and its workspaces."""
    used = {root: last_used(root, MAIN)} | {p: last_used(root, lock_of(p.name)) for p in workspace_folders(root)}
    return sorted(used, key=lambda path: (-used[path], path))


def lock_at(root: Path, place: Path) -> Path:
    """The lock file of a run in the main folder or a workspace."""
    return lock_file(root, MAIN if place == root else lock_of(place.name))


def log_file(root: Path, name: str) -> Path:
    """The log file of a background process."""
    folder = state_folder(root) / "logs"
    folder.mkdir(exist_ok=True)
    return folder / f"{name}.log"


def mlflow_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI, or SQLite in the project's folder."""
    return given_uri() or f"sqlite:///{Path(root) / 'mlflow.db'}"


def defaults(root: Path) -> dict[str, str]:
    """The embedded environment. Variables that are already set take precedence."""
    return {
        "PREFECT_HOME": str(state_folder(root) / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "MLFLOW_TRACKING_URI": mlflow_uri(root),
    }


def configure(root: Path) -> None:
    """Set the embedded environment in this process, and so in every process that it starts.

    Raises:
        StepError: PHIFORGE_AUTH or PHIFORGE_AUTH_FILE is not valid credentials.
    """
    for name, value in defaults(root).items():
        os.environ.setdefault(name, value)
    if auth := given_auth(os.environ):
        for name, value in client_variables(auth).items():
            os.environ.setdefault(name, value)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # otherwise each process compiles its imports again
    binaries = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "")
    if path.split(os.pathsep)[0] != binaries:
        os.environ["PATH"] = binaries + os.pathsep + path  # `python` in dvc.yaml must be this interpreter


def stage_environment(root: Path) -> dict[str, str]:
    """The environment of a stage's process, without the variables of its run. A stage uses only MLflow, so it does not get
    the credentials of other servers, nor MLflow's if its records are a file."""
    closed = ["PREFECT_", "PHIFORGE_AUTH", "PHIFORGE_READER", "PHIFORGE_ALERTS"]
    if not is_web(mlflow_uri(root)):
        closed += ["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(tuple(closed))}
    for name in ("DVC_ROOT", "DVC_STAGE", *LOCATION, "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)  # may be set by the parent process, such as a git hook
    environment |= {"MLFLOW_TRACKING_URI": mlflow_uri(root), "PYTHONUNBUFFERED": "1"}
    bash = Path("/bin/bash")
    if bash.exists():
        environment["SHELL"] = str(bash)  # bash replaces itself by the command; dash would stay as its parent
    return environment


def concurrent_stages() -> int:
    """Maximum concurrent stages of one run."""
    return max(1, int(os.environ.get(CONCURRENT, "2")))


def watch_flow() -> str:
    """Name of the flow that runs when the text has changed.

    Raises:
        StepError: no flow has this name.
    """
    from flows.definitions import DEFINITIONS, PIPELINE

    given = os.environ.get(WATCH_FLOW) or PIPELINE.flow
    if given not in DEFINITIONS:
        raise StepError(f"{WATCH_FLOW}: {given!r} was given; expected one of {', '.join(DEFINITIONS)}; correct it")
    return given


def watch_minutes() -> float:
    """Minutes between two checks of the sources for changed text; 0 means off.

    Raises:
        StepError: the variable is not a number of 0 or more.
    """
    given = os.environ.get(WATCH) or "0"
    try:
        minutes = float(given)
    except ValueError:
        minutes = -1
    if not 0 <= minutes < math.inf:
        raise StepError(
            f"{WATCH}: {given!r} was given; expected minutes between two checks, such as 10, or 0 to switch them off"
        )
    return minutes
