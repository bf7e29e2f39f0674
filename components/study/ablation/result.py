"""`python -m components.study.ablation.result`: the result of the data ablation."""

from components.running.cli import Argument, Command, main

COMMAND = Command(
    step="study.ablation.result",
    description="Compare the training runs of the data ablation: losses, exam by category, what each ingredient changes.",
    run="components.study.ablation.report:report",
    inputs=(Argument("runs", "directory of the records"),),
    outputs=(
        Argument(
            "output",
            "directory for ablation.json, ablation.md, ablation.csv, the chart and the page",
            holds="ablation.json",
        ),
    ),
    sections=("ablation",),
)

if __name__ == "__main__":
    main(COMMAND)
