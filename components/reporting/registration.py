"""`python -m components.reporting.registration`: log a checkpoint in MLflow, so that it can be registered.

Training logs its model itself. This command is for a checkpoint that MLflow does not have, because DVC restored it in
another clone or its run was deleted.
"""

from typing import Any

from components.params import Params
from components.running.cli import Argument, Command, Paths, main
from components.tracking import Tracker


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    tracker.model(inputs["model"], "model", {})
    return {}


COMMAND = Command(
    step="reporting.registration",
    description="Log a checkpoint in MLflow, so that it can be registered.",
    run=run,
    inputs=(Argument("model", "Hugging Face checkpoint of a Phi"),),
)

if __name__ == "__main__":
    main(COMMAND)
