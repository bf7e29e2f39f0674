"""`python -m components.study.without.run`: train and examine models on the tokens of one item, by the steps' own commands."""

from components.running.cli import Argument, Command, main

COMMAND = Command(
    step="study.without.run",
    description="Train the small model on an item's tokens, and the larger one from it if asked, and write their record.",
    run="components.study.without.training:train_and_examine",
    inputs=(
        Argument("item", "documents that the tokens are without", type=str),
        Argument("seed", "seed of the weights and the data order", type=int),
        Argument("tokens", "directory of the item's tokens"),
        Argument("exam", "directory of the exam"),
    ),
    outputs=(Argument("output", "path of the record (JSON)"),),
    sections=("small", "large", "training", "transfer", "benchmarking", "without"),
)

if __name__ == "__main__":
    main(COMMAND)
