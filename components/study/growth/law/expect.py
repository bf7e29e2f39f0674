"""`python -m components.study.growth.law.expect`: the expected losses of a pair of models, where the fitted growth law covers them.

The smaller model and the control start at random; the larger one is grown. `phiforge plan` asks this.
"""

from collections.abc import Iterator
from typing import Any

from components.params import Params
from components.running.cli import Argument, Command, Paths, main
from components.study.growth.law.advise import amount
from components.tracking import Tracker


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    from components.study.growth.law.advice import FILE, outside_of, read_law

    law = read_law(inputs["law"] or FILE)
    small, small_tokens, large, tokens = (inputs[name] / 1e6 for name in ("small", "small_tokens", "large", "tokens"))
    unknown = outside_of(law.range, small, small_tokens, [large], [tokens])
    if unknown:
        return {"unknown": unknown, "losses": {}}
    return {"unknown": "", "losses": dict(_losses(law, small, small_tokens, large, tokens))}


def _losses(
    law: Any, small: float, small_tokens: float, large: float, tokens: float
) -> Iterator[tuple[str, list[float]]]:
    """Loss, and the ends of its 90% interval, of each model."""
    import numpy as np

    from components.study.growth.arms import SCRATCH
    from components.study.growth.law.fit import interval
    from components.study.growth.law.form import Setting
    from components.study.growth.law.grid import EXACT

    settings = {
        "small": (SCRATCH, small, small_tokens, 0.0, 0.0),
        "large": (EXACT, large, tokens, small, small_tokens),
        "control": (SCRATCH, large, tokens, 0.0, 0.0),
    }
    for name, (start, *values) in settings.items():
        setting = Setting(np.array([start]), *(np.array([value]) for value in values))
        low, high = interval(law.fitted.drawn(setting), law.fitted.loss_noise)
        yield name, [float(law.fitted.losses(setting)[0]), float(low[0]), float(high[0])]


COMMAND = Command(
    step="study.growth.law.expect",
    description="The expected losses of a pair of models in nats per token, with 90% intervals (docs/growth-law.md).",
    run=run,
    inputs=(
        Argument("small", "parameters of the smaller model", type=amount),
        Argument("small_tokens", "training tokens of the smaller model", type=amount),
        Argument("large", "parameters of the larger model and its control", type=amount),
        Argument("tokens", "training tokens of the larger model and its control", type=amount),
        Argument("law", "another fitted law (JSON)", required=False),
    ),
    tracked=False,
)

if __name__ == "__main__":
    main(COMMAND)
