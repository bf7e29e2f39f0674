"""`python -m components.ingestion`: read the sources of params.yaml into raw documents."""

from typing import Any

from components.running.cli import Argument, Command, main


def run(*arguments: Any) -> dict[str, Any]:
    from components.ingestion import ingest

    return ingest.run(*arguments)


COMMAND = Command(
    step="ingestion",
    description="Read the sources of params.yaml into documents with source and licence.",
    run=run,
    inputs=(
        Argument(
            "inventory",
            "list made by components.ingestion.inventory; needed where ingestion.incremental is true",
            required=False,
        ),
    ),
    outputs=(Argument("output", "directory for the raw documents", holds="part-*.parquet"),),
    sections=("ingestion",),
)

if __name__ == "__main__":
    main(COMMAND)
