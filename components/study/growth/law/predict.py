"""`python -m components.study.growth.law.predict`: predictions of the stages that were set apart for it, to commit before they run.

One row for each run of those stages, which `components.study.growth.law` later compares with what was measured.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from components.errors import StepError
from components.files import atomic_file
from components.params import Params
from components.phi.config import PhiConfig
from components.running.cli import Argument, Command, Paths, main
from components.study.growth.arms import CONTINUED, SCRATCH
from components.study.growth.law.advice import FILE, Law, read_law
from components.study.growth.law.fit import interval
from components.study.growth.law.form import Setting
from components.study.growth.law.grid import EXACT, Grid, read_grid
from components.study.growth.law.runs import MILLION, Place, places
from components.tokens import Tokens
from components.tracking import Tracker

PLACE = ("arm", "shape", "small_shape", "small_tokens", "tokens")
VALUES = ("loss", "low", "high", "minus_continued", "minus_continued_low", "minus_continued_high", "minus_scratch", "minus_scratch_low", "minus_scratch_high")  # fmt: skip


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    grid, vocabulary = read_grid(inputs["grid"]).part(predicted=True), Tokens.open(inputs["tokens"]).manifest.vocab_size
    if not grid.stages:
        raise StepError(f"{inputs['grid']} has no stage with `predicted: true`; add one")
    sizes = {
        name: PhiConfig.from_shape(shape, vocabulary, params.training.context_length).parameter_count() / MILLION
        for name, shape in grid.shapes.items()
    }
    law, written = read_law(inputs["law"] or FILE), 0
    with atomic_file(outputs["output"]) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*PLACE, *VALUES])
        for row in rows(grid, law, sizes):
            writer.writerow(row)
            written += 1
    return {"predictions": written}


def rows(grid: Grid, law: Law, sizes: dict[str, float]) -> Iterator[list[Any]]:
    """One row for each run: its place, its loss and, if it is grown, the paired differences, each with a 90% interval."""
    for place in sorted(places(grid)):
        arm, shape, small, before, tokens = place
        loss, low, high = predicted(law, sizes, place)
        found = [loss, low, high]
        if arm == EXACT:
            found += predicted(law, sizes, place, (CONTINUED, small, small, before, tokens))
            found += predicted(law, sizes, place, (SCRATCH, shape, "", 0, tokens))
        yield [*place, *(f"{value:.4f}" for value in found), *[""] * (len(VALUES) - len(found))]


def predicted(
    law: Law, sizes: dict[str, float], place: Place, rival: Place | None = None
) -> tuple[float, float, float]:
    """The loss of a run, or its loss minus that of a rival, with the interval of one measurement."""
    losses, drawn = (of(setting_of(place, sizes)) for of in (law.fitted.losses, law.fitted.drawn))
    noise = law.fitted.loss_noise
    if rival is not None:
        losses, drawn = (
            losses - law.fitted.losses(setting_of(rival, sizes)),
            drawn - law.fitted.drawn(setting_of(rival, sizes)),
        )
        noise = law.fitted.pair_noise
    low, high = interval(drawn, noise)
    return float(losses[0]), float(low[0]), float(high[0])


def setting_of(place: Place, sizes: dict[str, float]) -> Setting:
    arm, shape, small, before, tokens = place
    values = (sizes[shape], tokens / MILLION, sizes.get(small, 0.0), before / MILLION)
    return Setting(np.array([arm]), *(np.array([value]) for value in values))


def read_predictions(path: Path) -> dict[Place, dict[str, float]]:
    """Predictions by place.

    Raises:
        StepError: the file is not one of predictions.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return {
                (row["arm"], row["shape"], row["small_shape"], int(row["small_tokens"]), int(row["tokens"])): {
                    name: float(row[name]) for name in VALUES if row[name]
                }
                for row in csv.DictReader(file)
            }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StepError(f"{path} is not a file of predictions ({error}); write it with {COMMAND.step}") from error


COMMAND = Command(
    step="study.growth.law.predict",
    description="Predict the losses of the grid's predicted stages; commit the file before they are trained.",
    run=run,
    inputs=(
        Argument("grid", "plan of the grid (YAML)"),
        Argument("tokens", "directory of tokens"),
        Argument("law", "fitted law (JSON; default: the committed one)", required=False),
    ),
    outputs=(Argument("output", "path of the predictions (CSV)"),),
    sections=("training",),
    tracked=False,
)

if __name__ == "__main__":
    main(COMMAND)
