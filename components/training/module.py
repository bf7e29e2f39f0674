"""The training step as a LightningModule: loss, optimizer, schedule, clipping, averaging, and a stop at the first NaN."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor
from torch.distributed.tensor import DTensor

from components.errors import Diverged
from components.params import TrainingParams
from components.phi.model import Compiled, Phi, chunk_loss
from components.phi.new_entries import NewEntries
from components.training.averaging import WeightAverage
from components.training.carried import CarriedEntries, carried_factor, set_back
from components.training.data import Batch, HeldOut, HeldOutLoss, by_sequence
from components.training.distillation import teacher_weight
from components.training.optimizers import PhiOptimizer
from components.training.processes import rank
from components.training.schedule import learning_rate_factor
from components.training.sharding import is_sharded, reshard, shard, sum_gradients_in, whole
from components.training.spikes import SpikeDetector
from components.training.start import Start


def loss_function(
    model: Phi, settings: TrainingParams, divide: Callable[[], None] = lambda: None
) -> Callable[..., Tensor]:
    """The model's loss, compiled if `training.compile` is set.

    Args:
        divide: shards the model. Then each block is compiled alone and before that, since its weights are gathered between
            two blocks, where a graph would break.
    """
    compiled = None
    if settings.compile:
        if not torch.cuda.is_available():
            torch.use_deterministic_algorithms(True)  # else compiled sums over threads differ from run to run
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # else each new tensor is written twice
        hidden = Phi.hidden
        if is_sharded(settings):
            for block in model.blocks:
                block.compile(dynamic=False)
        else:
            hidden = torch.compile(hidden, dynamic=False)
        compiled = Compiled(hidden, torch.compile(chunk_loss, dynamic=False))
    divide()
    return model.loss if compiled is None else partial(model.loss, compiled=compiled)


class PhiTraining(LightningModule):
    """Trains a Phi for a fixed number of optimizer steps.

    Args:
        start: the model, and what is trained with it: a teacher, and entries copied by growth.
        learning_rate: the peak.
        steps: optimizer steps of the whole run.
        describe: names the document at a position of the training stream, for the message of a failed step.

    Attributes:
        first_step: optimizer steps that an interrupted process made before this one.
        gradient_norm: gradient norm of the last optimizer step, before clipping.
        step_loss: loss of the last optimizer step, over all its micro-batches and devices, in nats per token.
        losses: losses of the steps since the last `mean_loss`, float32 scalars.
        average: average of the weights, if `training.ema_decay` is set.
    """

    optimizer: PhiOptimizer
    first_step = 0

    def __init__(
        self, start: Start, settings: TrainingParams, learning_rate: float, steps: int, describe: Callable[[int], str]
    ) -> None:
        super().__init__()
        self.model, self.settings, self.learning_rate, self.steps = start.model, settings, learning_rate, steps
        self.describe, self.start = describe, start  # the teacher in it is not a submodule: it is not trained or saved
        self.gradient_norm = self.step_loss = torch.zeros(())
        self.losses: list[Tensor] = []
        self.average: WeightAverage | None = None
        self.carried: CarriedEntries | None = None
        self.spikes = SpikeDetector(settings.spike_sigmas)
        self._micro: list[tuple[Tensor, tuple[int, ...]]] = []  # loss and stream positions of the step's micro-batches
        self._loss: Callable[..., Tensor] | None = None

    @property
    def step(self) -> int:
        """Optimizer steps since the run began, those of interrupted processes included."""
        return self.first_step + self.trainer.global_step

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)

    def configure_model(self) -> None:
        """Shard the weights over the devices and compile, if the settings ask for it. Some strategies call this twice."""
        if self._loss is None:
            self._loss = loss_function(self.model, self.settings, self._divide)

    def _divide(self) -> None:
        if self.device_mesh is not None:
            shard(self.model, self.device_mesh["data_parallel"])

    def configure_optimizers(self) -> dict[str, Any]:
        self.optimizer = PhiOptimizer(self.model, self.settings, self.learning_rate)
        if self.start.teacher is not None:
            self.start.teacher.to(self.device)
        if self.start.carried is not None:
            self.carried = CarriedEntries(self.model, self.start.carried)
        if self.settings.ema_decay:
            self.average = WeightAverage(self.model, self.settings.ema_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: learning_rate_factor(self.first_step + step, self.steps, self.settings)
        )
        return {"optimizer": self.optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        assert self._loss is not None  # Lightning configures the model first
        sum_gradients_in(self.model, (batch_idx + 1) % self.trainer.accumulate_grad_batches == 0)
        weight = teacher_weight(self.step, self.steps, self.settings)
        loss = self._loss(
            batch.tokens,
            batch.targets,
            batch.documents,
            self.settings.z_loss,
            self.start.teacher if weight else None,
            torch.tensor(weight) if self.settings.compile else weight,  # else it is compiled again for each float
            self.settings.distillation_temperature,
        )
        self._micro.append((loss.detach(), batch.starts))
        return loss

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *unused: Any, **ignored: Any) -> None:
        """Once per step, when its gradients are complete: check the loss, clip, check the norm, detect a spike."""
        losses = torch.stack([loss for loss, _ in self._micro])
        # From all devices, before they are averaged: each must know which device had the bad documents.
        gathered = self.trainer.strategy.all_gather(losses) if self.trainer.world_size > 1 else losses[None]
        self.step_loss = gathered.mean()
        self._check_finite(self.step_loss, "loss", ~gathered.isfinite())
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip or torch.inf)
        self.gradient_norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        self._check_finite(self.gradient_norm, "gradient norm")
        if spike := self.spikes.look(float(self.step_loss)):
            self.optimizer.skip = self.settings.spike_action == "skip"
            action = "its update is skipped" if self.optimizer.skip else "it is trained on"
            high = gathered >= self.step_loss.clamp(max=gathered.max())  # a mean may be rounded up, above the maximum
            documents = self._documents(high)
            print(f"note: step {self.step + 1} is a spike: {spike}; {action}; documents: {documents}", flush=True)
        self.losses.append(self.step_loss)
        self._micro.clear()

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        factor = 1.0 if self.carried is None else carried_factor(self.step, self.steps, self.settings)
        if self.carried is not None and factor < 1:
            self.carried.remember()
        super().optimizer_step(*arguments, **named)
        if self.carried is not None and factor < 1:
            self.carried.scale(factor)
        if self.average is not None:
            self.average.update()

    @torch.no_grad()
    def validate_on(self, held_out: HeldOut, entries: NewEntries | None = None) -> HeldOutLoss:
        """Cross-entropy over the held-out tokens, with the averaged weights if there are any, and with the new entries as
        growth left them if they are given."""
        with (
            self.average.applied() if self.average is not None else nullcontext(),
            set_back(self.model, entries),
        ):
            return held_out_loss(self.model, held_out, self.device, self._check_stop)

    def _check_stop(self) -> None:
        if self._stopped_early():
            raise SIGTERMException  # Lightning itself looks only between training batches

    def _stopped_early(self) -> bool:
        """Whether a validation must end at once. The last one continues, since the run is complete after it. Those on
        several devices continue too, since a device that left would make the others wait forever."""
        trainer = self._trainer
        return trainer is not None and trainer.received_sigterm and trainer.world_size == 1 and self.step < self.steps

    def trained(self) -> tuple[Phi, dict[str, Tensor]]:
        """The whole model on the CPU, with the averaged weights if there are any, and the optimizer's state, empty unless
        `training.keep_optimizer`. With sharded weights all ranks must call, and only the first gets values."""
        named = dict(self.model.named_parameters()) if self.average is None else self.average.tensors
        tensors = {name: whole(tensor) for name, tensor in named.items()}
        optimizer = self.optimizer.tensors() if self.settings.keep_optimizer else {}
        model = Phi(self.model.config, self.model.dtype)
        if not rank():
            model.load_state_dict(tensors, assign=True)
        return model.eval(), optimizer

    def mean_loss(self) -> float:
        """Mean training loss per step since the last call, in nats per token."""
        mean = float(torch.stack(self.losses).mean())
        self.losses.clear()
        return mean

    def _check_finite(self, value: Tensor, name: str, bad: Tensor | None = None) -> None:
        if torch.isfinite(value):
            return
        raise Diverged(
            f"the {name} is {value.item()} at step {self.step + 1} of {self.steps}, in a batch that begins in: "
            f"{self._documents(bad)}; lower the learning rate (now {self.learning_rate:g}) or inspect these documents"
        )

    def _documents(self, chosen: Tensor | None = None) -> str:
        """The documents in which this step's sequences begin, limited to micro-batches chosen by a bool (devices,
        micro-batches)."""
        begins: list[int] = []
        for i, (_, starts) in enumerate(self._micro):
            devices = [True] if chosen is None else chosen[:, i].tolist()
            share = len(starts) // len(devices)
            begins += [start for d, bad in enumerate(devices) if bad for start in starts[d * share : (d + 1) * share]]
        documents = list(dict.fromkeys(self.describe(start) for start in begins))
        return ", ".join(documents[:5]) + (f" and {len(documents) - 5} more" if len(documents) > 5 else "")


@torch.no_grad()
def held_out_loss(
    model: Phi, held_out: HeldOut, device: torch.device, before_batch: Callable[[], None] = lambda: None
) -> HeldOutLoss:
    """Cross-entropy of a model, which is on `device`, over the held-out tokens."""
    parts = []
    for batch, codes in zip(held_out.batches, held_out.codes, strict=True):
        before_batch()
        here = batch.to(device)
        losses = model.token_losses(here.tokens, here.targets, here.documents).double().cpu()
        parts.append(by_sequence(codes.numpy(), len(held_out.kinds), losses.numpy()))
    reshard(model)
    return HeldOutLoss(held_out, np.concatenate(parts))
