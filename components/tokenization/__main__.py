"""`python -m components.tokenization`: documents to a tokenizer and token shards, with separate held-out documents."""

from components.running.cli import Argument, Command, main

COMMAND = Command(
    step="tokenization",
    description="Train a byte-level BPE tokenizer, or use an existing one, and write the token shards.",
    run="components.tokenization.tokenize:run",
    inputs=(
        Argument("documents", "directories of documents; a document in several directories counts once", many=True),
    ),
    outputs=(Argument("output", "directory for the tokens", holds="manifest.json"),),
    sections=("seed", "ingestion", "tokenization"),
)

if __name__ == "__main__":
    main(COMMAND)
