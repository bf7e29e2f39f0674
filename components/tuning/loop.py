"""Fine-tuning in the training loop of components.training: the objective as its step, and its curve."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from components.params import TrainingParams
from components.phi.model import IGNORE, Phi
from components.tracking import Tracker
from components.training.callbacks import Curve, learning_rate
from components.training.cost import Cost
from components.training.data import HeldOut
from components.training.module import PhiTraining
from components.training.start import Start
from components.tuning.objectives import Objective, margins
from components.tuning.packing import Texts


class TuningModule(PhiTraining):
    """Trains by an objective instead of the loss over all tokens."""

    def __init__(
        self,
        start: Start,
        settings: TrainingParams,
        learning_rate: float,
        steps: int,
        describe: Callable[[int], str],
        objective: Objective,
    ) -> None:
        super().__init__(start, settings, learning_rate, steps, describe)
        self.objective = objective

    def training_step(self, batch: Texts, batch_idx: int) -> Tensor:  # type: ignore[override]
        loss = self.objective(self.model, batch) * batch.weight
        self._micro.append((loss.detach(), batch.starts))
        return loss


@dataclass(frozen=True)
class Answers:
    """Held-out examples of the tuning data: their micro-batches."""

    batches: Sequence[Texts]
    preferences: bool

    @torch.no_grad()
    def measure(self, model: Phi, objective: Objective, device: torch.device) -> dict[str, float]:
        """The objective's mean over them, and for preferences the share of pairs that the model ranks right by more than at
        its start."""
        total = weight = right = 0.0
        for batch in self.batches:
            here = batch.to(device)
            size = batch.count if self.preferences else int((batch.targets != IGNORE).sum())
            total, weight = total + float(objective(model, here)) * size, weight + size
            if self.preferences:
                right += float((margins(model, here) > 0).sum())
        found = {"held_out_loss": total / weight}
        return found | ({"preferred": 2 * right / weight} if self.preferences else {})


class TuningCurve(Curve):
    """The curve of a fine-tuning run: the loss on held-out examples of its data, and on held-out text of the pre-training,
    which shows what is forgotten."""

    def __init__(self, answers: Answers | None, text: HeldOut | None, tracker: Tracker, cost: Cost) -> None:
        super().__init__(text, tracker, cost)  # type: ignore[arg-type]
        self.answers, self.text = answers, text

    def _measure(self, module: PhiTraining, step: int) -> None:
        assert isinstance(module, TuningModule)
        started = time.monotonic()
        row: dict[str, Any] = {
            "step": step,
            "tokens": self.cost.tokens(step),
            "flops": self.cost.flops(step),
            "loss": module.mean_loss() if step else float("nan"),
            "learning_rate": learning_rate(module, max(step, 1)),
            "gradient_norm": float(module.gradient_norm),
        }
        if self.answers is not None:
            row |= self.answers.measure(module.model, module.objective, module.device)
        if self.text is not None:
            self.last = module.validate_on(self.text)
            row |= {"validation_loss": self.last.loss, "bits_per_byte": self.last.bits_per_byte}
        self.seconds += time.monotonic() - started
        self.rows.append(row)
        self._log(row)

    def _log(self, row: dict[str, float]) -> None:
        known = {name: value for name, value in row.items() if name != "step" and value == value}
        self.tracker.metrics(known, step=int(row["step"]))

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.rows[0])
