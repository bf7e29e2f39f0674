"""`python -m components.study.without.tokens`: the tokens of the pipeline without some documents."""

from components.running.cli import Argument, Command, main

COMMAND = Command(
    step="study.without.tokens",
    description="Tokenize the documents without those of an item, beside the pipeline's tokenizer and held-out documents.",
    run="components.study.without.corpus:write_tokens",
    inputs=(
        Argument("item", "documents to leave out, such as family=planets; or everything, for none", type=str),
        Argument("raw", "directory of raw documents"),
        Argument("curated", "directory of curated documents"),
        Argument("textbooks", "directory of textbooks and exercises"),
        Argument("tokens", "directory of the pipeline's tokens, for its tokenizer and held-out documents"),
    ),
    outputs=(Argument("output", "directory for the tokens", holds="manifest.json"),),
    sections=("seed", "ingestion", "curation", "benchmarking", "tokenization", "small"),
)

if __name__ == "__main__":
    main(COMMAND)
