"""Finders: a learning rate by a range test, a micro-batch by throughput within the available memory."""

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
from components.phi.memory import estimate
from components.phi.model import Phi
from components.running.cli import Paths
from components.tokens import Tokens
from components.tracking import Tracker
from components.training.capacity import check_fits, memory_a_device, peak_memory, reset_peak_memory
from components.training.data import BatchLoader
from components.training.distillation import read_teacher
from components.training.module import loss_function
from components.training.optimizers import PhiOptimizer
from components.training.start import starting_model
from components.training.train import check_compilable, open_loader

LOWEST, HIGHEST = 1e-5, 1.0  # learning rates of the range test
SMOOTHING = 0.9  # of its losses, an exponential average
DIVERGED = 1.5  # times the best smoothed loss, and the test ends
RANGE_STEPS = 120
REPEATS = 3  # timed steps per micro-batch size
ENOUGH = 0.95  # share of the best throughput: the smallest micro-batch that reaches it is chosen
MEMORY_SHARE = 0.8  # of what is available


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
        print(
            f"  {trial.micro_batch_tokens:9,} tokens   {trial.tokens_per_second:11,.0f} tokens/s   {mebibytes:9,.0f} MiB"
        )
    print(f"training.micro_batch_tokens={chosen} is the smallest within 5% of the best throughput")
    return {"micro_batch_tokens": chosen, "trials": [asdict(trial) for trial in trials]}


def learning_rate_range(
    model: Phi, settings: TrainingParams, loader: BatchLoader, teacher: Phi | None = None
) -> list[tuple[float, float]]:
    """Learning rates, rising by a constant factor from step to step, and the smoothed loss at each (Smith, "Cyclical
    Learning Rates for Training Neural Networks", arXiv 1506.01186). Ends when the loss diverges; the model is not
    usable afterwards."""
    optimizer = PhiOptimizer(model, settings, LOWEST)
    ratios = [group["lr"] / LOWEST for group in optimizer.param_groups]
    curve: list[tuple[float, float]] = []
    average, device = 0.0, next(model.parameters()).device
    loss_of = following(loss_function(model, settings), teacher, settings)
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
    """The learning rate at which the loss falls fastest over its logarithm.

    Raises:
        StepError: the loss falls nowhere.
    """
    falls = [(b[1] - a[1], a[0]) for a, b in itertools.pairwise(curve)]
    if not falls or min(falls)[0] >= 0:
        raise StepError(
            f"the loss fell at no learning rate from {LOWEST:g} to {HIGHEST:g}; look at the tokens and at the initial weights"
        )
    return min(falls)[1]


def batch_sizes(
    model: Phi, settings: TrainingParams, tokens: Tokens, seed: int, teacher: Phi | None = None
) -> list[Trial]:
    """Measure the micro-batches of one device that training accepts, from one sequence on, while the next is sure to
    fit into memory.

    Args:
        teacher: a model to distil from all the time, as at the beginning of training.

    Raises:
        StepError: the smallest does not fit, shared out over the devices or, as it is measured, on one.
    """
    optimizer = PhiOptimizer(model, settings, LOWEST)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    limit, taught_by = MEMORY_SHARE * memory_a_device(settings), None if teacher is None else teacher.config
    trials: list[Trial] = []
    for size in sizes(settings):
        asked = settings.model_copy(update={"micro_batch_tokens": size})
        if not trials:
            open_loader(tokens, asked, 1, seed)  # refuses what training refuses
            check_fits(model, asked, teacher)
            check_fits_alone(model, asked, teacher)
        both = (asked, on_one_device(asked))
        needed = max(estimate(model.config, each, model.dtype, device, taught_by).total for each in both)
        if trials and max(needed, predicted(trials, size)) > limit:
            break
        sequences = size // settings.context_length
        split = tokens.split("train")
        loader = BatchLoader(
            split, settings.context_length, sequences, REPEATS + 1, seed, documents=settings.document_mask
        )
        torch.compiler.reset()  # after some shapes it would silently stop compiling
        loss_of = following(loss_function(model, settings), teacher, settings)
        trials.append(measure(model, loss_of, optimizer, loader, settings, size))
    return trials


def following(loss_of: Callable[..., Tensor], teacher: Phi | None, settings: TrainingParams) -> Callable[..., Tensor]:
    """A loss with a teacher's part at its full weight, as at the beginning of a training."""
    if teacher is None:
        return loss_of
    teacher.to("cuda" if torch.cuda.is_available() else "cpu")
    weight = settings.distillation_weight
    return functools.partial(
        loss_of, teacher=teacher, teacher_weight=torch.tensor(weight) if settings.compile else weight
    )


def on_one_device(settings: TrainingParams) -> TrainingParams:
    """One device's part of a training run on several devices, with a model that is not sharded."""
    return settings.model_copy(update={"devices": 1})


def check_fits_alone(model: Phi, settings: TrainingParams, teacher: Phi | None = None) -> None:
    """Refuse a model that one device cannot train, though several might.

    Raises:
        StepError: it has too little memory; the message says what needs it.
    """
    there, device = memory_a_device(settings), "cuda" if torch.cuda.is_available() else "cpu"
    taught_by = None if teacher is None else teacher.config
    needed = estimate(model.config, on_one_device(settings), model.dtype, device, taught_by)
    if needed.total > there:
        raise StepError(
            f"a finder trains on one device with the whole model, which would take {needed}, and {there / 1e9:.1f} GB are there; "
            "lower training.micro_batch_tokens, set training.recompute, or measure a smaller model of the same kind"
        )


def sizes(settings: TrainingParams) -> list[int]:
    """Tokens of the micro-batches to try, each at least 1.5 times the one before; all divide a step's tokens on one
    device."""
    sequences = settings.batch_tokens // (settings.devices * settings.context_length)
    found: list[int] = []
    for number in range(1, sequences + 1):
        if sequences % number == 0 and (not found or number >= 1.5 * found[-1]):
            found.append(number)
    return [number * settings.context_length for number in found]


def predicted(trials: list[Trial], size: int) -> float:
    """Bytes at the peak of a trial of `size` tokens: memory grows linearly with them."""
    last = trials[-1]
    if len(trials) == 1:
        return last.peak_bytes * size / last.micro_batch_tokens
    before = trials[-2]
    slope = (last.peak_bytes - before.peak_bytes) / (last.micro_batch_tokens - before.micro_batch_tokens)
    return last.peak_bytes + slope * (size - last.micro_batch_tokens)


def measure(
    model: Phi,
    loss_of: Callable[..., Tensor],
    optimizer: PhiOptimizer,
    loader: BatchLoader,
    settings: TrainingParams,
    size: int,
) -> Trial:
    """Time whole steps of one micro-batch each; the first, which allocates and compiles, is not counted. A learning
    rate of 1e-5 hardly moves the weights."""
    device = next(model.parameters()).device
    reset_peak_memory(device)
    seconds = []
    for batch in loader:
        started = time.perf_counter()
        here = batch.to(device)
        loss_of(here.tokens, here.targets, here.documents, settings.z_loss).backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return Trial(size, size / sorted(seconds[1:])[REPEATS // 2], peak_memory(device))


def best(trials: list[Trial]) -> int:
    """Tokens of the smallest micro-batch within five per cent of the best throughput."""
    fastest = max(trial.tokens_per_second for trial in trials)
    return next(t.micro_batch_tokens for t in trials if t.tokens_per_second >= ENOUGH * fastest)
