"""The answers and losses of a registered version, example by example: stored with it, or computed again.

Records are artifacts of the MLflow run that logged the version's model, under `evidence/`, named by the questions. A
champion is compared by its records as long as exam and held-out text stay the same, and scored again if they differ or
its records are missing.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import StepError
from components.files import read_json, sha256_file
from components.foreign.addresses import without_secrets
from components.params import Params
from components.running.cli import WITHIN
from flows import processes
from flows.settings import stage_environment, turns_folder
from flows.turns import turn

if TYPE_CHECKING:
    from flows.pipeline import PipelineRun

BENCHMARKING = "components.benchmarking"
FOLDER = "evidence"
WHOLE = "whole"  # an empty file, stored after the others: records without it are incomplete
SCORES = "reports/scores/large"  # records that a run of the pipeline has of its candidate
GRACE = 1.6  # seconds between a request to stop and the kill of a step
TAIL = 15  # lines of a failed step that its error shows


class Evidence:
    """The records that a decision of this run needs.

    Args:
        client: MLflow's.
        scratch: a folder for copies, as long as the decision lasts.
    """

    def __init__(self, run: "PipelineRun", params: Params, client: Any, scratch: Path) -> None:
        self.run, self.params, self.client, self.scratch = run, params, client, scratch
        self.root = run.place.root

    def keep_exam(self, version: Any) -> Path:
        """Store this run's own answers with its version; returns their folder."""
        place = self.root / SCORES
        name = f"exam-{exam_key(place)}"
        if not self._kept(version, name):
            self._keep(version, name, place)
        return place

    def exam(self, version: Any, checkpoint: Path) -> Path:
        """A version's answers to the exam of this run."""

        def ask(output: Path) -> None:
            self._score(BENCHMARKING, checkpoint=checkpoint, suite="exam", data_dir="data/exam", output=output)

        return self._records(version, f"exam-{exam_key(self.root / SCORES)}", ask)

    def held_out(self, version: Any, checkpoint: Path) -> Path:
        """A version's loss on each held-out document of this run."""
        manifest = read_json(self.root / "data/tokens/manifest.json", "run `make run` again")
        code = [sha256_file(self.root / f"components/benchmarking/{name}.py") for name in ("held_out", "scorer")]
        asked = _digest(manifest["fingerprint"], self.params.promotion.held_out_kilobytes, code)

        def ask(output: Path) -> None:
            place = output / "held_out.json"
            self._score(f"{BENCHMARKING}.held_out", checkpoint=checkpoint, tokens="data/tokens", output=place)

        return self._records(version, f"held-out-{asked}", ask) / "held_out.json"

    def safety(self, version: Any, checkpoint: Path) -> Path:
        """A version's safety score, computed again, since the data may have changed."""
        output = self.scratch / f"safety-{version.version}"
        self._score(BENCHMARKING, checkpoint=checkpoint, suite="safety", output=output)
        return output

    def decide(self, **records: Path) -> dict[str, Any]:
        """The rule's decision on these records and on this run's results for the candidate."""
        summary = self.scratch / "decision.json"
        trained = {"training": "reports/train_large.json", "control": "reports/train_control.json"}
        gates = sorted((self.root / "reports").glob("validate_*.json"))
        self._step("components.reporting.promotion", **records, **trained, validation=gates, summary=summary)
        return read_json(summary, "run again")

    def _records(self, version: Any, name: str, ask: Callable[[Path], None]) -> Path:
        if self._kept(version, name):
            return Path(self.client.download_artifacts(version.run_id, f"{FOLDER}/{name}", self._copies(version)))
        self.run.log(f"scoring version {version.version} again: it has no records of {name}")
        output = Path(self._copies(version)) / FOLDER / name
        output.parent.mkdir(parents=True, exist_ok=True)
        ask(output)
        self._keep(version, name, output)
        return output

    def _copies(self, version: Any) -> str:
        folder = self.scratch / str(version.version)
        folder.mkdir(exist_ok=True)
        return str(folder)

    def _kept(self, version: Any, name: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.list_artifacts(version.run_id, f"{FOLDER}/{name}") if version.run_id else []
        except MlflowException:  # the run was removed permanently
            return False
        return any(Path(file.path).name == WHOLE for file in found)

    def _keep(self, version: Any, name: str, folder: Path) -> None:
        from mlflow.exceptions import MlflowException

        if not version.run_id:
            return
        marker = self.scratch / WHOLE
        marker.touch()
        try:
            self.client.log_artifacts(version.run_id, str(folder), f"{FOLDER}/{name}")
            self.client.log_artifact(version.run_id, str(marker), f"{FOLDER}/{name}")
        except MlflowException as error:
            self.run.log(f"records of version {version.version} are not kept and will be made again: {error}")

    def _score(self, module: str, **options: Any) -> None:
        """Run a step that computes with a model, alone on the device that training and benchmarks use."""
        run, device = self.run, turns_folder(self.run.home, "device")
        with turn(device, run.lineage.name, "promotion", lambda text: run.log(f"device: {text}"), run.runner.stopped):
            self._step(module, **options)

    def _step(self, module: str, **options: Any) -> None:
        """Run a step in this run's checkout, without a separate MLflow run."""
        run_step(self.run, {WITHIN: "1"}, module, **options)


def run_step(run: "PipelineRun", environment: dict[str, str], module: str, **options: Any) -> None:
    """Run a step of a run's checkout in a guarded child.

    Args:
        environment: variables for the step, in addition to those of the stages.
        options: options of the step's command line; a list is an option with several values.

    Raises:
        StepError: the step failed; the message ends with its last lines.
    """
    arguments = []
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        arguments += [f"--{name.replace('_', '-')}", *map(str, values)] if values else []
    variables = stage_environment(run.home) | {"PYTHONPATH": str(run.place.root)} | environment
    command = processes.guarded(module, *arguments, tree=True)
    status, output = processes.run(command, GRACE, cwd=run.place.root, env=variables)
    if status:
        last = without_secrets("\n".join(output.splitlines()[-TAIL:]))
        raise StepError(
            f"promotion: {module} failed; the results of the stages are kept; fix this and run again:\n{last}"
        )


def exam_key(scores: Path) -> str:
    """Twelve hex digits of an exam's prompts and settings: models with equal keys used the same."""
    found = read_json(scores / "scores.json", "run `make run` again")
    parts = ("benchmark", "metric", "shots", "form")
    asked = {name: [how[part] for part in parts] for name, how in found["protocols"].items()}
    return _digest(found["suite"], found["scorer_version"], found["limit"], found["data"], asked)


def _digest(*facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
