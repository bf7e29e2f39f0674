"""`python -m components.study.growth.choose`: the best trial of an arm, whose learning rate its other runs use."""

from typing import Any

from components.params import Params
from components.running.cli import Argument, Command, Paths, main
from components.study.growth.arms import ARMS
from components.study.growth.record import best_trial, read_records
from components.tracking import Tracker


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    best = best_trial(read_records(inputs["trials"]), inputs["arm"])
    best.write(outputs["output"])
    return {"learning_rate": best.learning_rate, "validation_loss": best.loss}


COMMAND = Command(
    step="study.growth.choose",
    description="Choose the trial of an arm with the lowest loss.",
    run=run,
    inputs=(
        Argument("arm", "arm to choose for", type=str, choices=tuple(ARMS)),
        Argument("trials", "directory of the arm's trials"),
    ),
    outputs=(Argument("output", "path of the best trial's record (JSON)"),),
    tracked=False,
)

if __name__ == "__main__":
    main(COMMAND)
