"""The measured runs of the grid, as the law reads them: at each place the best of the tried rates, and paired differences."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.errors import StepError
from components.study.growth.arms import CONTINUED, SCRATCH
from components.study.growth.law.form import Setting
from components.study.growth.law.grid import EXACT, Grid, runs_of, start_of

MILLION = 1e6
Place = tuple[str, str, str, int, int]  # arm, shape, shape of the small model or "", its tokens or 0, tokens


@dataclass(frozen=True)
class Run:
    """The best run of a place with one seed. `parameters`, `small` and tokens are in millions."""

    arm: str
    shape: str
    small_shape: str
    parameters: float
    tokens: float
    small: float
    small_tokens: float
    seed: int
    loss: float
    held_out: bool

    @property
    def group(self) -> tuple[str, float, float]:
        """What a bootstrap resamples as one: the runs of a cell, or those from a random start with a shape and a budget."""
        return (self.small_shape or self.shape, self.small_tokens, self.tokens)


@dataclass(frozen=True)
class Measured:
    """Runs, and the pairs (grown, rival) among them, by index."""

    runs: tuple[Run, ...]
    pairs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, runs: Iterable[Run]) -> "Measured":
        """Pair each grown run with the small model trained on for as many tokens, and with a random start of its shape."""
        kept = tuple(runs)
        index = {(r.arm, r.shape, r.small_shape, r.small_tokens, r.tokens, r.seed): i for i, r in enumerate(kept)}
        pairs = []
        for i, run in enumerate(kept):
            if run.arm == EXACT:
                at = (run.tokens, run.seed)
                rivals = [
                    (CONTINUED, run.small_shape, run.small_shape, run.small_tokens, *at),
                    (SCRATCH, run.shape, "", 0.0, *at),
                ]
                pairs += [(i, index[rival]) for rival in rivals if rival in index]
        return cls(kept, tuple(pairs))

    def part(self, held_out: bool) -> "Measured":
        return Measured.of(run for run in self.runs if run.held_out == held_out)

    @property
    def settings(self) -> Setting:
        return Setting(
            np.array([run.arm for run in self.runs]),
            *(np.array([getattr(run, name) for run in self.runs]) for name in Setting._fields[1:]),
        )

    @property
    def losses(self) -> np.ndarray:
        return np.array([run.loss for run in self.runs])

    def differences(self, losses: np.ndarray) -> np.ndarray:
        """Of losses of all runs: grown minus rival, for each pair."""
        grown, rival = np.array(self.pairs, dtype=int).reshape(-1, 2).T
        return losses[grown] - losses[rival]


def read_runs(folder: Path, grid: Grid) -> Measured:
    """The finished runs among the places of a grid; what is not finished yet is left out.

    Raises:
        StepError: there are no records, or a file is not a record.
    """
    records = [_read(path) for path in sorted((folder / "records").glob("*.json"))]
    if not records:
        raise StepError(f"{folder}: no records of training runs; run components.study.growth.law.measure first")
    best: dict[tuple[Place, int], Mapping[str, Any]] = {}
    for record in records:
        key = place_of(record), record["seed"]
        if record["validation_loss"] is not None and (
            key not in best or record["validation_loss"] < best[key]["validation_loss"]
        ):
            best[key] = record
    apart, sizes = held_out_places(grid), {r["shape"]: r["parameters"] for r in records if r["parameters"]}
    wanted = places(grid)
    return Measured.of(
        _run(place, seed, record, sizes, place in apart)
        for (place, seed), record in sorted(best.items())
        if place in wanted
    )


def place_of(record: Mapping[str, Any]) -> Place:
    source = record["source"] or {"shape": "", "tokens": 0}
    return record["arm"], record["shape"], source["shape"], source["tokens"], record["tokens"]


def places(grid: Grid, held_out: bool | None = None) -> set[Place]:
    """The places of all cells of a grid; with `held_out`, of those that are set apart, or of the others."""
    found = set()
    for stage in grid.stages.values():
        cells = [cell for cell in stage.cells if held_out is None or (cell in stage.held_out) == held_out]
        for arm, shape, cell in runs_of(stage, cells):
            _, _, before, tokens = start_of(stage, shape, arm, cell)
            found.add((arm, shape, stage.small if before else "", before, tokens))
    return found


def held_out_places(grid: Grid) -> set[Place]:
    """The places that only cells set apart need."""
    return places(grid, held_out=True) - places(grid, held_out=False)


def _run(place: Place, seed: int, record: Mapping[str, Any], sizes: Mapping[str, int], held_out: bool) -> Run:
    arm, shape, small, before, tokens = place
    size, small_size = record["parameters"] / MILLION, sizes.get(small, 0) / MILLION
    return Run(
        arm,
        shape,
        small,
        size,
        tokens / MILLION,
        small_size,
        before / MILLION,
        seed,
        record["validation_loss"],
        held_out,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if missing := {"arm", "shape", "source", "tokens", "seed", "validation_loss", "parameters"} - set(record):
            raise ValueError(f"no {min(missing)}")
        return record
    except (OSError, ValueError, TypeError) as error:
        raise StepError(f"{path} is not a record of the grid ({error}); remove it and train the grid again") from error
