"""What watches a training run: validations for the curve, progress for the screen, metrics for MLflow."""

import csv
import math
import sys
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from components.files import atomic_file
from components.progress import Progress
from components.tracking import Tracker
from components.training.data import Batch, HeldOut
from components.training.module import PhiTraining
from components.training.schedule import learning_rate_factor, validation_steps

CURVE = ("step", "tokens", "flops", "loss", "learning_rate", "gradient_norm", "validation_loss")
TRACK_EVERY = 20  # steps; each call to MLflow costs milliseconds


class StepCallback(Callback):
    """A callback with `on_step`, called once an optimizer step (Lightning calls once a micro-batch)."""

    _last = 0

    def on_train_batch_end(
        self, trainer: Trainer, module: PhiTraining, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if trainer.global_step > self._last:
            self._last = trainer.global_step
            self.on_step(trainer, module, trainer.global_step)

    def on_step(self, trainer: Trainer, module: PhiTraining, step: int) -> None:
        raise NotImplementedError


class Curve(StepCallback):
    """Measures the held-out loss at evenly spaced steps and keeps a row for each, with the training loss since the row
    before. Row 0 is the start: its loss and gradient norm are those of the first step, taken before any update."""

    def __init__(self, held_out: HeldOut, tracker: Tracker, batch_tokens: int, flops_per_token: int) -> None:
        self.held_out, self.tracker = held_out, tracker
        self.batch_tokens, self.flops_per_token = batch_tokens, flops_per_token
        self.rows: list[dict[str, float]] = []

    def on_train_start(self, trainer: Trainer, module: PhiTraining) -> None:
        self.steps = set(validation_steps(module.steps, module.settings.validations))
        self._measure(module, 0)

    def on_step(self, trainer: Trainer, module: PhiTraining, step: int) -> None:
        if step == 1:
            self.rows[0]["loss"] = float(module.losses[0])
            self.rows[0]["gradient_norm"] = float(module.gradient_norm)
        if step in self.steps:
            self._measure(module, step)

    def _measure(self, module: PhiTraining, step: int) -> None:
        tokens = step * self.batch_tokens
        row = {
            "step": step,
            "tokens": tokens,
            "flops": tokens * self.flops_per_token,
            "loss": module.mean_loss() if step else math.nan,
            "learning_rate": learning_rate(module, max(step, 1)),
            "gradient_norm": float(module.gradient_norm),
            "validation_loss": module.validation_loss(self.held_out),
        }
        self.rows.append(row)
        self.tracker.metrics({name: row[name] for name in ("validation_loss", "tokens", "flops")}, step=step)

    def write(self, path: Path) -> None:
        """One CSV row a validation; equal runs give equal bytes."""
        with atomic_file(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, CURVE, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)


class Watch(StepCallback):
    """Tells the screen and MLflow how it goes: loss, learning rate, gradient norm, tokens a second."""

    def __init__(self, tracker: Tracker, batch_tokens: int) -> None:
        self.tracker, self.batch_tokens = tracker, batch_tokens

    def on_train_start(self, trainer: Trainer, module: PhiTraining) -> None:
        self.screen = Bar(module.steps) if sys.stdout.isatty() else Progress(module.steps)
        self._told, self._since = 0, time.monotonic()
        self._speed = 0.0

    def on_step(self, trainer: Trainer, module: PhiTraining, step: int) -> None:
        now = time.monotonic()
        if step % TRACK_EVERY == 0 or step == module.steps or now - self._since > 1.0:
            self._speed = (step - self._told) * self.batch_tokens / max(now - self._since, 1e-9)
            self._told, self._since = step, now
        loss, rate = float(module.last_loss), learning_rate(module, step)
        self.screen.update(step, loss=loss, lr=rate, tokens_per_second=self._speed)
        if step % TRACK_EVERY == 0:
            self.tracker.metrics(
                {
                    "loss": loss,
                    "learning_rate": rate,
                    "gradient_norm": float(module.gradient_norm),
                    "tokens_per_second": self._speed,
                    "tokens": step * self.batch_tokens,
                },
                step=step,
            )

    def on_train_end(self, trainer: Trainer, module: PhiTraining) -> None:
        if isinstance(self.screen, Bar):
            self.screen.close()

    def on_exception(self, trainer: Trainer, module: PhiTraining, exception: BaseException) -> None:
        self.on_train_end(trainer, module)


class Bar:
    """A progress bar for a person at a terminal, with the same figures as the progress lines."""

    def __init__(self, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("steps"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}"),
        )
        self._bar = Progress(*columns)
        self._task = self._bar.add_task("steps", total=total, said="")
        self._bar.start()

    def update(self, done: int, loss: float, lr: float, tokens_per_second: float) -> None:
        said = f"loss {loss:.3f}  lr {lr:.1e}  {tokens_per_second:,.0f} tokens/s"
        self._bar.update(self._task, completed=done, said=said)

    def close(self) -> None:
        self._bar.stop()


def learning_rate(module: PhiTraining, step: int) -> float:
    """The learning rate that optimizer step number `step` (from 1) was taken with."""
    return module.learning_rate * learning_rate_factor(step - 1, module.steps, module.settings)
