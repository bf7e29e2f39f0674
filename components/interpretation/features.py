"""`python -m components.interpretation.features`: sparse features of one layer, with the documents that fire each."""

from components.running.cli import Argument, Command, main

COMMAND = Command(
    step="interpretation.features",
    description=(
        "Train a sparse autoencoder on one layer's stream and say what each of its features fires on. Writes features.json "
        "and features.safetensors."
    ),
    run="components.interpretation.sparse:run",
    inputs=(
        Argument("model", "checkpoint to open"),
        Argument(
            "tokens", "tokens directory; features are learned on its training text and judged on its held-out text"
        ),
        Argument("layer", "stream before this block is taken apart (default: the middle)", required=False, type=int),
        Argument("features", "number of features (default: 8 per dimension)", required=False, type=int),
        Argument("active", "number of features that describe a token", required=False, type=int, default=16),
        Argument("steps", "optimizer steps of 2,048 tokens", required=False, type=int, default=300),
    ),
    outputs=(Argument("output", "folder for the features", holds="features.json"),),
    sections=("seed",),
    tracked=False,
)

if __name__ == "__main__":
    main(COMMAND)
