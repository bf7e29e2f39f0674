"""Runs a Python module that ends when its parent ends, for whatever reason.

    python -P guard.py [--tree] PARENT_PID MODULE [ARGUMENT ...]

On Linux the kernel sends SIGTERM when the parent has ended, even by kill -9. With `--tree` this process answers SIGTERM by
stopping all its descendants, first with SIGTERM, then with SIGKILL: a stage, its shell and its workers end within two
seconds. On other systems only `--tree` works. The module runs inside this process, so the guard costs nothing.

With PHIFORGE_USAGE it writes the CPU seconds of this process and all that it waited for, and the peak memory of the largest
of them, to that file.
"""

import ctypes
import json
import os
import resource
import runpy
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE = 1.2  # seconds between SIGTERM and SIGKILL
USAGE = "PHIFORGE_USAGE"


def die_with_parent(parent: int) -> None:
    """Ask the kernel for SIGTERM at the parent's end; exit immediately if it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(143)


def stop_tree_on_sigterm() -> None:
    """Answer SIGTERM by ending every descendant, then this process."""
    import psutil  # imported here, since a signal handler must not import

    if sys.platform == "linux":  # orphans of a shell that died stay our descendants
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    me = psutil.Process()

    def descendants() -> list[psutil.Process]:
        alive = []
        for process in me.children(recursive=True):
            try:
                if process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(process)
            except psutil.NoSuchProcess:
                continue
        return alive

    def send(number: int) -> None:
        for process in descendants():
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        send(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while descendants() and time.monotonic() < deadline:
            time.sleep(0.02)
        send(signal.SIGKILL)
        os._exit(143)

    signal.signal(signal.SIGTERM, stop)


def write_usage(file: str) -> None:
    """Write what this process and its ended descendants have used."""
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1024
    peak = own.ru_maxrss * unit
    if sys.platform == "linux":  # there the kernel's figure begins with that of the parent, from before this program
        with open("/proc/self/status", encoding="utf-8") as status:
            peak = next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")), peak)
    usage = {
        "cpu_seconds": sum(one.ru_utime + one.ru_stime for one in (own, others)),
        "peak_bytes": max(peak, others.ru_maxrss * unit),
    }
    with open(file, "w", encoding="utf-8") as output:
        json.dump(usage, output)


def main() -> None:
    arguments = sys.argv[1:]
    tree = arguments[0] == "--tree"
    parent, module, *rest = arguments[1:] if tree else arguments
    if tree:
        stop_tree_on_sigterm()
    die_with_parent(int(parent))
    sys.argv = [module, *rest]
    usage = os.environ.pop(USAGE, "")
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        if usage:
            write_usage(usage)


if __name__ == "__main__":
    main()
