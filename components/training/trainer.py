"""Makes Lightning's Trainer, for one device or several, and manages its processes."""

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy

from components.errors import StepError
from components.params import TrainingParams
from components.running.cli import WITHIN
from components.training.processes import rank


def quiet_trainer(settings: TrainingParams, **arguments: Any) -> Trainer:
    """A Trainer that doesn't print, log or save by itself, on GPUs if there are any, else on processes of the CPU.

    Raises:
        StepError: fewer GPUs than `training.devices`.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    gpus = torch.cuda.device_count()
    if 0 < gpus < settings.devices:
        raise StepError(
            f"training.devices is {settings.devices}, but this machine has {gpus} GPUs; set it to at most {gpus}"
        )
    return Trainer(
        accelerator="gpu" if gpus else "cpu",
        devices=settings.devices,
        strategy=strategy_of(settings, "nccl" if gpus else "gloo"),
        # This process starts those of further devices. Lightning would take a scheduler's variables (SLURM, LSF) for its
        # own launcher's, and refuse a job with another number of tasks.
        plugins=[LightningEnvironment()],
        max_epochs=1,
        precision="32-true",  # precision of the weights; the model casts its activations itself
        use_distributed_sampler=False,  # the loader reads its device's part by itself
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **arguments,
    )


def strategy_of(settings: TrainingParams, backend: str) -> Strategy | str:
    """Lightning's strategy: DDP or FSDP2 for several devices."""
    if settings.devices == 1:
        return "auto"
    if settings.strategy == "ddp":
        return DDPStrategy(process_group_backend=backend, gradient_as_bucket_view=True)
    return ModelParallelStrategy(
        data_parallel_size=settings.devices, tensor_parallel_size=1, process_group_backend=backend
    )


@contextmanager
def interrupt_as_termination() -> Iterator[list[int]]:
    """Make the first Ctrl-C end the run like SIGTERM, which saves its state, and the second one end it at once. Yields a
    list that begins with the signal that ended the run."""
    stopped_by = [int(signal.SIGTERM)]
    if threading.current_thread() is not threading.main_thread():  # only the main thread can handle signals
        yield stopped_by
        return

    def terminate(*_: Any) -> None:
        stopped_by[0] = int(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
        os.kill(os.getpid(), signal.SIGTERM)

    # A terminal sends the signal to the processes of all devices; the first one passes it on.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if rank() else terminate)
    try:
        yield stopped_by
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def one_tracker(devices: int) -> Iterator[None]:
    """Keep the processes of further devices from opening MLflow runs."""
    before = os.environ.get(WITHIN)
    if devices > 1:
        os.environ[WITHIN] = "1"
    try:
        yield
    finally:
        if devices > 1 and before is None:
            del os.environ[WITHIN]
