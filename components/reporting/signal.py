"""`python -m components.reporting.signal`: which benchmarks tell models of one size apart."""

import math
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.params import Params
from components.reporting.checks import mapping, read_object
from components.results.signal import SignalToNoise, signal_to_noise
from components.results.tables import markdown_table
from components.running.cli import Argument, Command, Paths, main
from components.tracking import Tracker

GROUPS = ("models", "seeds", "checkpoints")


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Print signal and noise of each benchmark and metric, the most telling first, and what to look at."""
    groups = [[_read(folder) for folder in inputs.get(group) or ()] for group in GROUPS]
    if len(groups[0]) < 2 or max(len(groups[1]), len(groups[2])) < 2:
        raise StepError(
            f"--models has {len(groups[0])}, --seeds {len(groups[1])} and --checkpoints {len(groups[2])} scores; expected at "
            "least two models, and two seeds or two checkpoints; name more scores directories"
        )
    suites = {scores["suite"] for group in groups for scores in group}
    if len(suites) > 1:
        raise StepError(
            f"the scores are of the suites {', '.join(sorted(suites))}; expected one suite; name its scores only"
        )
    rows = signal_to_noise(*groups)
    print(
        markdown_table(
            ["benchmark", "metric", "signal", "noise: seeds", "checkpoints", "ratio", "needed", "agrees"],
            [_cells(row) for row in rows],
        )
    )
    best = list(
        dict.fromkeys(row.benchmark for row in rows if row.recommended and not row.benchmark.startswith("mean of"))
    )
    advice = f"look at: {', '.join(best)}" if best else "no benchmark tells these models apart; score more examples"
    print(f"\n{advice} (the best and the worst model differ by more than chance)", flush=True)
    return {"suite": suites.pop(), "rows": [row.record() for row in rows], "recommended": best}


def _read(folder: Path) -> dict[str, Any]:
    path = Path(folder) / "scores.json"
    content = read_object(path)
    for key in ("benchmarks", "categories", "overall"):
        mapping(path, content, key)
    return content


def _cells(row: SignalToNoise) -> list[str]:
    shares = ("-" if value is None else f"{value:.1%}" for value in (row.signal, row.seeds, row.checkpoints))
    ratios = ("-" if value is None or math.isinf(value) else f"{value:.1f}" for value in (row.ratio, row.needed))
    agrees = "-" if row.agreement is None else f"{row.agreement:+.2f}"
    return [row.benchmark, row.metric, *shares, *ratios, agrees]


COMMAND = Command(
    step="reporting.signal",
    description="Measure which benchmarks tell models of one size apart: signal over models, noise over seeds and checkpoints.",
    run=run,
    inputs=(
        Argument("models", "scores directories of different models of one size", many=True),
        Argument("seeds", "scores directories of one model trained with different seeds", required=False, many=True),
        Argument(
            "checkpoints", "scores directories of the last checkpoints of one training run", required=False, many=True
        ),
    ),
    tracked=False,
)

if __name__ == "__main__":
    main(COMMAND)
