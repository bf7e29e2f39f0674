"""What the stages of past runs took on this machine, in `.phiforge/stages.jsonl`; `phiforge plan` is calibrated by it.

One line per stage that ran: its amounts of work, seconds, CPU seconds, peak memory and bytes written. MLflow has seconds too,
but its server may hold runs of other machines, it knows neither memory nor DVC's own part, and its client starts slowly.
"""

import json
import platform
from pathlib import Path
from typing import Any

from components.params import PARAMS_FILE, Params, load_params
from components.planning.costs import Measurement
from components.planning.work import amounts
from flows.graph import Stage, locked_sizes
from flows.settings import state_folder
from flows.sizes import cores

LINES = 5000  # the newest are read


def file_of(home: Path) -> Path:
    return state_folder(home) / "stages.jsonl"


def machine() -> str:
    """This machine as a name: measurements of another one, in a copied folder, do not count."""
    return f"{platform.node()}, {platform.machine()}, {cores()} cores"


def write(home: Path, root: Path, stage: Stage, seconds: float, usage: dict[str, float]) -> None:
    """Add the measurement of a stage that has run in the checkout `root`."""
    if not usage:
        return
    work = amounts(load_params(root / PARAMS_FILE), text_bytes(root)).get(stage.name, {})
    written = sum(locked_sizes(root, stage.name, stage.file).values())
    record = {
        "stage": stage.address,
        "machine": machine(),
        "seconds": round(seconds, 2),
        "bytes": written,
        "work": work,
    }
    line = json.dumps(record | usage) + "\n"
    with open(file_of(home), "ab") as file:  # one write of a short line is whole
        file.write(line.encode())


def text_bytes(root: Path) -> float:
    """Bytes of text that the sources of a checkout gave; 0 before ingestion."""
    report = root / "reports" / "ingest.json"
    return 1e6 * json.loads(report.read_text(encoding="utf-8"))["megabytes"] if report.is_file() else 0.0


def last_text_bytes(home: Path, params: Params) -> float:
    """Bytes of text in the sources by the main folder's last run, if it had the same sources; else 0."""
    same = load_params(home / PARAMS_FILE).ingestion == params.ingestion
    return text_bytes(home) if same and not params.ingestion.names_own_text else 0.0


def read(home: Path) -> list[Measurement]:
    """The measurements of this machine, oldest first."""
    path = file_of(home)
    lines = path.read_text(encoding="utf-8").splitlines()[-LINES:] if path.is_file() else []
    found = [json.loads(line) for line in lines if line.endswith("}")]
    return [_measurement(record) for record in found if record["machine"] == machine() and record["work"]]


def _measurement(record: dict[str, Any]) -> Measurement:
    return Measurement(
        stage=record["stage"],
        work=record["work"],
        seconds=record["seconds"],
        cpu_seconds=record["cpu_seconds"],
        peak_bytes=record["peak_bytes"],
        bytes=record["bytes"],
    )
