"""Our training step as in `python -m components.training`, with a border before each batch."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.models import SEED, Size
from components.params import ModelParams, Params, TrainingParams
from components.phi import checkpoint
from components.phi.model import Phi
from components.tokens import Tokens
from components.tracking import Tracker
from components.training import train
from components.training.data import Batch, BatchLoader


def bordered(loader: BatchLoader, border: Callable[[], None]) -> BatchLoader:
    """The same loader with a call of `border` before each batch."""

    class Bordered(BatchLoader):
        def __iter__(self) -> Iterator[Batch]:
            for batch in super().__iter__():
                border()
                yield batch

    loader.__class__ = Bordered
    return loader


def open_loader(tokens: Path, size: Size, sequences: int, batches: int) -> BatchLoader:
    """The loader of a run with these batches, in the order of SEED."""
    return BatchLoader(Tokens.open(tokens).split("train"), size.positions, sequences, batches, SEED)


def settings_of(size: Size, sequences: int, threads: int, **chosen: Any) -> TrainingParams:
    """The defaults with the given choices, and a validation of one sequence before the first step and after the last."""
    batch = sequences * size.positions
    shape = {"context_length": size.positions, "batch_tokens": batch, "micro_batch_tokens": batch}
    seldom = {"validations": 1, "validation_tokens": size.positions, "threads": threads}
    return TrainingParams(**shape | seldom | chosen)


def run_training(
    tokens: Path, size: Size, settings: TrainingParams, steps: int, learning_rate: float, border: Callable[[], None]
) -> Phi:
    """The step, from tokens to checkpoint, with random weights of SEED; `border` is called before each batch."""
    section = ModelParams(model=size.shape, tokens=steps * settings.batch_tokens, learning_rate=learning_rate)
    params = Params(seed=SEED, small=section, training=settings)
    open_loader_of_the_step = train.open_loader
    train.open_loader = lambda *arguments: bordered(open_loader_of_the_step(*arguments), border)
    try:
        with tempfile.TemporaryDirectory() as folder:
            outputs = {"output": Path(folder) / "checkpoint", "state": Path(folder) / "state"}
            train.run({"model": "small", "tokens": tokens}, outputs, params, Tracker())
            return checkpoint.load(outputs["output"], _activations(settings))
    finally:
        train.open_loader = open_loader_of_the_step


def _activations(settings: TrainingParams) -> Any:
    from components.phi.machine import activation_dtype

    return activation_dtype(settings.precision)
