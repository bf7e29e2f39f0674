"""`python -m components.study.ablation.run`: one training of the data ablation, examined by the steps' own commands.

The steps run as processes with parameters written for this training. The checkpoint goes when the record is written;
`--checkpoint` keeps it.
"""

from typing import Any

from components.params import Params
from components.running.cli import Argument, Command, Paths, main
from components.study.ablation.arms import ARMS
from components.tracking import Tracker


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    from components.study.ablation.training import train_and_examine

    return train_and_examine(inputs, outputs, params, tracker)


COMMAND = Command(
    step="study.ablation.run",
    description="Train the small model on the documents of one arm and write its record: losses, exam, what was read.",
    run=run,
    inputs=(
        Argument("arm", "data arm that the tokens belong to", type=str, choices=tuple(ARMS)),
        Argument("seed", "seed of the weights and the data order", type=int),
        Argument("tokens", "directory of the arm's tokens"),
        Argument("exam", "directory of the exam"),
    ),
    outputs=(
        Argument("output", "path of the record (JSON)"),
        Argument("checkpoint", "directory for the trained model", required=False, holds="lineage.json"),
    ),
    sections=("small", "training", "benchmarking", "ablation"),
)

if __name__ == "__main__":
    main(COMMAND)
