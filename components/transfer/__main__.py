"""`python -m components.transfer`: grow a checkpoint into a larger shape and prove what was preserved."""

from typing import Any

from components.cli import Argument, Command, main


def run(*arguments: Any) -> dict[str, Any]:
    from components.transfer import transfer

    return transfer.run(*arguments)


COMMAND = Command(
    step="transfer",
    description="Carry a smaller Phi's knowledge into a larger shape, and measure that its function is preserved.",
    run=run,
    inputs=(
        Argument("source", "checkpoint of the smaller Phi"),
        Argument("target", "section of params.yaml with the larger shape, or a Hugging Face config.json", type=str),
        Argument(
            "operator", "how knowledge is carried over", type=str, choices=("exact",), default="exact", required=False
        ),
        Argument("tokens", "tokens directory whose held-out part proves the growth", required=False),
        Argument("seed", "seed of the free entries; else params' seed", type=int, required=False),
    ),
    outputs=(Argument("output", "directory for the grown checkpoint"),),
    sections=("seed", "small", "large", "transfer"),
)

if __name__ == "__main__":
    main(COMMAND)
