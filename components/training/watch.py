"""Reports a training run on the screen and in MLflow: loss, learning rate, throughput, utilisation."""

import sys
import time

import torch
from lightning.pytorch import Trainer

from components.running.progress import Progress
from components.tracking import Tracker
from components.training.callbacks import Curve, StepCallback, learning_rate
from components.training.module import PhiTraining

TRACK_EVERY = 20  # steps; each call to MLflow costs milliseconds


class Watch(StepCallback):
    """Reports progress to the screen and MLflow.

    Args:
        curve: the time of its validations does not count in the throughput.
        ceiling: FLOP/s of matrix products on all devices together, which are a utilisation of 1.
    """

    def __init__(self, tracker: Tracker, curve: Curve, ceiling: float) -> None:
        self.tracker, self.curve, self.cost, self.ceiling = tracker, curve, curve.cost, ceiling

    def on_train_start(self, trainer: Trainer, module: PhiTraining) -> None:
        self.screen = Bar(module.steps) if sys.stdout.isatty() else Progress(module.steps)
        self._last_step, self._since = module.first_step, self._clock()
        self._speed = 0.0

    def on_step(self, trainer: Trainer, module: PhiTraining, step: int) -> None:
        now = self._clock()
        if step % TRACK_EVERY == 0 or step == module.steps or now - self._since > 1.0:
            self._speed = self.cost.tokens(step - self._last_step) / max(now - self._since, 1e-9)
            self._last_step, self._since = step, now
        loss, rate = float(module.step_loss), learning_rate(module, step)
        self.screen.update(step, loss=loss, lr=rate, tokens_per_second=self._speed)
        if step % TRACK_EVERY == 0:
            metrics = {
                "loss": loss,
                "learning_rate": rate,
                "gradient_norm": float(module.gradient_norm),
                "tokens_per_second": self._speed,
                "utilisation": self._speed * self.cost.flops_per_token / self.ceiling,
                "tokens": self.cost.tokens(step),
                "flops": self.cost.flops(step),
            }
            self.tracker.metrics(metrics, step=step)

    def _clock(self) -> float:
        """Seconds, without those of validations."""
        return time.monotonic() - self.curve.seconds

    def on_train_end(self, trainer: Trainer, module: PhiTraining) -> None:
        if isinstance(self.screen, Bar):
            self.screen.close()

    def on_exception(self, trainer: Trainer, module: PhiTraining, exception: BaseException) -> None:
        if hasattr(self, "screen"):
            self.on_train_end(trainer, module)


class Bar:
    """A progress bar for a terminal, with the same metrics as the progress lines."""

    def __init__(self, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        metrics = TextColumn("{task.fields[metrics]}")
        self._bar = Progress(TextColumn("steps"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), metrics)
        self._task = self._bar.add_task("steps", total=total, metrics="")
        self._bar.start()

    def update(self, done: int, loss: float, lr: float, tokens_per_second: float) -> None:
        metrics = f"loss {loss:.3f}  lr {lr:.1e}  {tokens_per_second:,.0f} tokens/s"
        self._bar.update(self._task, completed=done, metrics=metrics)

    def close(self) -> None:
        self._bar.stop()


def matmul_ceiling(device: torch.device | str, dtype: torch.dtype, seconds: float = 0.2) -> float:
    """FLOP/s of large matrix products on this device with the current number of threads: the best of several. The
    published peak of a device is never reached, least of all on a shared machine.

    Args:
        seconds: time to measure.
    """
    size = 4096 if torch.device(device).type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best, until = 0.0, time.monotonic() + seconds
    while best == 0.0 or time.monotonic() < until:
        started = time.monotonic()
        (a @ b)[0, 0].item()  # reading a value waits for the device
        best = max(best, 2 * size**3 / (time.monotonic() - started))
    return best
