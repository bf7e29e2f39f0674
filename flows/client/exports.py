"""The exports of record of a model, for the panel and the terminal: `export_records`."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from components.errors import StepError
from flows import processes
from flows.models import find_model
from flows.settings import places

MODULE = "components.reporting.records"
GRACE = 1.0  # seconds from asking the export to stop until it is killed


def export_records(root: Path, model: str, output: Path, facts: Path | None = None) -> dict[str, Any]:
    """Write the exports of record of a model; returns their names and the fields that are unknown.

    Args:
        root: the project's main folder.
        model: as of `flows.models.find_model`: a model of a run, a checkpoint folder, a version or alias in the registry.
        facts: YAML file with what only the provider can state.

    Raises:
        StepError: there is no such model, or its records or the facts are refused.
    """
    if not model:
        raise StepError("records: the model's name is empty; expected a model, such as champion; name one")
    checkpoint = find_model(model, root).resolve()
    with tempfile.TemporaryDirectory(prefix="phiforge-") as folder:
        summary = Path(folder, "summary.json")
        words = ["--checkpoint", str(checkpoint), "--name", model, "--output", str(output.resolve())]
        words += ["--runs", *map(str, places(root)), "--summary", str(summary)]
        words += ["--facts", str(facts.resolve())] if facts else []
        command = processes.guarded(MODULE, *words, tree=True)
        status, text = processes.run(command, GRACE, cwd=root, env=os.environ | processes.CODE)
        if status:
            raise StepError(processes.last_line(status, text).removeprefix("error: reporting.records: "))
        return dict(json.loads(summary.read_text(encoding="utf-8")))
