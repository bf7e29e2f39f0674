"""The results of the default run over several seeds: means with 95% confidence intervals, for README.

    python -m bench.seeds [--seeds 1 2 3]

Each seed is a run of the whole pipeline in this checkout (`make run ARGS='--set seed=N'`), with its own generated text,
weights and order of the data. The seed of params.yaml works in the main folder, the others in their own workspaces.
Runs that are cached cost seconds, so this can be stopped and started again.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.common import ROOT, BenchError, Report, Row, machine, parser
from components.params import PARAMS_FILE, load_params
from components.study.statistics import interval
from flows.screen import LEADERBOARD
from flows.settings import places

MODELS = ("small", "large", "control")


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="seeds to run")
    arguments = options.parse_args()
    results = [run(seed) for seed in arguments.seeds]
    report = Report("The default run over seeds", machine() | {"seeds": arguments.seeds})
    columns = ["model", "loss", "bits per byte", "exam accuracy"]
    keys = ("validation_loss", "bits_per_byte", "exam_accuracy")
    rows = [[name, *(mean([row[name][key] for row in results]) for key in keys)] for name in MODELS]
    report.table("Means over the seeds ± half of the 95% confidence interval (Student's t)", columns, rows)
    paired = [
        [f"large minus {other}", *(mean([row["large"][key] - row[other][key] for row in results], "+") for key in keys)]
        for other in ("small", "control")
    ]
    report.table("Differences within a seed", columns, paired)
    report.measurements = results
    return report.finish(arguments)


def run(seed: int) -> dict[str, Row]:
    """The pipeline with a seed; the leaderboard's rows by model."""
    overrides = [] if seed == load_params(ROOT / PARAMS_FILE).seed else ["--set", f"seed={seed}"]
    done = subprocess.run([sys.executable, "-m", "flows.run", *overrides], cwd=ROOT, check=False, stdout=sys.stderr)
    if done.returncode:
        raise BenchError(f"the run with seed {seed} failed with exit status {done.returncode}")
    return models(places(ROOT)[0])


def models(place: Path) -> dict[str, Row]:
    """The models of a finished run by name."""
    board = json.loads((place / LEADERBOARD).read_text(encoding="utf-8"))
    return {row["name"]: row for row in board["models"]}


def mean(values: Sequence[float], sign: str = "") -> str:
    """`3.2395 ± 0.0120` of the values."""
    found = interval(values)
    half = "" if found.high is None else f" ± {found.high - found.mean:.4f}"
    return f"{found.mean:{sign}.4f}{half}"


if __name__ == "__main__":
    sys.exit(main())
