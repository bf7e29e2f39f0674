"""`python -m components.curation`: keep documents that teach, record the others in the ledger."""

from typing import Any

from components.running.cli import Argument, Command, main


def run(*arguments: Any) -> dict[str, Any]:
    from components.curation import curate

    return curate.run(*arguments)


COMMAND = Command(
    step="curation",
    description=(
        "Normalise, filter and deduplicate documents; every dropped document is in the ledger with its rule and "
        "measured value."
    ),
    run=run,
    inputs=(
        Argument("documents", "directory of raw documents"),
        Argument(
            "work",
            "folder for results that later runs reuse (default .phiforge/curation)",
            required=False,
            type=str,
        ),
    ),
    outputs=(
        Argument("output", "directory for the curated documents", holds="part-*.parquet"),
        Argument("ledger", "Parquet file for the dropped documents"),
        Argument("report", "directory for the metrics of the run", required=False, holds="curation.json"),
        Argument(
            "index",
            "directory for an index of the kept documents, for later runs' curation.duplicates.earlier",
            required=False,
            holds="index.json",
        ),
    ),
    sections=("seed", "ingestion", "curation", "benchmarking", "tokenization"),
)

if __name__ == "__main__":
    main(COMMAND)
