"""Which training runs a grid makes, with runs whose loss is a function of the rate."""

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest

from components.params import Params
from components.study.growth.law import measure
from components.study.growth.law.grid import Grid, Training

BEST = {"scratch": 0.064, "continued": 0.008, "exact": 0.024}


class Here(Executor):
    """Stands for a pool of processes: makes each run at once."""

    def map(self, fn: Callable[..., Any], *lists: Iterable[Any], **limits: Any) -> Iterator[Any]:
        return map(fn, *lists)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Training]:
    """The runs in the order in which they are made, each once; a loss is lowest at the arm's BEST rate."""
    done: list[Training] = []

    def make(place: measure.Place, training: Training) -> dict[str, Any]:
        assert training.source is None or training.source in done
        if training not in done:
            done.append(training)
        return {"validation_loss": 3 + abs(math.log2(training.rate / BEST[training.arm]))}

    monkeypatch.setattr(measure, "make", make)
    return done


def test_a_stage_sweeps_rates_and_trains_each_cell_at_the_best(
    grid: Grid, made: list[Training], tmp_path: Path
) -> None:
    place = measure.Place(Params(), grid, tmp_path, "tokens", tmp_path)
    stage = grid.stages["S"]
    for seed in stage.seeds:
        measure.measure(stage, seed, place, Here())
    tried = {run.rate for run in made if run.arm == "scratch" and run.tokens == 60_000 and run.shape == "0.46M"}
    assert tried == {0.016, 0.032, 0.064, 0.128}  # outwards until the best has neighbours on both sides
    best = [run for run in made if run.rate == BEST[run.arm]]
    assert {run.seed for run in best} == {1, 2}
    assert len(best) == 2 * 36  # each place with each seed
    assert all(run.source is None or run.source.seed == run.seed for run in made)
    assert all(run.seed == 1 for run in made if run not in best)  # one seed sweeps
    before = len(made)
    measure.measure(stage, 1, place, Here())
    assert len(made) == before


def test_a_stage_with_rates_has_no_sweep(grid: Grid, made: list[Training], tmp_path: Path) -> None:
    place = measure.Place(Params(), grid, tmp_path, "tokens", tmp_path)
    measure.measure(grid.stages["P"], 1, place, Here())
    assert [(run.arm, run.shape, run.rate) for run in made] == [
        ("scratch", "0.46M", 0.016),
        ("scratch", "0.28M", 0.016),
        ("continued", "0.28M", 0.004),
        ("exact", "0.46M", 0.012),
    ]


def test_a_diverged_run_is_a_bad_rate_but_not_a_failure(
    grid: Grid, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    losses = {0.016: 3.0, 0.032: None, 0.008: 3.2}
    monkeypatch.setattr(measure, "make", lambda place, training: {"validation_loss": losses[training.rate]})
    rates = measure.Rates(grid.stages["S"], measure.Place(Params(), grid, tmp_path, "t", tmp_path), Here())
    cell = grid.stages["S"].swept[0]
    rates.sweep([("scratch", "0.16M", cell)])
    assert rates.training("scratch", "0.16M", cell, seed=2).rate == 0.016
