"""`python -m components.interpretation`: lenses, ablations, induction, patching, what growth added, model diffing."""

from components.running.cli import Argument, Command, main

COMMAND = Command(
    step="interpretation",
    description=(
        "Open a Phi: what each layer predicts, what each block and head does for text and for each family of the exam, which "
        "heads copy, and, for a grown model, what growth added and how it lies beside the small model."
    ),
    run="components.interpretation.interpret:run",
    inputs=(
        Argument("model", "checkpoint to open"),
        Argument("tokens", "tokens directory with held-out text"),
        Argument("scores", "scores of the model on the exam, whose questions are asked again"),
        Argument("small", "checkpoint that the model was grown from", required=False),
        Argument("grown", "grown checkpoint that the model's training started from", required=False),
        Argument("control", "model of the same shape from a random start, to compare with", required=False),
    ),
    outputs=(Argument("output", "file for the figures (JSON)"),),
    sections=("interpretation",),
)

if __name__ == "__main__":
    main(COMMAND)
