"""`python -m components.reporting.records`: model card, training-content summary, bill of materials, data metadata."""

from components.running.cli import Argument, Command, main

COMMAND = Command(
    step="reporting.records",
    description=(
        "Write the model card, the summary of the training content by the EU's template, a CycloneDX bill of materials "
        "and Croissant metadata of one model. A field that no record holds says `unknown`."
    ),
    run="components.reporting.records.export:run",
    inputs=(
        Argument("checkpoint", "checkpoint directory of the model"),
        Argument(
            "runs", "folders of runs to look for records in; they may hold the output", False, many=True, type=str
        ),
        Argument("name", "name of the model in the exports", type=str),
        Argument("facts", "YAML file with facts that no record holds, such as the provider's name", required=False),
    ),
    outputs=(Argument("output", "directory for the exports", holds="ml-bom.cdx.json"),),
    tracked=False,
)

if __name__ == "__main__":
    main(COMMAND)
