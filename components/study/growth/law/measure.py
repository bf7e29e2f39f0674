"""`python -m components.study.growth.law.measure`: train the cells of the growth law's grid.

Each run is made by the steps' own commands, inside processes that stay warm: most runs take seconds, as long as importing
PyTorch does. A run's record is a file named by everything that the run depends on, so a killed grid resumes, and a larger
plan adds to the records of a smaller one. The small models stay beside the records, since many cells start from them.
"""

import hashlib
import json
import os
import pkgutil
import shutil
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import write_json
from components.params import Params
from components.running.cli import ANYTHING, DIVERGED, WITHIN, Argument, Command, Paths, main
from components.study.growth.arms import SCRATCH
from components.study.growth.law.grid import EXACT, Cell, Grid, Stage, Training, read_grid, runs_of, start_of
from components.study.steps import write_params
from components.tracking import Tracker

SIGNALLED = 128  # exit statuses above: ended by a signal
WIDEST_SWEEP = 5  # rates of one sweep
PLATEAU = 0.01  # nats by which the rate at the edge must beat its neighbour for the sweep to go on
SETTINGS = {"threads": 1, "validations": 1, "checkpoint_minutes": 0}
TRANSFER = {"threads": 1, "proof_tokens": 512}


@dataclass(frozen=True)
class Place:
    """Where training runs are made: parameters without the run's own, shapes, tokens, and the folder of the records."""

    params: Params
    grid: Grid
    tokens: Path
    fingerprint: str
    folder: Path

    def key(self, training: Training) -> str:
        """The name of a training run: a hash of all that it depends on."""
        names = {training.shape} | ({training.source.shape} if training.source else set())
        facts = {
            "training": asdict(training),
            "shapes": {name: self.grid.shapes[name].model_dump() for name in sorted(names)},
            "tokens": self.fingerprint,
            "settings": self.params.training.model_dump(mode="json"),
            "transfer": self.params.transfer.model_dump(mode="json") if training.arm == EXACT else None,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def cost(self, training: Training) -> float:
        """Roughly proportional to the FLOPs of a training run."""
        shape = self.grid.shapes[training.shape]
        return training.tokens * shape.hidden_size * shape.num_hidden_layers

    def record(self, training: Training) -> Path:
        return self.folder / "records" / f"{self.key(training)}.json"

    def model(self, training: Training) -> Path:
        return self.folder / "models" / self.key(training)


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Train what the plan asks for and the records lack, stage by stage and seed by seed.

    Raises:
        StepError: the plan is broken, or a step failed; the step has printed why.
    """
    grid = read_grid(inputs["grid"])
    manifest = json.loads((inputs["tokens"] / "manifest.json").read_text(encoding="utf-8"))
    params = params.model_copy(
        update={
            "training": params.training.model_copy(update=SETTINGS),
            "transfer": params.transfer.model_copy(update=TRANSFER),
        }
    )
    place = Place(params, grid, inputs["tokens"].resolve(), manifest["fingerprint"], outputs["output"].resolve())
    wanted = inputs["stages"] or list(grid.stages)
    if unknown := set(wanted) - set(grid.stages):
        raise StepError(
            f"--stages: {min(unknown)!r} is not a stage of {inputs['grid']}; expected {', '.join(grid.stages)}"
        )
    stages = [grid.stages[name] for name in wanted]
    rounds = max(len(stage.seeds) for stage in stages)
    with ProcessPoolExecutor(inputs["workers"], get_context("spawn"), _quiet) as pool:
        for stage, seed in [(s, s.seeds[i]) for i in range(rounds) for s in stages if i < len(s.seeds)]:
            measure(stage, seed, place, pool)
    return {"trainings": len(list((place.folder / "records").glob("*.json")))}


def measure(stage: Stage, seed: int, place: Place, pool: Executor) -> None:
    """Make the training runs of a stage with one seed: sweeps, then cell by cell at the rates that they chose. The last larger
    shape and its cheap cells come first, so that a law can be fitted early."""
    rates = Rates(stage, place, pool)
    for fresh in (True, False):  # what starts from a small model comes after it
        runs = [run for run in runs_of(stage, stage.swept) if run[1] in (stage.small, stage.large[-1])]
        rates.sweep([run for run in runs if (run[0] == SCRATCH) == fresh])
    for large, cell in product(reversed(stage.large), sorted(stage.cells, key=sum)):
        for fresh in (True, False):
            runs = [run for run in runs_of(stage, [cell]) if (run[0] == SCRATCH) == fresh]
            rates.make(rates.training(*run, seed) for run in runs if run[1] in (stage.small, large))


class Rates:
    """The learning rates of a stage: swept with its first seed, then looked up."""

    def __init__(self, stage: Stage, place: Place, pool: Executor) -> None:
        self.stage, self.place, self.pool = stage, place, pool
        self.best: dict[tuple[str, str, int, int], float] = {}

    def training(self, arm: str, shape: str, cell: Cell, seed: int, rate: float | None = None) -> Training:
        """A training run, at the best rate known unless one is given."""
        arm, shape, _, tokens = start_of(self.stage, shape, arm, cell)
        source = None if arm == SCRATCH else self.training(SCRATCH, self.stage.small, cell, seed)
        if rate is None and self.stage.rates is not None:
            rate = self.stage.rates[arm]
        elif rate is None:
            like = shape if shape == self.stage.small else self.stage.large[-1]
            rate = self.best[start_of(self.stage, like, arm, self.stage.nearest(cell))]
        return Training(arm, shape, tokens, seed, rate, source)

    def make(self, trainings: Iterable[Training]) -> list[dict[str, Any]]:
        """The records of training runs; those that are missing are made, as many at once as there are processes, cheap
        ones first."""
        wanted = list(trainings)
        ordered = sorted(dict.fromkeys(wanted), key=self.place.cost)
        found = dict(zip(ordered, self.pool.map(make, [self.place] * len(ordered), ordered), strict=True))
        return [found[training] for training in wanted]

    def sweep(self, runs: Sequence[tuple[str, str, Cell]]) -> None:
        """Find the rate of each run with the lowest loss, going on outwards while the best is at the edge."""
        seed = self.stage.seeds[0]
        tried = {each: dict.fromkeys(self.place.grid.rates[each[0]], float("inf")) for each in runs}
        while True:
            missing = [
                (each, rate) for each, rates in tried.items() for rate, loss in rates.items() if loss == float("inf")
            ]
            found = self.make(self.training(*each, seed, rate) for each, rate in missing)
            for (each, rate), record in zip(missing, found, strict=True):
                loss = record["validation_loss"]
                tried[each][rate] = 1e9 if loss is None else loss
            more = {each: further for each, rates in tried.items() if (further := beyond(rates)) is not None}
            if not more:
                break
            for each, rate in more.items():
                tried[each][rate] = float("inf")
        for (arm, shape, cell), rates in tried.items():
            self.best[start_of(self.stage, shape, arm, cell)] = min(rates, key=lambda rate: (rates[rate], rate))


def beyond(rates: dict[float, float]) -> float | None:
    """The next rate to try: twice or half the best one if that is at the edge, and better than its neighbour by PLATEAU."""
    ordered = sorted(rates)
    best = min(ordered, key=lambda rate: rates[rate])
    if not 1 < len(rates) < WIDEST_SWEEP or best not in (ordered[0], ordered[-1]):
        return None
    neighbour = ordered[1] if best == ordered[0] else ordered[-2]
    if rates[neighbour] - rates[best] < PLATEAU:
        return None
    return best * 2 if best == ordered[-1] else best / 2


def make(place: Place, training: Training) -> dict[str, Any]:
    """The record of a training run, which is made if it is missing. Runs in a process of the pool.

    Raises:
        StepError: a step failed.
    """
    path, model, source = place.record(training), place.model(training), training.source
    kept = training.arm == SCRATCH
    if path.exists() and (not kept or model.exists() or _diverged(path)):
        return json.loads(path.read_text(encoding="utf-8"))
    scratch = place.folder / "scratch" / place.key(training)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    section = "large" if training.arm == EXACT else "small"
    settings = params_of(training, section, place)
    file, data = write_params(settings, scratch), ["--tokens", str(place.tokens)]
    words, growth = ["--model", section, *data], {}
    if source is not None:
        words += ["--initial", str(place.model(source))]
    if training.arm == EXACT and source is not None:
        grown = scratch / "grown"
        run_here(
            "transfer",
            [
                "--source",
                str(place.model(source)),
                "--target",
                section,
                "--operator",
                EXACT,
                *data,
                "--output",
                str(grown),
            ],
            file,
        )
        words[-1] = str(grown)
    output, summary = model if kept else scratch / "model", scratch / "summary.json"
    status = run_here(
        "training",
        [*words, "--output", str(output), "--state", str(scratch / "state"), "--summary", str(summary)],
        file,
    )
    if status != DIVERGED:
        growth = json.loads(summary.read_text(encoding="utf-8"))
    record = asdict(training) | {
        "parameters": growth.get("parameters"),
        "flops": growth.get("flops"),
        "validation_loss": growth.get("validation_loss"),
        "share_of_new": growth.get("growth", {}).get("new", {}).get("share"),
    }
    write_json(path, record)
    shutil.rmtree(scratch)
    return record


def _diverged(path: Path) -> bool:
    return json.loads(path.read_text(encoding="utf-8"))["validation_loss"] is None


def params_of(training: Training, section: str, place: Place) -> Params:
    """The parameters of one training run."""
    model = getattr(place.params, section).model_copy(
        update={"model": place.grid.shapes[training.shape], "tokens": training.tokens, "learning_rate": training.rate}
    )
    return place.params.model_copy(update={"seed": training.seed, section: model})


def run_here(name: str, words: list[str], params: Path) -> int:
    """Run a step's command in this process; returns 0 or DIVERGED.

    Raises:
        StepError: the step failed.
    """
    try:
        main(pkgutil.resolve_name(f"components.{name}.__main__:COMMAND"), [*words, "--params", str(params)])
    except SystemExit as end:
        if end.code not in (0, DIVERGED):
            if isinstance(end.code, int) and end.code > SIGNALLED:
                os._exit(end.code)  # the grid was stopped; the pool's process must not wait for more work
            raise StepError(f"{name} ended with status {end.code}; see its output above") from end
        return int(end.code or 0)
    raise AssertionError("a command ends with an exit status")


def _quiet() -> None:
    """Prepare a process of the pool: no output but errors, and no run of its own in MLflow."""
    os.environ[WITHIN] = "study"
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the life of the process


COMMAND = Command(
    step="study.growth.law.measure",
    description="Train the cells of the growth law's grid. Made runs are kept: a killed grid resumes.",
    run=run,
    inputs=(
        Argument("grid", "plan of the grid (YAML)"),
        Argument("tokens", "directory of tokens"),
        Argument("stages", "stages of the plan to train (default: all)", required=False, many=True, type=str),
        Argument("workers", "training runs at once, one thread each", required=False, type=int, default=2),
    ),
    outputs=(Argument("output", "directory for records and small models, which is extended", holds=ANYTHING),),
    sections=("training", "transfer"),
)

if __name__ == "__main__":
    main(COMMAND)
