"""Available memory, and used memory."""

import contextlib
import ctypes
import re
import resource
import sys
from pathlib import Path

import torch

from components.errors import StepError
from components.params import TrainingParams
from components.phi.memory import Memory, available_memory, estimate
from components.phi.model import Phi

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def check_fits(model: Phi, settings: TrainingParams, teacher: Phi | None = None, carried: bool = False) -> Memory:
    """The memory that training needs on each device.

    Args:
        teacher: a model to distil from.
        carried: entries copied by growth are trained separately.

    Raises:
        StepError: more than the device has; the message says what needs it and what to change.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    taught_by = None if teacher is None else teacher.config
    needed = estimate(model.config, settings, model.dtype, device, taught_by, carried)
    there = memory_a_device(settings)
    if needed.total > there:
        raise StepError(
            f"training would take {needed} on each device, and {there / 1e9:.1f} GB are there; lower "
            "training.micro_batch_tokens, set training.recompute, or share the model out with training.strategy fsdp2"
        )
    return needed


def memory_a_device(settings: TrainingParams) -> float:
    """Bytes that each device of a training run can use: processes on the CPU share the memory."""
    return available_memory() / (1 if torch.cuda.is_available() else settings.devices)


def reset_peak_memory(device: torch.device) -> None:
    """Reset `peak_memory` if the system can: on a GPU, and on Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    if trim := sys.platform == "linux" and getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)  # `machine.prepare` lets the allocator keep freed memory, which would count as used
    with contextlib.suppress(OSError):  # not on Linux, or a sandbox that denies it
        CLEAR.write_text("5")  # proc(5): the peak of the resident set becomes what it is now


def peak_memory(device: torch.device) -> int:
    """Bytes: of the GPU, or of this process, since the last reset or its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    with contextlib.suppress(OSError):
        if found := re.search(r"^VmHWM:\s*(\d+) kB$", STATUS.read_text(encoding="utf-8"), re.MULTILINE):
            return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
