"""Runs the steps' own commands as parts of one training run of a study."""

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from components.errors import StepError
from components.params import Params
from components.running.cli import DIVERGED, WITHIN, Paths
from components.tracking import Tracker, state_folder

Record = TypeVar("Record")


@contextmanager
def scratch_folder(params: Params, inputs: Paths) -> Iterator[Path]:
    """A temporary folder for the checkpoints of one training run. Equal runs use the same folder, so what a killed run
    left behind is removed."""
    identity = f"{Path.cwd()} {inputs} {params.model_dump_json()}"
    folder = state_folder() / "study" / hashlib.sha256(identity.encode()).hexdigest()[:16]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_step(name: str, words: list[str], params: Path) -> int:
    """Run a step's command, which prints to our output; returns 0 or DIVERGED.

    Raises:
        StepError: the step failed.
    """
    command = [sys.executable, "-m", f"components.{name}", *words, "--params", str(params)]
    environment = os.environ | {WITHIN: "study"}
    status = subprocess.run(command, env=environment, check=False).returncode
    if status not in (0, DIVERGED):
        raise StepError(f"{name} ended with status {status}; see its output above")
    return status


def write_params(params: Params, scratch: Path) -> Path:
    """Write the parameters of one training run to a file; returns its path."""
    path = scratch / "params.json"
    path.write_text(params.model_dump_json(), encoding="utf-8")  # JSON is YAML
    return path


def train(words: list[str], model: Path, scratch: Path, params: Path) -> dict[str, Any] | None:
    """Train a model into a folder; returns the summary, with its `curve`, or None if the training run diverged."""
    curve, summary = scratch / "curve.csv", scratch / "training.json"
    words = [*words, "--output", str(model), "--curves", str(curve), "--summary", str(summary)]
    if run_step("training", words, params) == DIVERGED:
        return None
    return json.loads(summary.read_text(encoding="utf-8")) | {"curve": read_curve(curve)}


def examine(model: Path, exam: Path, scratch: Path, params: Path) -> None:
    """Score a model on the exam; writes `scores/scores.json` and the summary `exam.json`."""
    words = ["--checkpoint", str(model), "--suite", "exam", "--data-dir", str(exam)]
    words += ["--output", str(scratch / "scores"), "--summary", str(scratch / "exam.json")]
    run_step("benchmarking", words, params)


def track(curve: Mapping[str, Sequence[float]], batch_tokens: int, tracker: Tracker) -> None:
    """Log the validations of a training run to MLflow."""
    for tokens, loss in zip(curve["tokens"], curve["loss"], strict=True):
        tracker.metrics({"validation_loss": loss}, step=int(tokens) // batch_tokens)


def read_curve(path: Path) -> dict[str, list[float]]:
    """The `tokens`, `flops` and `loss` of each validation, from the curve that training wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = {"tokens": "tokens", "flops": "flops", "loss": "validation_loss"}
    return {name: [float(row[column]) for row in rows] for name, column in columns.items()}


def read_fields(path: Path, record: type[Record], study: str) -> Record:
    """Read the record of a training run from JSON.

    Args:
        record: the record's dataclass.
        study: name of the study in messages.

    Raises:
        StepError: the file is not such a record.
    """
    try:
        return record(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, ValueError, TypeError) as error:
        raise StepError(f"{path} is not a record of {study} ({error}); remove it and run {study} again") from error
