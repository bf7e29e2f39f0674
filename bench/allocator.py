"""The effect of the memory allocator on a training step on the CPU, with and without system packages.

    python -m bench.allocator [--sizes 1.3M 10M] [--threads 2] [--rounds 20] [--by wall]

The same steps of our model (forward, backward, clipping, fused AdamW) with each of:

- `default`: glibc unchanged; large blocks return to the kernel at every step and are faulted in again at the next
- `mallopt`: glibc set, within the process, to keep freed memory
- `mallopt, THP`: with huge pages for tensors, which torch requests with THP_MEM_ALLOC_ENABLE=1
- `tunables`: glibc's own huge pages (GLIBC_TUNABLES), from before the process starts, with the mallopt settings
- `arena`: `mallopt` with one arena for all threads
- `jemalloc`: the library that Ray's wheel ships, preloaded; with its own decay, keeping all, and with huge pages
- `project`: components.phi.machine.prepare
"""

import sys
from typing import Any

from bench.common import (
    KEEPING,
    RATE,
    Contender,
    Report,
    Row,
    Steps,
    jemalloc,
    lockstep,
    machine,
    parse,
    parser,
    rates,
    times_faster,
)

MODULE = "bench.allocator"
SETTLE = 3


def variants() -> dict[str, dict[str, str]]:
    """Environment of each variant; `MALLOPT` lets the process set glibc's allocator, `PREPARE` lets it call ours."""
    found = {
        "default": {},
        "mallopt": {"MALLOPT": "1"},
        "mallopt, THP": {"MALLOPT": "1", "THP_MEM_ALLOC_ENABLE": "1"},
        "mallopt, huge heap": {"MALLOPT": "1", "HUGE_HEAP": "1"},
        "arena": {"MALLOPT": "1", "MALLOC_ARENA_MAX": "1"},
        "tunables": {**KEEPING, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
        "project": {"PREPARE": "1"},
    }
    if library := jemalloc():
        preload = {"LD_PRELOAD": str(library)}
        keep = "dirty_decay_ms:-1,muzzy_decay_ms:-1"
        found["jemalloc"] = preload
        found["jemalloc, keeping"] = preload | {"MALLOC_CONF": keep}
        found["jemalloc, keeping, THP"] = preload | {"MALLOC_CONF": keep + ",thp:always,metadata_thp:auto"}
    return found


def main() -> int:
    options = parser(__doc__, threads=2, rounds=20)
    options.add_argument("--sizes", nargs="+", default=["1.3M", "10M"], help="models")
    options.add_argument("--sequences", type=int, default=8, help="sequences per step")
    options.add_argument("--only", nargs="+", help="variants to measure beside `default`")
    options.add_argument("--by", choices=tuple(RATE), default="wall", help="time for ratios")
    arguments = parse(options, child)
    report = Report("Allocators", machine(arguments.threads) | {"by": arguments.by})
    if jemalloc() is None:
        report.note("Ray's wheel ships no jemalloc here, so it is left out")
    from bench.models import SIZES

    chosen = {k: v for k, v in variants().items() if not arguments.only or k in {*arguments.only, "default"}}
    report.measurements = {}
    for size in arguments.sizes:
        spec = {"size": size, "steps": SETTLE + arguments.rounds + 1, "threads": arguments.threads}
        spec["sequences"] = arguments.sequences
        rows = lockstep(MODULE, {k: Contender(spec, v) for k, v in chosen.items()}, arguments.rounds, SETTLE)
        rates(rows, arguments.sequences * SIZES[size].positions)
        report.measurements[size] = rows
        for name, row in rows.items():
            row["times"] = times_faster(rows, name, "default", arguments.by)
        columns = {"tokens_per_second": "tokens/s", "tokens_per_cpu_second": "tokens/CPU-s", "times": "x default"}
        columns |= {"faults": "page faults per step", "system_ms": "kernel ms per step", "peak_mb": "peak MB"}
        report.table_of(size, columns, rows)
    return report.finish(arguments)


def child(spec: Row) -> Row:
    """One measurement, in this process."""
    import os

    if os.environ.get("PREPARE"):
        from components.phi import machine as ours

        ours.prepare(spec["threads"])
    elif os.environ.get("MALLOPT"):
        keep_freed_memory()
        if os.environ.get("HUGE_HEAP"):
            ask_for_huge_pages()
    return steps_of(spec)


def keep_freed_memory() -> None:
    """Set glibc's allocator to keep freed memory (malloc.h's codes)."""
    import ctypes

    libc: Any = ctypes.CDLL(None)
    for code, value in ((-4, 0), (-1, 2**31 - 1), (-2, 256 * 2**20)):  # MMAP_MAX, TRIM_THRESHOLD, TOP_PAD
        libc.mallopt(code, value)


def ask_for_huge_pages(megabytes: int = 1024) -> None:
    """Let the heap grow by so much address space, and ask the kernel to back it with huge pages when it is touched."""
    import ctypes
    from pathlib import Path

    libc: Any = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.free(libc.malloc(megabytes << 20))  # under the settings above the heap doesn't shrink again
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        if line.endswith("[heap]"):
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            libc.madvise(start, end - start, 14)  # MADV_HUGEPAGE


def steps_of(spec: Row) -> Row:
    """Training steps of our model on random tokens in a bare loop."""
    import resource

    import torch

    from bench.models import SIZES, ours
    from components.phi.machine import activation_dtype

    torch.set_num_threads(spec["threads"])
    size = SIZES[spec["size"]]
    model = ours(size, activation_dtype("auto"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    rows = torch.randint(size.vocabulary, (spec["sequences"], size.positions + 1))
    tokens, targets = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
    steps = Steps()
    for number in range(spec["steps"]):
        if number == SETTLE:
            before = resource.getrusage(resource.RUSAGE_SELF)
        steps.border()
        model.loss(tokens, targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    after = resource.getrusage(resource.RUSAGE_SELF)
    counted = spec["steps"] - SETTLE
    faults, system = after.ru_minflt - before.ru_minflt, after.ru_stime - before.ru_stime
    return steps.row() | {"faults": faults / counted, "system_ms": 1e3 * system / counted}


if __name__ == "__main__":
    sys.exit(main())
