"""Tries and sweeps as plain data, for the panel."""

import json
from pathlib import Path
from typing import Any

from components.trials.ledger import FOLDER, Ledger
from flows import settings


def ledger_of(home: Path) -> Ledger:
    """The ledger of a project's tries."""
    return Ledger(home / FOLDER, settings.lock_file(home, "tries"))


def tries(home: Path) -> list[dict[str, Any]]:
    """All tries, by number, as `phiforge try --json` prints them.

    Raises:
        StepError: the ledger was changed by hand.
    """
    return [one.record() for one in ledger_of(home).tries()]


def sweep_folder(home: Path) -> Path:
    """The folder with a JSON file per sweep."""
    found = settings.state_folder(home) / "sweeps"
    found.mkdir(exist_ok=True)
    return found


def sweeps(home: Path) -> list[dict[str, Any]]:
    """Finished sweeps, latest first, as `phiforge sweep --json` prints them."""
    files = sorted(sweep_folder(home).glob("*.json"), key=lambda path: -path.stat().st_mtime)
    return [json.loads(path.read_text(encoding="utf-8")) for path in files]
