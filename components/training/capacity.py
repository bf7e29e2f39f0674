"""Checks whether training fits into memory, and measures the memory that it uses."""

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


def needed_memory(model: Phi, settings: TrainingParams, teacher: Phi | None = None, carried: bool = False) -> Memory:
    """The memory that training needs on each device.

    Args:
        teacher: a model to distil from.
        carried: entries copied by growth are trained separately.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return estimate(model.config, settings, model.dtype, device, None if teacher is None else teacher.config, carried)


def check_fits(model: Phi, settings: TrainingParams, teacher: Phi | None = None, carried: bool = False) -> Memory:
    """`needed_memory`, if each device has it.

    Raises:
        StepError: a device has less; the message lists what needs memory and what to change.
    """
    needed, available = needed_memory(model, settings, teacher, carried), memory_per_device(settings)
    if needed.total > available:
        raise StepError(
            f"training needs {needed} on each device, but {available / 1e9:.1f} GB are available; lower "
            "training.micro_batch_tokens, set training.recompute, or divide the model among devices with training.strategy "
            "fsdp2"
        )
    return needed


def memory_per_device(settings: TrainingParams) -> float:
    """Bytes that each device of a training run can use; processes on the CPU share the memory."""
    return available_memory() / (1 if torch.cuda.is_available() else settings.devices)


def reset_peak_memory(device: torch.device) -> None:
    """Reset `peak_memory` if the system can: on a GPU, and on Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    if trim := sys.platform == "linux" and getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)  # `machine.prepare` lets the allocator keep freed memory, which would count as used
    with contextlib.suppress(OSError):  # not on Linux, or a sandbox that denies it
        CLEAR.write_text("5")  # proc(5): resets the peak of the resident set to its present size


def peak_memory(device: torch.device) -> int:
    """Peak memory in bytes, of the GPU or of this process, since the last reset or its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    with contextlib.suppress(OSError):
        if peak := re.search(r"^VmHWM:\s*(\d+) kB$", STATUS.read_text(encoding="utf-8"), re.MULTILINE):
            return int(peak[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
