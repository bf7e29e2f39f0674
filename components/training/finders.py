"""Finds a learning rate by a range test, or a micro-batch size by throughput within the available memory."""

import functools
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from components.errors import StepError
from components.params import ModelParams, Params, TrainingParams
from components.phi.model import Phi
from components.running.cli import Paths
from components.tokens import Tokens
from components.tracking import Tracker
from components.training.capacity import (
    check_fits,
    memory_per_device,
    needed_memory,
    peak_memory,
    reset_peak_memory,
)
from components.training.data import BatchLoader
from components.training.distillation import read_teacher
from components.training.module import loss_function
from components.training.optimizers import PhiOptimizer
from components.training.start import starting_model
from components.training.train import check_compilable, open_loader

LOWEST, HIGHEST = 1e-5, 1.0  # learning rates of the range test
SMOOTHING = 0.9  # factor of the exponential average of its losses
DIVERGED = 1.5  # the range test ends when the smoothed loss is this many times the best
RANGE_STEPS = 120
REPEATS = 3  # timed steps per micro-batch size
ENOUGH = 0.95  # share of the best throughput: the smallest micro-batch that reaches it is chosen
MEMORY_SHARE = 0.8  # share of the available memory that trials may use


@dataclass(frozen=True)
class Trial:
    """A micro-batch size: tokens per second over whole steps, and the step's peak memory in bytes."""

    micro_batch_tokens: int
    tokens_per_second: float
    peak_bytes: int


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Find the setting, print it, and return it as a summary.

    Raises:
        StepError: as training itself does for the same model and tokens.
    """
    section: ModelParams = getattr(params, inputs["model"])
    tokens = Tokens.open(inputs["tokens"])
    check_compilable(params.training)
    model = starting_model(section, params.training, tokens, params.seed, inputs.get("initial"))
    model.to("cuda" if torch.cuda.is_available() else "cpu").train()
    model.recompute = params.training.recompute
    teacher = read_teacher(inputs.get("teacher"), model, params.training)
    if inputs["what"] == "learning-rate":
        alone = on_one_device(params.training)  # this process reads the data of all devices
        check_fits_alone(model, alone, teacher)
        loader = open_loader(tokens, alone, RANGE_STEPS, params.seed)
        curve = learning_rate_range(model, alone, loader, teacher)
        rate = steepest(curve)
        for lr, loss in curve[:: max(1, len(curve) // 20)]:
            print(f"  learning rate {lr:9.2e}   loss {loss:7.4f}")
        print(
            f"{inputs['model']}.learning_rate={rate:.2g} is where the loss falls fastest; sweep around it for the best rate"
        )
        return {"learning_rate": rate, "curve": curve}
    trials = batch_sizes(model, params.training, tokens, params.seed, teacher)
    chosen = best(trials)
    for trial in trials:
        mebibytes = trial.peak_bytes / 2**20
        size, speed = f"{trial.micro_batch_tokens:9,} tokens", f"{trial.tokens_per_second:11,.0f} tokens/s"
        print(f"  {size}   {speed}   {mebibytes:9,.0f} MiB")
    print(f"training.micro_batch_tokens={chosen} is the smallest within 5% of the best throughput")
    return {"micro_batch_tokens": chosen, "trials": [asdict(trial) for trial in trials]}


def learning_rate_range(
    model: Phi, settings: TrainingParams, loader: BatchLoader, teacher: Phi | None = None
) -> list[tuple[float, float]]:
    """Learning rates that rise by a constant factor from step to step, and the smoothed loss at each (Smith, "Cyclical
    Learning Rates for Training Neural Networks", arXiv 1506.01186). Ends when the loss diverges; afterwards the model is
    not usable."""
    optimizer = PhiOptimizer(model, settings, LOWEST)
    ratios = [group["lr"] / LOWEST for group in optimizer.param_groups]
    curve: list[tuple[float, float]] = []
    average, device = 0.0, next(model.parameters()).device
    loss_of = with_teacher(loss_function(model, settings), teacher, settings)
    batches = iter(loader)
    for step in range(RANGE_STEPS):
        rate = LOWEST * (HIGHEST / LOWEST) ** (step / (RANGE_STEPS - 1))
        for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
            group["lr"] = rate * ratio
        micro_batches = len(loader) // RANGE_STEPS
        losses = []
        for _ in range(micro_batches):
            batch = next(batches).to(device)
            loss = loss_of(batch.tokens, batch.targets, batch.documents, settings.z_loss)
            (loss / micro_batches).backward()
            losses.append(float(loss.detach()))
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip or torch.inf)
        optimizer.step()
        optimizer.zero_grad()
        average = SMOOTHING * average + (1 - SMOOTHING) * sum(losses) / micro_batches
        smoothed = average / (1 - SMOOTHING ** (step + 1))
        if not math.isfinite(smoothed) or (curve and smoothed > DIVERGED * min(loss for _, loss in curve)):
            break
        curve.append((rate, smoothed))
    return curve


def steepest(curve: list[tuple[float, float]]) -> float:
    """The learning rate at which the loss falls fastest over the logarithm of the learning rate.

    Raises:
        StepError: the loss never falls.
    """
    falls = [(b[1] - a[1], a[0]) for a, b in itertools.pairwise(curve)]
    if not falls or min(falls)[0] >= 0:
        raise StepError(
            f"the loss did not fall at any learning rate from {LOWEST:g} to {HIGHEST:g}; inspect the tokens and the initial weights"
        )
    return min(falls)[1]


def batch_sizes(
    model: Phi, settings: TrainingParams, tokens: Tokens, seed: int, teacher: Phi | None = None
) -> list[Trial]:
    """Measure micro-batch sizes of one device that training accepts, from one sequence on, as long as the next surely
    fits into memory.

    Args:
        teacher: a model to distil from in every step, as at the beginning of training.

    Raises:
        StepError: the smallest size does not fit, neither divided among the devices nor, as it is measured, on one.
    """
    optimizer, limit = PhiOptimizer(model, settings, LOWEST), MEMORY_SHARE * memory_per_device(settings)
    trials: list[Trial] = []
    for size in sizes(settings):
        sized = settings.model_copy(update={"micro_batch_tokens": size})
        if not trials:
            open_loader(tokens, sized, 1, seed)  # refuses what training refuses
            check_fits(model, sized, teacher)
            check_fits_alone(model, sized, teacher)
        needed = max(needed_memory(model, each, teacher).total for each in (sized, on_one_device(sized)))
        if trials and max(needed, predicted(trials, size)) > limit:
            break
        length = settings.context_length
        loader = BatchLoader(
            tokens.split("train"), length, size // length, REPEATS + 1, seed, documents=settings.document_mask
        )
        torch.compiler.reset()  # it silently stops compiling after a number of shapes
        loss_of = with_teacher(loss_function(model, settings), teacher, settings)
        try:
            trials.append(measure(model, loss_of, optimizer, loader, settings.z_loss))
        except torch.OutOfMemoryError:  # the estimate was too low; what was measured holds
            if not trials:
                raise
            print(
                f"note: {size:,} tokens do not fit into the memory, though {needed / 1e9:.1f} GB were expected",
                flush=True,
            )
            break
    return trials


def with_teacher(
    loss_of: Callable[..., Tensor], teacher: Phi | None, settings: TrainingParams
) -> Callable[..., Tensor]:
    """The loss with the teacher at its full weight, as at the beginning of a training run."""
    if teacher is None:
        return loss_of
    teacher.to("cuda" if torch.cuda.is_available() else "cpu")
    weight = settings.distillation_weight
    return functools.partial(
        loss_of,
        teacher=teacher,
        teacher_weight=torch.tensor(weight) if settings.compile else weight,
        temperature=settings.distillation_temperature,
    )


def on_one_device(settings: TrainingParams) -> TrainingParams:
    """One device's part of a training run on several devices, with a model that is not sharded."""
    return settings.model_copy(update={"devices": 1})


def check_fits_alone(model: Phi, settings: TrainingParams, teacher: Phi | None = None) -> None:
    """Refuse a model that one device cannot train, even if several could.

    Raises:
        StepError: the device has too little memory; the message lists what needs memory.
    """
    needed, available = needed_memory(model, on_one_device(settings), teacher), memory_per_device(settings)
    if needed.total > available:
        raise StepError(
            f"this command trains the whole model on one device, which needs {needed}, but {available / 1e9:.1f} GB are "
            "available; lower training.micro_batch_tokens, set training.recompute, or measure a smaller model of the same kind"
        )


def sizes(settings: TrainingParams) -> list[int]:
    """Micro-batch sizes to try, in tokens, each at least 1.5 times the previous one; all divide a device's tokens per
    step."""
    sequences = settings.batch_tokens // (settings.devices * settings.context_length)
    numbers: list[int] = []
    for number in range(1, sequences + 1):
        if sequences % number == 0 and (not numbers or number >= 1.5 * numbers[-1]):
            numbers.append(number)
    return [number * settings.context_length for number in numbers]


def predicted(trials: list[Trial], size: int) -> float:
    """Peak memory in bytes of a trial of `size` tokens, extrapolated linearly."""
    last = trials[-1]
    if len(trials) == 1:
        return last.peak_bytes * size / last.micro_batch_tokens
    before = trials[-2]
    slope = (last.peak_bytes - before.peak_bytes) / (last.micro_batch_tokens - before.micro_batch_tokens)
    return last.peak_bytes + slope * (size - last.micro_batch_tokens)


def measure(
    model: Phi, loss_of: Callable[..., Tensor], optimizer: PhiOptimizer, loader: BatchLoader, z_loss: float
) -> Trial:
    """Time whole steps of one micro-batch each, except the first, which allocates and compiles. A learning rate of 1e-5
    hardly changes the weights."""
    device, size = next(model.parameters()).device, loader.sequences * loader.length
    reset_peak_memory(device)
    seconds = []
    for batch in loader:
        started = time.perf_counter()
        here = batch.to(device)
        loss_of(here.tokens, here.targets, here.documents, z_loss).backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return Trial(size, size / sorted(seconds[1:])[REPEATS // 2], peak_memory(device))


def best(trials: list[Trial]) -> int:
    """Tokens of the smallest micro-batch that has at least 95% of the best throughput."""
    fastest = max(trial.tokens_per_second for trial in trials)
    return next(t.micro_batch_tokens for t in trials if t.tokens_per_second >= ENOUGH * fastest)
