"""The plan of the grid, from its file: stages, shapes, cells, and the training runs that they need."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from components.errors import StepError
from components.foreign import yaml_text
from components.params import ModelShape
from components.study.growth.arms import CONTINUED, SCRATCH

EXACT = "exact"
ARMS = (SCRATCH, CONTINUED, EXACT)


class Cell(NamedTuple):
    """Tokens of the small model, then tokens of what follows it."""

    small_tokens: int
    large_tokens: int


@dataclass(frozen=True)
class Training:
    """One training run of the grid.

    Attributes:
        shape: name of the trained model's shape.
        tokens: training tokens of this run alone.
        rate: peak learning rate; of a grown model, that of the weights that growth added.
        source: the training run of the small model that this one starts from; None from a random start.
    """

    arm: str
    shape: str
    tokens: int
    seed: int
    rate: float
    source: "Training | None" = None


@dataclass(frozen=True)
class Stage:
    """Cells of one small shape and its larger shapes.

    Attributes:
        swept: cells in which learning rates are swept; without any, `rates` gives them.
        held_out: cells set apart before any fit, to judge the law.
        predicted: the law never sees this stage; its losses were predicted before they were measured.
    """

    name: str
    small: str
    large: tuple[str, ...]
    small_tokens: tuple[int, ...]
    large_tokens: tuple[int, ...]
    seeds: tuple[int, ...]
    swept: tuple[Cell, ...] = ()
    rates: dict[str, float] | None = None
    held_out: tuple[Cell, ...] = ()
    predicted: bool = False

    @property
    def cells(self) -> list[Cell]:
        return [Cell(small, large) for small in self.small_tokens for large in self.large_tokens]

    def nearest(self, cell: Cell) -> Cell:
        """The swept cell nearest to a cell, by the ratios of its tokens; of equally near ones, the first."""
        return min(self.swept, key=lambda swept: sum(abs(math.log(a / b)) for a, b in zip(cell, swept, strict=True)))


@dataclass(frozen=True)
class Grid:
    """The whole plan: shapes by name, first rates of each arm's sweep, stages by name."""

    shapes: dict[str, ModelShape]
    rates: dict[str, tuple[float, ...]]
    stages: dict[str, Stage]

    def part(self, predicted: bool) -> "Grid":
        """The stages that the law is fitted to, or those that it predicts."""
        kept = {name: stage for name, stage in self.stages.items() if stage.predicted == predicted}
        return replace(self, stages=kept)


def read_grid(path: Path) -> Grid:
    """Read the plan of a grid.

    Raises:
        StepError: the file is not a plan.
    """
    try:
        plan = yaml_text.read(path)
        shapes = {
            name: ModelShape(**{"intermediate_size": 4 * shape["hidden_size"]} | shape)
            for name, shape in plan["shapes"].items()
        }
        apart = {name: tuple(Cell(*cell) for cell in cells) for name, cells in plan.get("held_out", {}).items()}
        stages = {
            name: _stage(name, shapes, held_out=apart.get(name, ()), **facts) for name, facts in plan["stages"].items()
        }
        rates = {arm: tuple(map(float, plan["rates"][arm])) for arm in ARMS}
        return Grid(shapes, rates, stages)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise StepError(f"{path} is not a plan of a grid ({reason}); compare it with studies/law/grid.yaml") from error


def _stage(name: str, shapes: dict[str, ModelShape], **facts: Any) -> Stage:
    swept = tuple(Cell(*map(int, cell)) for cell in facts.pop("swept", ()))
    lists = {key: tuple(value) for key, value in facts.items() if isinstance(value, list)}
    stage = Stage(name, swept=swept, **facts | lists)
    if unknown := {stage.small, *stage.large} - set(shapes):
        raise ValueError(f"stage {name} names shape {min(unknown)}, which `shapes` lacks")
    if not stage.swept and (stage.rates is None or set(stage.rates) != set(ARMS)):
        raise ValueError(f"stage {name} has neither `swept` cells nor `rates` of {', '.join(ARMS)}")
    return stage


def start_of(stage: Stage, shape: str, arm: str, cell: Cell) -> tuple[str, str, int, int]:
    """What a training run is, but for seed and rate: arm, shape, tokens of its source (0 without), tokens. A run from a random
    start depends on one of the cell's two numbers only."""
    if arm == SCRATCH:
        return arm, shape, 0, cell.small_tokens if shape == stage.small else cell.large_tokens
    return arm, stage.small if arm == CONTINUED else shape, cell.small_tokens, cell.large_tokens


def runs_of(stage: Stage, cells: Sequence[Cell]) -> Iterator[tuple[str, str, Cell]]:
    """Arm, shape and cell of each different training run of some cells, the small models' own first."""
    seen = set()
    each = [(SCRATCH, stage.small), (CONTINUED, stage.small)]
    each += [(arm, shape) for shape in stage.large for arm in (SCRATCH, EXACT)]
    for arm, shape in each:
        for cell in cells:
            start = start_of(stage, shape, arm, cell)
            if start not in seen:
                seen.add(start)
                yield arm, shape, cell
