"""The ledger of tries and the results of sweeps, for the command line and the panel."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

from components.trials.ledger import FOLDER, Ledger
from flows import settings


def ledger_of(home: Path) -> Ledger:
    """The ledger of a project's tries."""
    return Ledger(home / FOLDER, settings.lock_file(home, "tries"))


def sweep_file(home: Path, run: UUID | str) -> Path:
    """The JSON file of a sweep, named by its run in Prefect."""
    folder = settings.state_folder(home) / "sweeps"
    folder.mkdir(exist_ok=True)
    return folder / f"{run}.json"


def read_sweep(home: Path, run: UUID | str) -> dict[str, Any]:
    """A finished sweep, as `phiforge sweep --json` prints it."""
    return dict(json.loads(sweep_file(home, run).read_text(encoding="utf-8")))
