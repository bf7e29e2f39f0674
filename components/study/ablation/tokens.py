"""`python -m components.study.ablation.tokens`: the tokens of one arm of the data ablation."""

from typing import Any

from components.params import Params
from components.running.cli import Argument, Command, Paths, main
from components.study.ablation.arms import ARMS
from components.tracking import Tracker


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    from components.study.ablation.corpus import write_tokens

    return write_tokens(inputs, outputs, params, tracker)


COMMAND = Command(
    step="study.ablation.tokens",
    description="Tokenize the documents of one arm with the pipeline's tokenizer, beside the pipeline's held-out documents.",
    run=run,
    inputs=(
        Argument("arm", "which documents", type=str, choices=tuple(ARMS)),
        Argument("raw", "directory of raw documents"),
        Argument("curated", "directory of curated documents"),
        Argument("textbooks", "directory of textbooks and exercises"),
        Argument("tokens", "directory of the pipeline's tokens: its tokenizer and held-out documents are taken"),
    ),
    outputs=(Argument("output", "directory for the arm's tokens", holds="manifest.json"),),
    sections=("seed", "tokenization", "ablation"),
)

if __name__ == "__main__":
    main(COMMAND)
