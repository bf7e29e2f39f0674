"""Fine-tuning data before a run: checked by the step itself; and what the latest runs of fine-tuning have changed."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import read_json
from flows.definitions import TUNING
from flows.settings import places

PATIENCE_S = 120
SAMPLE = 5  # rows
LONGEST = 4_000  # characters of a row
DATA = "components.tuning.data"


@dataclass(frozen=True)
class Checked:
    """Rows that the step accepts: how many, and the first ones."""

    rows: int
    sample: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Tuned:
    """A run of fine-tuning: its folder's name, what it learned, and the differences after minus before."""

    key: str
    result: Mapping[str, Any]
    settings: Mapping[str, Any]
    when: float


def check(root: Path, files: Sequence[str], objective: str) -> Checked:
    """Run the study's first stage on files, or on the verified exercises if there are none.

    Raises:
        StepError: the step refuses them; the message is its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        output, summary = Path(folder, "rows.jsonl"), Path(folder, "summary.json")
        words = ["--textbooks", "data/textbooks", "--exam", "data/exam", "--output", str(output)]
        words += ["--summary", str(summary)]
        words += ["--set", f"tuning.data={json.dumps(list(files))}", "--set", f"tuning.objective={objective}"]
        try:
            done = subprocess.run(
                [sys.executable, "-m", DATA, *words], cwd=root, capture_output=True, text=True, timeout=PATIENCE_S, check=False
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise StepError(f"the rows were not checked within {PATIENCE_S} s; give fewer") from None
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise StepError(said[-1].removeprefix("error: ") if said else f"{DATA} ended with status {done.returncode}")
        with open(output, encoding="utf-8") as file:
            sample = [json.loads(line) for line in islice(file, SAMPLE)]
        return Checked(read_json(summary, "")["rows"], sample)


def tuned(root: Path) -> list[Tuned]:
    """The latest results of fine-tuning, newest first."""
    found = []
    for place in places(root):
        path = place / TUNING.numbers
        if path.is_file():
            whole = place / "reports" / "tuning" / "result" / "tuning.json"
            settings = read_json(whole, "")["tuning"] if whole.is_file() else {}
            found.append(
                Tuned("" if place == root else place.name, read_json(path, ""), settings, path.stat().st_mtime)
            )
    return sorted(found, key=lambda one: -one.when)
