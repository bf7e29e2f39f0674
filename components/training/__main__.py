"""`python -m components.training`: train the model of a section of params.yaml on a tokens directory."""

from typing import Any

from components.params import Params
from components.running.cli import ANYTHING, Argument, Command, Paths, main
from components.tracking import Tracker


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    from components.phi import machine
    from components.training.processes import check_processes

    check_processes(params.training.devices)
    machine.prepare(params.training.threads)
    from components.training import train

    return train.run(inputs, outputs, params, tracker)


COMMAND = Command(
    step="training",
    description="Train the Phi of a section of params.yaml on token shards.",
    run=run,
    inputs=(
        Argument(
            "model", "section of params.yaml with the model's shape and budget", type=str, choices=("small", "large")
        ),
        Argument("tokens", "tokens directory of components.tokenization"),
        Argument("initial", "checkpoint to start from (default: random weights)", required=False),
        Argument("teacher", "teacher checkpoint; needs training.distillation_weight above 0", required=False),
    ),
    outputs=(
        Argument("output", "directory for the checkpoint", holds="lineage.json"),
        Argument("curves", "CSV for one row per validation", required=False),
        Argument(
            "state",
            "folder for the states for resuming (default .phiforge/training)",
            required=False,
            holds=ANYTHING,
        ),
    ),
    sections=("seed", "small", "large", "training"),
)

if __name__ == "__main__":
    main(COMMAND)
