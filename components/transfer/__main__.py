"""`python -m components.transfer`: grow a checkpoint into a larger shape and measure how well its function is preserved."""

from typing import Any, get_args

from components.params import Params, TransferParams
from components.running.cli import Argument, Command, Paths, main
from components.tracking import Tracker


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    from components.phi import machine

    machine.prepare(params.transfer.threads)
    from components.transfer import transfer

    return transfer.run(inputs, outputs, params, tracker)


def names_of(setting: str) -> tuple[str, ...]:
    """The allowed values of `transfer.<setting>`."""
    return get_args(TransferParams.model_fields[setting].annotation)


COMMAND = Command(
    step="transfer",
    description="Grow a Phi into a larger shape that computes the same function, and measure that it does.",
    run=run,
    inputs=(
        Argument("source", "checkpoint to grow"),
        Argument("target", "section of params.yaml (small, large) or a Hugging Face config.json", type=str),
        Argument(
            "operator",
            "growth operator (default: transfer.operator)",
            required=False,
            type=str,
            choices=names_of("operator"),
        ),
        Argument(
            "depth_map",
            "source block of each target block (default: transfer.depth_map)",
            required=False,
            type=str,
            choices=names_of("depth_map"),
        ),
        Argument("seed", "seed of the free entries (default: seed in params.yaml)", required=False, type=int),
        Argument(
            "tokens",
            "tokens directory with the held-out tokens for the measurement (default: random tokens)",
            required=False,
        ),
    ),
    outputs=(Argument("output", "directory for the grown checkpoint", holds="lineage.json"),),
    sections=("seed", "small", "large", "transfer"),
)

if __name__ == "__main__":
    main(COMMAND)
