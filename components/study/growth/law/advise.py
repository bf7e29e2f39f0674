"""`phiforge plan grow`: continue a small model, grow it, or start a larger one from scratch? By the fitted growth law."""

import argparse
import math
import re
from typing import Any

from components.params import Params
from components.running.cli import Argument, Command, Paths, main
from components.tracking import Tracker

UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
FLOPS = "flops"


def amount(text: str) -> float:
    """`1.5M` as 1500000.0."""
    found = re.fullmatch(r"([0-9]*\.?[0-9]+(?:e\+?[0-9]+)?)([kmbt]?)", text.strip().lower())
    value = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an amount; expected a number above 0, such as 1500000 or 1.5M"
        )
    return value


def budget(text: str) -> tuple[str, float]:
    """`700k` as tokens, `1e13FLOPs` as FLOPs."""
    lowered = text.strip().lower()
    return (FLOPS, amount(lowered.removesuffix(FLOPS))) if lowered.endswith(FLOPS) else ("tokens", amount(text))


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    from components.study.growth.law.advice import FILE, Budget, advise, read_law, summary_of, text_of

    kind, spent = inputs["budget"]
    allowed = Budget(None, spent) if kind == FLOPS else Budget(spent / 1e6, None)
    sizes = [size / 1e6 for size in inputs["large"] or []]
    law = read_law(inputs["law"] or FILE)
    advice = advise(law, inputs["small"] / 1e6, inputs["small_tokens"] / 1e6, sizes, allowed)
    print(text_of(advice), flush=True)
    return dict(summary_of(advice))


COMMAND = Command(
    step="study.growth.law.advise",
    description="Continue a small model, grow it, or start from scratch? Predicted losses with 90% intervals (docs/growth-law.md).",
    run=run,
    inputs=(
        Argument("small", "parameters of the small model, such as 1.1M", type=amount),
        Argument("small_tokens", "tokens that it was trained on, such as 1.5M", type=amount),
        Argument(
            "budget", "tokens of the training that follows, such as 700k, or its FLOPs, such as 1e13FLOPs", type=budget
        ),
        Argument(
            "large",
            "parameters of larger models to consider (default: 1.5, 2 and 3 times the small model's)",
            required=False,
            many=True,
            type=amount,
        ),
        Argument("law", "another fitted law (JSON)", required=False),
    ),
    tracked=False,
)

if __name__ == "__main__":
    main(COMMAND)
