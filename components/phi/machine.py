"""Settings of this machine for tensors: threads, allocator, precision. Call `prepare` before torch is imported."""

import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Codes of glibc's mallopt.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def prepare(threads: int | None = None) -> None:
    """Set the number of CPU threads (None leaves it), and the allocator. Safe to call again.

    - The number of threads is fixed, since the sum of a matrix product depends on it.
    - The process keeps freed memory. By default glibc returns large blocks to the kernel at every step and requests
      their pages again at the next: a fifth to a third of the training time of a small model.

    The allocator changes only the speed.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None and not os.environ.get("LD_PRELOAD"):  # musl has none; a preloaded allocator is a choice
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
            mallopt(M_TOP_PAD, 256 * 2**20)
    import torch

    if threads and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def activation_dtype(precision: str) -> "torch.dtype":
    """The dtype of activations for `training.precision`: auto is bfloat16 if the machine computes in bfloat16."""
    import torch

    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    native = computes_bfloat16("cuda" if torch.cuda.is_available() else "cpu")
    return torch.bfloat16 if native else torch.float32


def computes_bfloat16(device: str) -> bool:
    """Whether the device, "cpu" or "cuda", multiplies in bfloat16. Otherwise it is emulated, up to forty times slower
    than float32."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capable = torch.cpu.get_capabilities()
    return any(capable.get(flag) for flag in ("avx512_bf16", "amx_bf16", "bf16"))  # the last on Arm
