"""`python -m components.study`: the result of the growth study."""

from components.running.cli import Argument, Command, main

COMMAND = Command(
    step="study",
    description="Compare the training runs of the growth study: losses, paired differences, cost to a loss, exam.",
    run="components.study.growth.report:report",
    inputs=(
        Argument("trials", "directory of the trials' records"),
        Argument("runs", "directory of the records of the other training runs"),
    ),
    outputs=(
        Argument("output", "directory for study.json, study.md, study.csv, the chart and the page", holds="study.json"),
    ),
)

if __name__ == "__main__":
    main(COMMAND)
