"""Memory that is there, and memory that was used."""

import math
import resource
import sys
from pathlib import Path

import torch

from components.errors import StepError
from components.params import TrainingParams
from components.phi.memory import Memory, estimate
from components.phi.model import Phi


def check_fits(model: Phi, settings: TrainingParams) -> Memory:
    """The memory that training needs on each device.

    Raises:
        StepError: more than the device has; the message says what takes it and what to change.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    needed, there = estimate(model.config, settings, model.dtype, device), available_memory()
    if device == "cpu":
        there /= settings.devices  # its processes share it
    if needed.total > there:
        raise StepError(
            f"training would take {needed} on each device, and {there / 1e9:.1f} GB are there; lower "
            "training.micro_batch_tokens, set training.recompute, or share the model out with training.strategy fsdp2"
        )
    return needed


def peak_memory(device: torch.device) -> int:
    """Bytes: of the GPU since the last reset, or of this process since it began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def available_memory() -> float:
    """Bytes that this process could use at its peak, all that it has now included; a container's limit counts."""
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        return free + torch.cuda.memory_reserved()
    import psutil

    available = psutil.virtual_memory().available + psutil.Process().memory_info().rss
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(available, math.inf if text == "max" else int(text))
