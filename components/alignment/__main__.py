"""`python -m components.alignment`: the safety of checkpoints: refusal, over-refusal, stereotypes, planted secrets."""

from components.running.cli import Argument, Command, main

COMMAND = Command(
    step="alignment",
    description="Measure the safety of checkpoints: refusal, over-refusal, stereotypes, and planted secrets. Differences are "
    "against the first checkpoint.",
    run="components.alignment.measure:run",
    inputs=(
        Argument("model", "checkpoints to measure, the first of which the others are compared with", many=True),
        Argument("secrets", "secrets of components.alignment.plant (JSON)", required=False),
        Argument("refusals", "YAML file with other questions, in the form of refusals.yaml", required=False),
        Argument("stereotypes", "YAML file with other sentences, in the form of stereotypes.yaml", required=False),
    ),
    outputs=(Argument("output", "JSON file for metrics, items and answers"),),
    sections=("seed", "benchmarking"),
)

if __name__ == "__main__":
    main(COMMAND)
