"""`python -m components.study.growth.run`: one training run of the study: grow, train and score by the steps' own
commands.

The steps run as processes with parameters written for this run, so that the study measures what a run of the pipeline
does, and nothing else. Their checkpoints are removed once the record is written; `--checkpoint` keeps the last one.
"""

from components.running.cli import Argument, Command, main
from components.study.growth.arms import ARMS, EQUAL_COST


def horizon(text: str) -> float | str:
    """A share of large.tokens, or EQUAL_COST."""
    return text if text == EQUAL_COST else float(text)


COMMAND = Command(
    step="study.growth.run",
    description="Train one model of the growth study and write its record: curve, losses, cost, exam.",
    run="components.study.growth.training:train_and_examine",
    inputs=(
        Argument("arm", "arm of the study: how the model is obtained", type=str, choices=tuple(ARMS)),
        Argument("seed", "seed of the weights and the data order", type=int),
        Argument(
            "horizon",
            f"budget as a share of large.tokens; {EQUAL_COST}: with the small model's FLOPs as further tokens (scratch), or "
            "for as many FLOPs as the large model's training takes (continued)",
            required=False,
            type=horizon,
            default=1.0,
        ),
        Argument(
            "rate",
            "learning rate as a multiple of transfer.learning_rate; from a random start, of the section's learning_rate",
            required=False,
            type=float,
        ),
        Argument("best", "record of the arm's best trial, whose learning rate is used", required=False),
        Argument("small", "checkpoint of the small model, trained with this seed"),
        Argument("tokens", "directory of tokens"),
        Argument("exam", "directory of the exam"),
    ),
    outputs=(
        Argument("output", "path of the record (JSON)"),
        Argument("checkpoint", "directory for the trained model", required=False, holds="lineage.json"),
    ),
    sections=("small", "large", "training", "transfer", "benchmarking", "study"),
)

if __name__ == "__main__":
    main(COMMAND)
