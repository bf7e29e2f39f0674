"""`python -m components.curation`: keep what teaches, drop the rest into the ledger."""

from typing import Any

from components.cli import Argument, Command, main


def run(*arguments: Any) -> dict[str, Any]:
    from components.curation import curate

    return curate.run(*arguments)


COMMAND = Command(
    step="curation",
    description="Normalise, filter and deduplicate documents; every drop goes to the ledger with its rule and figure.",
    run=run,
    inputs=(
        Argument("documents", "directory of raw documents"),
        Argument(
            "work",
            "folder of results that later runs take up; .phiforge/curation if not given",
            required=False,
            type=str,
        ),
    ),
    outputs=(
        Argument("output", "directory for the curated documents", holds="part-*.parquet"),
        Argument("ledger", "Parquet file for what was dropped"),
        Argument("report", "directory for the figures of the run", required=False, holds="curation.json"),
        Argument(
            "index",
            "directory for an index of what is kept, which later runs name as earlier",
            required=False,
            holds="index.json",
        ),
    ),
    sections=("seed", "ingestion", "curation", "benchmarking", "tokenization"),
)

if __name__ == "__main__":
    main(COMMAND)
