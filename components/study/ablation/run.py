"""`python -m components.study.ablation.run`: one training run of the data ablation, by the steps' own commands.

The steps run as processes with parameters written for this run. The checkpoint is removed once the record is written;
`--checkpoint` keeps it.
"""

from components.running.cli import Argument, Command, main
from components.study.ablation.arms import ARMS

COMMAND = Command(
    step="study.ablation.run",
    description="Train the small model on the documents of one arm and write its record: losses, exam, tokens read.",
    run="components.study.ablation.training:train_and_examine",
    inputs=(
        Argument("arm", "data arm that the tokens belong to", type=str, choices=tuple(ARMS)),
        Argument("seed", "seed of the weights and the data order", type=int),
        Argument(
            "horizon", "training budget as a multiple of ablation.tokens", required=False, type=float, default=1.0
        ),
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
