"""`python -m components.study.tuning.result`: what fine-tuning changes, gains and losses alike."""

from components.running.cli import Argument, Command, main

COMMAND = Command(
    step="study.tuning.result",
    description="Compare a checkpoint before and after fine-tuning: exam, held-out wordings, held-out text, suite.",
    run="components.study.tuning.report:report",
    inputs=(
        Argument("before", "directory of the scores before"),
        Argument("after", "directory of the scores after"),
        Argument("training", "summary of components.tuning"),
        Argument("tokens", "tokens directory with the held-out text"),
    ),
    outputs=(
        Argument(
            "output", "directory for tuning.json, tuning.md, tuning.csv, the chart and the page", holds="tuning.json"
        ),
    ),
    sections=("tuning",),
)

if __name__ == "__main__":
    main(COMMAND)
