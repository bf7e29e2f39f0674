"""Lightning callbacks: `Curve` measures the held-out loss at even steps, `KeepState` keeps and restores the state of a run."""

import csv
import math
import signal
import threading
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from components.files import atomic_file
from components.tracking import Tracker
from components.training.cost import Cost
from components.training.data import Batch, HeldOut, HeldOutLoss
from components.training.module import PhiTraining
from components.training.resume import Due, State, StateFolder, random_state, restore_random_state
from components.training.schedule import learning_rate_factor, validation_steps
from components.training.sharding import whole

CURVE = ("step", "tokens", "flops", "loss", "learning_rate", "gradient_norm", "validation_loss", "bits_per_byte")


class StepCallback(Callback):
    """A callback with `on_step`, called once per optimizer step (Lightning calls once per micro-batch)."""

    _last = 0

    def on_train_batch_end(
        self, trainer: Trainer, module: PhiTraining, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if trainer.global_step > self._last:
            self._last = trainer.global_step
            self.on_step(trainer, module, module.step)

    def on_step(self, trainer: Trainer, module: PhiTraining, step: int) -> None:
        raise NotImplementedError


class Curve(StepCallback):
    """Measures the held-out loss at evenly spaced steps and stores a row for each, with the training loss since the row
    before. Row 0 is the start, with the loss and gradient norm of the first step, before any update.

    Attributes:
        rows: one per validation, with the columns CURVE.
        last: the last validation, by kind of document.
        seconds: spent on validations.
    """

    last: HeldOutLoss

    def __init__(self, held_out: HeldOut, tracker: Tracker, cost: Cost) -> None:
        self.held_out, self.tracker, self.cost = held_out, tracker, cost
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0

    def on_train_start(self, trainer: Trainer, module: PhiTraining) -> None:
        self.steps = set(validation_steps(module.steps, module.settings.validations))
        for row in self.rows:  # rows rows of an interrupted run: its own run in MLflow ended early
            self._tell(row)
        if not self.rows or (module.step in self.steps and self.rows[-1]["step"] < module.step):
            self._measure(module, module.step)  # the interrupted run may have ended within this validation

    def on_step(self, trainer: Trainer, module: PhiTraining, step: int) -> None:
        if step == 1:
            self.rows[0]["loss"] = float(module.losses[0])
            self.rows[0]["gradient_norm"] = float(module.gradient_norm)
        if step in self.steps:
            self._measure(module, step)

    def _measure(self, module: PhiTraining, step: int) -> None:
        started = time.monotonic()
        self.last = module.validate_on(self.held_out)
        self.seconds += time.monotonic() - started
        row = {
            "step": step,
            "tokens": self.cost.tokens(step),
            "flops": self.cost.flops(step),
            "loss": module.mean_loss() if step else math.nan,
            "learning_rate": learning_rate(module, max(step, 1)),
            "gradient_norm": float(module.gradient_norm),
            "validation_loss": self.last.loss,
            "bits_per_byte": self.last.bits_per_byte,
        }
        self.rows.append(row)
        self._tell(row)
        by_kind = {
            f"{figure}.{kind}": figures[figure]
            for kind, figures in self.last.by_kind().items()
            for figure in ("validation_loss", "bits_per_byte")
        }
        self.tracker.metrics(by_kind, step=step)

    def _tell(self, row: dict[str, float]) -> None:
        """Log the row by step, and its loss by tokens and by FLOPs: MLflow draws curves over whole steps only."""
        step = int(row["step"])
        self.tracker.metrics({k: row[k] for k in ("validation_loss", "bits_per_byte", "tokens", "flops")}, step=step)
        for axis, place in (("tokens", row["tokens"]), ("gigaflops", row["flops"] // 10**9)):
            self.tracker.metrics({f"validation_loss_by_{axis}": row["validation_loss"]}, step=int(place))

    def write(self, path: Path) -> None:
        """One CSV row per validation; equal runs give equal bytes."""
        with atomic_file(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, CURVE, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)


class KeepState(StepCallback):
    """Saves the state of the run by time and by steps, and restores the one that an interrupted run has left. Must be
    the last callback: what the others did at a step belongs to the state after it. Of several devices' processes the
    first writes, and all gather.

    Args:
        folder: where states are written; None in the processes that only gather.
        found: the state to restore.
        optimizer: state of the optimizer that a fresh run begins with, if its start has one.
    """

    def __init__(
        self,
        curve: Curve,
        folder: StateFolder | None,
        found: State | None,
        due: Due,
        optimizer: dict[str, torch.Tensor] | None = None,
    ) -> None:
        self.curve, self.folder, self.found, self.due, self.optimizer = curve, folder, found, due, optimizer
        self.asked, self.kept = False, -1  # to stop; the step of the last state

    def listen(self, trainer: Trainer, module: PhiTraining) -> None:
        """With several devices: handle SIGTERM instead of Lightning, whose handler would interrupt the other devices in
        the middle of their work. The first process shares it between two steps."""
        if trainer.world_size > 1 and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN if trainer.global_rank else self._ask)

    def _ask(self, *_: Any) -> None:
        self.asked = True

    def on_fit_start(self, trainer: Trainer, module: PhiTraining) -> None:
        """Runs before the curve's start, when the optimizer exists and the weights are loaded."""
        if self.found is not None:
            restore(self.found, module, self.curve)
            self.found.tensors.clear()  # whoever else holds the state: its tensors take as much memory as the run's own
        elif self.optimizer is not None:
            module.optimizer.load_tensors(self.optimizer)
        if self.optimizer is not None:
            self.optimizer.clear()
        self.found = self.optimizer = None

    def on_step(self, trainer: Trainer, module: PhiTraining, step: int) -> None:
        due, asked = self.due.now(step), self.asked
        if trainer.world_size > 1:
            due, asked = (trainer.strategy.reduce_boolean_decision(flag, all=False) for flag in (due, asked))
        if (due or asked) and step < module.steps:
            self.keep(module)
        if asked and step < module.steps:
            raise SIGTERMException

    def keep(self, module: PhiTraining) -> None:
        """Save the state after the last finished step, unless it is saved already."""
        if self.kept == module.step:
            return
        self.kept = module.step
        state = capture(module, self.curve)
        if self.folder is not None:
            try:
                self.folder.save(state)
            except OSError as error:  # the run continues, and an earlier state is still usable
                print(f"note: the state after step {state.step} was not saved: {error}; free some space", flush=True)
        self.due.done()


def capture(module: PhiTraining, curve: Curve) -> State:
    """Everything that the rest of the run depends on. With sharded weights all ranks must call."""
    tensors = {f"model.{name}": whole(p) for name, p in module.model.named_parameters()}
    tensors |= {f"optimizer.{name}": value for name, value in module.optimizer.tensors().items()}
    values: dict[str, Any] = {"rows": curve.rows, "spikes": list(module.spikes.window)}
    values["losses"] = [float(loss) for loss in module.losses]
    values["gradient_norm"] = float(module.gradient_norm)
    if module.average is not None:
        tensors |= {f"average.{name}": whole(value) for name, value in module.average.tensors.items()}
        values["average_updates"] = module.average.updates
    return State(module.step, values, tensors | random_state())


def restore(state: State, module: PhiTraining, curve: Curve) -> None:
    """Restore a state, except for the model's weights, which the model was made with (`starting_weights`)."""
    module.optimizer.load_tensors(named(state, "optimizer"))
    values = state.values
    module.losses = [torch.tensor(loss, device=module.device) for loss in values["losses"]]
    module.gradient_norm = torch.tensor(values["gradient_norm"])
    module.spikes.window.extend(values["spikes"])
    curve.rows = [dict(row) for row in values["rows"]]
    if module.average is not None:
        module.average.load(named(state, "average"), values["average_updates"])
    restore_random_state(state.tensors)


def named(state: State, group: str) -> dict[str, Any]:
    """The tensors of one group of a state, by their names within it."""
    prefix = f"{group}."
    return {name.removeprefix(prefix): value for name, value in state.tensors.items() if name.startswith(prefix)}


def learning_rate(module: PhiTraining, step: int) -> float:
    """The learning rate of optimizer step number `step` (from 1)."""
    return module.learning_rate * learning_rate_factor(step - 1, module.steps, module.settings)
