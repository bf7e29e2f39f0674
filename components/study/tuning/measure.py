"""`python -m components.study.tuning.measure`: measure a checkpoint before or after fine-tuning, by the steps' own commands."""

import json
from typing import Any

from components.errors import StepError
from components.files import atomic_directory
from components.params import Params
from components.running.cli import Argument, Command, Paths, main
from components.study.steps import run_step, write_params
from components.tracking import Tracker

EXAM, SUITE, HELD_OUT, TRAINING = "exam", "suite", "held_out.json", "tuning.json"


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write exam/, held_out.json and, if benchmarking.data_dir has the data of benchmarking.suite, suite/.

    Raises:
        StepError: a step failed; it has printed why.
    """
    model, found = str(inputs["checkpoint"]), params.benchmarking
    with atomic_directory(outputs["output"]) as folder:
        file = write_params(params, folder)
        suites = [(EXAM, EXAM, ["--data-dir", str(inputs["exam"])])]
        if found.data_dir and found.suite != EXAM:
            suites.append((SUITE, found.suite, []))
        for name, suite, words in suites:
            words = ["--checkpoint", model, "--suite", suite, *words, "--output", str(folder / name)]
            if run_step("benchmarking", words, file):
                raise StepError(f"the suite {suite} of {model} ended without scores; see the output above")
        words = ["--checkpoint", model, "--tokens", str(inputs["tokens"]), "--kinds", "all"]
        run_step("benchmarking.held_out", [*words, "--output", str(folder / HELD_OUT)], file)
        file.unlink()
        scores = json.loads((folder / EXAM / "scores.json").read_text(encoding="utf-8"))
    return {"exam_accuracy": scores["overall"]["acc"]["value"]}


COMMAND = Command(
    step="study.tuning.measure",
    description="Score a checkpoint on the exam, on held-out text, and on benchmarking.suite if its data are there.",
    run=run,
    inputs=(
        Argument("checkpoint", "checkpoint to measure"),
        Argument("tokens", "tokens directory with the held-out text"),
        Argument("exam", "directory of the exam"),
    ),
    outputs=(Argument("output", "directory for the scores", holds=HELD_OUT),),
    sections=("benchmarking",),
)

if __name__ == "__main__":
    main(COMMAND)
