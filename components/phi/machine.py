"""Make this machine ready for tensors: threads, allocator, precision. Call `prepare` before torch is imported."""

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Codes of glibc's mallopt.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
MADV_HUGEPAGE = 14  # Linux's code
HEAP_BYTES = 2**30  # address space, of which only what is touched takes memory


def prepare(threads: int | None = None) -> None:
    """Set the number of CPU threads (None leaves it), and the allocator. Safe to call again.

    - The number of threads is fixed, since the sum of a matrix product depends on how it was shared out.
    - Freed blocks stay with the process. glibc hands large ones back to the kernel at every step and pays for their
      pages again at the next: a fifth to a third of the time of a small model's training.
    - The heap's pages are huge where Linux gives them on request, which saves another twentieth.

    The allocator changes speed only.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt") and not os.environ.get(
            "LD_PRELOAD"
        ):  # musl has none; a preloaded allocator knows best
            libc.mallopt(M_MMAP_MAX, 0)
            libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
            libc.mallopt(M_TOP_PAD, 256 * 2**20)
            _ask_for_huge_pages()
    import torch

    if threads and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


@cache
def _ask_for_huge_pages() -> None:
    """Let the heap take its address space now, and ask for huge pages there. Does nothing where there is no room."""
    libc: Any = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.free(libc.malloc(HEAP_BYTES))  # under the settings above the heap doesn't shrink again
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        if line.endswith("[heap]"):
            start, end = (int(address, 16) for address in line.split()[0].split("-"))
            libc.madvise(start, end - start, MADV_HUGEPAGE)


def activation_dtype(precision: str) -> "torch.dtype":
    """The dtype of activations for `training.precision`: auto is bfloat16 where the processor computes in it."""
    import torch

    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    capable = torch.cpu.get_capabilities()
    native = any(capable.get(flag) for flag in ("avx512_bf16", "amx_bf16", "bf16"))  # the last on Arm
    return torch.bfloat16 if native else torch.float32
