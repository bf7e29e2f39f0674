"""`python -m components.training.find --what learning-rate|batch-size`: find a good setting before a long run.

It prints a table and the setting to use, and writes no checkpoint.
"""

from typing import Any

from components.params import Params
from components.running.cli import Argument, Command, Paths, main
from components.tracking import Tracker


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    from components.phi import machine
    from components.training.processes import check_processes

    check_processes(1)
    machine.prepare(params.training.threads)
    from components.training import finders

    return finders.run(inputs, outputs, params, tracker)


COMMAND = Command(
    step="training.find",
    description="Find a learning rate or a micro-batch size for the model of a section of params.yaml.",
    run=run,
    inputs=(
        Argument("what", "setting to find", type=str, choices=("learning-rate", "batch-size")),
        Argument("model", "section of params.yaml with the model's shape", type=str, choices=("small", "large")),
        Argument("tokens", "tokens directory of components.tokenization"),
        Argument("initial", "checkpoint to start from (default: random weights)", required=False),
        Argument("teacher", "teacher checkpoint; needs training.distillation_weight above 0", required=False),
    ),
    sections=("seed", "small", "large", "training"),
    tracked=False,
)

if __name__ == "__main__":
    main(COMMAND)
