"""`python -m components.study.ablation.tokens`: the tokens of one arm of the data ablation."""

from components.running.cli import Argument, Command, main
from components.study.ablation.arms import ARMS

COMMAND = Command(
    step="study.ablation.tokens",
    description="Tokenize the documents of one arm with the pipeline's tokenizer, beside the pipeline's held-out documents.",
    run="components.study.ablation.corpus:write_tokens",
    inputs=(
        Argument("arm", "arm of the ablation: the documents to tokenize", type=str, choices=tuple(ARMS)),
        Argument(
            "horizon", "training budget as a multiple of ablation.tokens", required=False, type=float, default=1.0
        ),
        Argument("raw", "directory of raw documents"),
        Argument("curated", "directory of curated documents"),
        Argument("textbooks", "directory of textbooks and exercises"),
        Argument("tokens", "directory of the pipeline's tokens, for its tokenizer and held-out documents"),
    ),
    outputs=(Argument("output", "directory for the arm's tokens", holds="manifest.json"),),
    sections=("seed", "tokenization", "ablation"),
)

if __name__ == "__main__":
    main(COMMAND)
