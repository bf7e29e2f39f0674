"""A small grid whose losses follow a known law."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.study.growth.law.advice import Law
from components.study.growth.law.fit import fit
from components.study.growth.law.form import LAW, Setting
from components.study.growth.law.grid import Grid, read_grid
from components.study.growth.law.runs import Place, places, read_runs

SIZES = {"0.16M": 158_464, "0.28M": 283_000, "0.46M": 463_744}
TRUE = {
    "E": 1.6,
    "A": 0.5,
    "a": 0.5,
    "B": 1.2,
    "b": 0.4,
    "c": 0.8,
    "d": 0.05,
    "k": 0.9,
    "h_continued": 0.3,
    "h_exact": 0.6,
}
PLAN = """
shapes:
  0.16M: {hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2}
  0.28M: {hidden_size: 48, num_hidden_layers: 3, num_attention_heads: 2, partial_rotary_factor: 0.34}
  0.46M: {hidden_size: 64, num_hidden_layers: 4, num_attention_heads: 4}
rates: {scratch: [0.016, 0.032], continued: [0.004, 0.008], exact: [0.012, 0.024]}
held_out:
  S: [[900000, 400000]]
stages:
  S: {small: 0.16M, large: [0.28M, 0.46M], small_tokens: [100000, 300000, 900000], large_tokens: [60000, 150000, 400000],
      swept: [[100000, 60000]], seeds: [1, 2]}
  P: {small: 0.28M, large: [0.46M], small_tokens: [300000], large_tokens: [150000], seeds: [1], predicted: true,
      rates: {scratch: 0.016, continued: 0.004, exact: 0.012}}
"""


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "grid.yaml"
    path.write_text(PLAN)
    return path


@pytest.fixture(scope="session")
def grid(plan: Path) -> Grid:
    return read_grid(plan)


def true_loss(place: Place) -> float:
    arm, shape, small, before, tokens = place
    setting = Setting(arm, SIZES[shape] / 1e6, tokens / 1e6, SIZES.get(small, 0) / 1e6, before / 1e6)
    return float(LAW.loss(TRUE, setting))


def write_records(folder: Path, grid: Grid, seeds: tuple[int, ...] = (1, 2), noise: float = 0.005) -> Path:
    """One record for each place and seed, with noise, and a worse one at another rate."""
    rng = np.random.default_rng(0)
    (folder / "records").mkdir(parents=True)
    for n, (place, seed, worse) in enumerate(
        (p, s, w) for p in sorted(places(grid)) for s in seeds for w in (0.0, 0.5)
    ):
        arm, shape, small, before, tokens = place
        record = {
            "arm": arm,
            "shape": shape,
            "tokens": tokens,
            "seed": seed,
            "rate": 0.01 + worse,
            "source": {"shape": small, "tokens": before} if small else None,
            "parameters": SIZES[shape],
            "validation_loss": true_loss(place) + worse + noise * rng.standard_normal(),
        }
        (folder / "records" / f"{n:03}.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory, grid: Grid) -> Path:
    return write_records(tmp_path_factory.mktemp("grid") / "all", grid.part(predicted=False))


@pytest.fixture(scope="session")
def law(records: Path, grid: Grid) -> Law:
    measured = read_runs(records, grid.part(predicted=False))
    return Law.of(fit(LAW, measured, draws=12), measured)


@pytest.fixture(scope="session")
def written() -> Callable[..., Path]:
    return write_records
