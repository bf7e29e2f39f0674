"""`python -m components.transfer`: grow a checkpoint into a larger shape and prove what was preserved."""

from typing import Any

from components.cli import Argument, Command, main


def run(*arguments: Any) -> dict[str, Any]:
    from components.phi import machine

    machine.prepare()
    from components.transfer import transfer

    return transfer.run(*arguments)


COMMAND = Command(
    step="transfer",
    description="Grow a Phi into a larger shape that computes the same function, and measure that it does.",
    run=run,
    inputs=(
        Argument("source", "checkpoint to grow"),
        Argument("target", "section of params.yaml (small, large) or a Hugging Face config.json", type=str),
        Argument("operator", "how to grow; without it transfer.operator", required=False, type=str, choices=("exact",)),
        Argument("seed", "seed of the entries that are free; without it params.yaml's", required=False, type=int),
        Argument("tokens", "tokens directory; its held-out tokens are the proof's (else random ones)", required=False),
    ),
    outputs=(Argument("output", "directory for the grown checkpoint"),),
    sections=("seed", "small", "large", "transfer"),
)

if __name__ == "__main__":
    main(COMMAND)
