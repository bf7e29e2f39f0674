"""`python -m components.validation`: the gate of one asset."""

from components.running.cli import Argument, Command, main

COMMAND = Command(
    step="validation",
    description="Check an asset against its suite of expectations; write the results and a page, and stop if one fails.",
    run="components.validation.validate:run",
    inputs=(
        Argument("asset", "kind of asset", type=str, choices=("raw", "curated", "textbooks", "tokens")),
        Argument("input", "directory of the asset"),
        Argument("ledger", "Parquet file of dropped documents, to explain a failure", required=False),
    ),
    outputs=(Argument("output", "directory for results.json and index.html", holds="results.json"),),
    sections=("validation",),
)

if __name__ == "__main__":
    main(COMMAND)
