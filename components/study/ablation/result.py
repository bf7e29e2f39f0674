"""`python -m components.study.ablation.result`: what the trainings of the data ablation show."""

from typing import Any

from components.params import Params
from components.running.cli import Argument, Command, Paths, main
from components.tracking import Tracker


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    from components.study.ablation.report import report

    return report(inputs, outputs, params, tracker)


COMMAND = Command(
    step="study.ablation.result",
    description="Compare the training runs of the data ablation: losses, exam by category, what each ingredient changes.",
    run=run,
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
