"""Lightning callbacks: `Curve` measures the held-out loss at even distances, `KeepState` saves and restores the state of
a run."""

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
from components.training.processes import rank
from components.training.resume import Due, Group, State, StateFolder, random_state, restore_random_state, save_rows
from components.training.schedule import learning_rate_factor, validation_steps
from components.training.sharding import part_of
from components.training.share import Along

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
    """Measures the held-out loss at evenly spaced steps and stores one row each, with the mean training loss since the
    previous row. Row 0 is the start, with the loss and gradient norm of the first step, before any update.

    Attributes:
        along: measures the share of the new entries of a grown model at each validation.
        rows: one per validation, with the columns CURVE, and those of `along`.
        last: the last validation, by kind of document.
        seconds: time spent on validations.
        executions: how the run was executed (`train.execution_of`), and from which step on; more than one if it was
            interrupted and went on otherwise.
    """

    last: HeldOutLoss

    def __init__(self, held_out: HeldOut, tracker: Tracker, cost: Cost, along: Along | None = None) -> None:
        self.held_out, self.tracker, self.cost, self.along = held_out, tracker, cost, along
        self.rows: list[dict[str, float]] = []
        self.executions: list[dict[str, Any]] = []
        self.seconds = 0.0

    def begin(self, execution: dict[str, Any], step: int) -> None:
        """The run begins or goes on at a step."""
        before = (
            {key: value for key, value in self.executions[-1].items() if key != "step"} if self.executions else None
        )
        if before == execution:
            return
        self.executions.append({"step": step} | execution)
        if before is not None:
            changed = [
                f"{key} {before[key]} is {value} now" for key, value in execution.items() if before[key] != value
            ]
            print(
                f"note: {', '.join(changed)}; the result may differ by rounding from one without the change", flush=True
            )

    def on_train_start(self, trainer: Trainer, module: PhiTraining) -> None:
        self.steps = set(validation_steps(module.steps, module.settings.validations))
        for row in self.rows:  # of an interrupted run, which had its own run in MLflow
            self._log(row)
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
        if self.along is not None:
            row |= self.along.measure(module, self.last, self.rows[0] if self.rows else None)
        self.seconds += time.monotonic() - started
        self.rows.append(row)
        self._log(row)
        by_kind = {
            f"{metric}.{kind}": metrics[metric]
            for kind, metrics in self.last.by_kind().items()
            for metric in ("validation_loss", "bits_per_byte")
        }
        self.tracker.metrics(by_kind, step=step)

    def _log(self, row: dict[str, float]) -> None:
        """Log the row by step, and its loss by tokens and by FLOPs: MLflow draws curves over integer steps only."""
        step = int(row["step"])
        logged = ("validation_loss", "bits_per_byte", "tokens", "flops", *Along.columns)
        self.tracker.metrics({k: row[k] for k in logged if k in row}, step=step)
        for axis, place in (("tokens", row["tokens"]), ("gigaflops", row["flops"] // 10**9)):
            self.tracker.metrics({f"validation_loss_by_{axis}": row["validation_loss"]}, step=int(place))

    def along_training(self) -> list[dict[str, float]]:
        """The share of the new entries after each validation but the first: step, tokens, loss and the columns of `along`."""
        kept = ("step", "tokens", "validation_loss", *Along.columns)
        return [{key: row[key] for key in kept if key in row} for row in self.rows[1:]]

    @property
    def columns(self) -> tuple[str, ...]:
        return CURVE if self.along is None else (*CURVE, *Along.columns)

    def write(self, path: Path) -> None:
        """One CSV row per validation; equal runs give equal bytes."""
        with atomic_file(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)


class KeepState(StepCallback):
    """Saves the state of the run at intervals of time and of steps, and restores the state of an interrupted run. Must be
    the last callback, so that the state after a step includes what the others did at it.

    With several devices or a GPU the state is copied, and written while training goes on; each device writes the rows that
    it has.

    Args:
        folder: folder for the states; None in the processes of further devices.
        directory: where further devices write their rows.
        saved: the state to restore.
        optimizer: initial state of the optimizer in a fresh run, if its checkpoint has one.
    """

    def __init__(
        self,
        curve: Curve,
        folder: StateFolder | None,
        directory: Path | None,
        saved: State | None,
        due: Due,
        optimizer: dict[str, torch.Tensor] | None = None,
    ) -> None:
        self.curve, self.folder, self.directory, self.saved, self.due = curve, folder, directory, saved, due
        self.optimizer = optimizer
        self.must_stop, self.kept = False, -1  # kept: the step of the last state
        self._writer: threading.Thread | None = None

    def listen(self, trainer: Trainer, module: PhiTraining) -> None:
        """With several devices, handle SIGTERM in place of Lightning: its handler would interrupt the other devices in
        the middle of a step. The first process passes the signal on between two steps."""
        if trainer.world_size > 1 and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN if trainer.global_rank else self._request_stop)

    def _request_stop(self, *_: Any) -> None:
        self.must_stop = True

    def on_fit_start(self, trainer: Trainer, module: PhiTraining) -> None:
        """Runs before the curve starts, when the optimizer exists and the weights are loaded."""
        if self.saved is not None:
            restore(self.saved, module, self.curve)
        elif self.optimizer is not None:
            module.optimizer.load_tensors(self.optimizer)
        if self.optimizer is not None:
            self.optimizer.clear()
        self.saved = self.optimizer = None

    def on_step(self, trainer: Trainer, module: PhiTraining, step: int) -> None:
        due, stop = self.due.now(step), self.must_stop
        if trainer.world_size > 1:
            due, stop = (trainer.strategy.reduce_boolean_decision(flag, all=False) for flag in (due, stop))
        if (due or stop) and step < module.steps:
            self.keep(module)
        if stop and step < module.steps:
            raise SIGTERMException

    def keep(self, module: PhiTraining) -> None:
        """Save the state after the last finished step, unless it is saved already."""
        if self.kept == module.step:
            return
        self.wait()
        self.kept = module.step
        self.due.done()
        devices, aside = module.trainer.world_size, module.trainer.world_size > 1 or module.device.type == "cuda"
        state = capture(module, self.curve, copy=aside)
        rows = devices if state.places else 1
        if not aside:
            self._write(state, rows)
        elif self.folder is not None or (rows > 1 and self.directory is not None):
            self._writer = threading.Thread(target=self._write, args=(state, rows), daemon=True)
            self._writer.start()

    def wait(self) -> None:
        """Wait until the last state is written."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None

    def _write(self, state: State, devices: int) -> None:
        started = time.monotonic()
        if self.folder is None:
            assert self.directory is not None
            save_rows(state, self.directory, rank())
            return
        try:
            self.folder.save(state, devices)
        except OSError as error:  # the run continues, and an earlier state is still usable
            print(f"note: the state after step {state.step} was not saved: {error}; free some space", flush=True)
        self.due.done(time.monotonic() - started)


def capture(module: PhiTraining, curve: Curve, copy: bool = False) -> State:
    """The state that the rest of the run depends on: this device's rows of what is sharded, and in the first device's
    process all that is not.

    Args:
        copy: the tensors must not change while training goes on.
    """
    tensors: dict[str, torch.Tensor] = {f"model.{name}": p for name, p in module.model.named_parameters()}
    tensors |= {f"optimizer.{name}": value for name, value in module.optimizer.stored().items()}
    values: dict[str, Any] = {
        "rows": list(curve.rows),
        "executions": curve.executions,
        "spikes": list(module.spikes.window),
    }
    values["losses"] = [float(loss) for loss in module.losses]
    values["gradient_norm"] = float(module.gradient_norm)
    if module.average is not None:
        tensors |= {f"average.{name}": value for name, value in module.average.tensors.items()}
        values["average_updates"] = module.average.updates
    parts = {name: part_of(tensor) for name, tensor in tensors.items()}
    places = {name: place for name, (_, place) in parts.items() if place is not None}
    mine = {name: rows.to("cpu", copy=copy) for name, (rows, _) in parts.items() if not rank() or name in places}
    return State(module.step, values, mine if rank() else mine | random_state(), places)


def restore(state: State, module: PhiTraining, curve: Curve) -> None:
    """Restore a state, except for the model's weights, which `train.fit` has loaded already."""
    module.optimizer.load_tensors(Group(state, "optimizer"))
    values = state.values
    module.losses = [torch.tensor(loss, device=module.device) for loss in values["losses"]]
    module.gradient_norm = torch.tensor(values["gradient_norm"])
    module.spikes.window.extend(values["spikes"])
    curve.rows = [dict(row) for row in values["rows"]]
    if module.average is not None:
        module.average.load(Group(state, "average"), values["average_updates"])
    restore_random_state(state.tensors)


def learning_rate(module: PhiTraining, step: int) -> float:
    """The learning rate of optimizer step number `step` (from 1)."""
    return module.learning_rate * learning_rate_factor(step - 1, module.steps, module.settings)
