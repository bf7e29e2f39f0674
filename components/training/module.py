"""The training step as a LightningModule: loss, optimizer, schedule, clipping, and a stop at the first NaN."""

import signal
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from components.errors import StepError
from components.params import TrainingParams
from components.phi.model import Phi
from components.training.data import Batch, HeldOut
from components.training.schedule import learning_rate_factor


class PhiTraining(LightningModule):
    """Trains a Phi for a fixed number of optimizer steps.

    Attributes:
        gradient_norm: before clipping, of the last optimizer step.
        last_loss: of the last micro-batch.
        losses: of the micro-batches since the last `mean_loss`.
    """

    def __init__(
        self,
        model: Phi,
        settings: TrainingParams,
        learning_rate: float,
        steps: int,
        describe: Callable[[int], str],
    ) -> None:
        """`describe` names the document at a position of the training stream, for the message of a failed step."""
        super().__init__()
        self.model, self.settings, self.learning_rate, self.steps = model, settings, learning_rate, steps
        self.describe = describe
        self.gradient_norm = self.last_loss = torch.zeros(())
        self.losses: list[Tensor] = []

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.model.loss(batch.tokens, batch.targets)
        self._check_finite(loss, "loss", batch)
        self.last_loss = loss.detach()
        self.losses.append(self.last_loss)
        self.last_batch = batch
        return loss

    def configure_optimizers(self) -> dict[str, Any]:
        settings = self.settings
        groups = parameter_groups(self.model, settings.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, betas=(settings.beta1, settings.beta2), fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, self.steps, settings)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *unused: Any, **ignored: Any) -> None:
        """Clip to `gradient_clip` and remember the norm, which is measured even where clipping is off."""
        limit = self.settings.gradient_clip or torch.inf
        self.gradient_norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self._check_finite(self.gradient_norm, "gradient norm", self.last_batch)

    @torch.no_grad()
    def validation_loss(self, held_out: HeldOut) -> float:
        """Mean cross-entropy over the held-out tokens, in nats a token."""
        total = 0.0
        for batch in held_out.batches:
            if self._trainer is not None and self._trainer.received_sigterm:
                raise SystemExit(128 + signal.SIGTERM)  # Lightning itself looks only between training batches
            on_device = batch.to(self.device)
            total += float(self.model.loss(on_device.tokens, on_device.targets)) * batch.tokens.numel()
        return total / held_out.tokens

    def mean_loss(self) -> float:
        """Mean training loss since the last call, in nats a token."""
        mean = float(torch.stack(self.losses).mean())
        self.losses.clear()
        return mean

    def _check_finite(self, value: Tensor, what: str, batch: Batch) -> None:
        if torch.isfinite(value):
            return
        documents = list(dict.fromkeys(self.describe(start) for start in batch.starts))
        shown = ", ".join(documents[:5]) + (f" and {len(documents) - 5} more" if len(documents) > 5 else "")
        raise StepError(
            f"the {what} is {value.item()} at step {self.global_step + 1} of {self.steps}, in a batch that begins in: "
            f"{shown}; lower the learning rate (now {self.learning_rate:g}) or look at these documents"
        )


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay, the embedding among them; gains and biases do not."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
