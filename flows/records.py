"""Records of runs in progress, so that the next run finds those that a kill left open.

A killed process cannot close its Prefect flow run and its MLflow run. Each run has a record of its process while it
works; the next start closes the runs of dead processes.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.files import atomic_file
from flows.settings import state_folder


def write(home: Path, flow_run_id: str, **facts: Any) -> None:
    """Record that this process works on a flow run."""
    record = this_process() | facts
    with atomic_file(_folder(home) / f"{flow_run_id}.json") as partial:
        partial.write_text(json.dumps(record), encoding="utf-8")


def remove(home: Path, flow_run_id: str) -> None:
    """Record that a flow run has ended."""
    shutil.rmtree(_folder(home) / flow_run_id, ignore_errors=True)
    (_folder(home) / f"{flow_run_id}.json").unlink(missing_ok=True)


def notes_file(home: Path, flow_run_id: str, stage: str) -> Path:
    """The file for a step's notes to MLflow (`components.tracking`)."""
    folder = _folder(home) / flow_run_id
    folder.mkdir(exist_ok=True)
    return folder / f"{stage}.json"


def all_of(home: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Flow runs without a recorded end, and their records."""
    for path in sorted(_folder(home).glob("*.json")):
        yield path.stem, json.loads(path.read_text(encoding="utf-8"))


def lost(home: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Flow runs with an ended process, and their records."""
    for flow_run_id, record in all_of(home):
        if not alive(record):
            yield flow_run_id, record


def this_process() -> dict[str, Any]:
    """Process id and start time, which identify this process among all earlier and later ones."""
    import psutil

    return {"pid": os.getpid(), "started": psutil.Process().create_time()}


def alive(record: dict[str, Any]) -> bool:
    """Whether the process that wrote `this_process` into a record still runs."""
    import psutil

    try:
        process = psutil.Process(record["pid"])
        same = abs(process.create_time() - record["started"]) < 1
        return same and process.status() != psutil.STATUS_ZOMBIE  # dead, but its parent has not read its status
    except psutil.NoSuchProcess:
        return False


def _folder(home: Path) -> Path:
    folder = state_folder(home) / "runs"
    folder.mkdir(exist_ok=True)
    return folder
