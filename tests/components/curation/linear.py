"""Whether work takes time that is linear in its size."""

import gc
import time
from collections.abc import Callable

TRIES = 3  # the process may be busy with something else at one time


def assert_linear(work: Callable[[int], object], small: int) -> None:
    """Eight times the size takes at most twenty times the CPU time; quadratic work would take 64 times.

    Args:
        work: does work of a size, and may assert what comes of it.
    """
    for _ in range(TRIES):
        few, many = _seconds(work, small), _seconds(work, 8 * small)
        if many <= 20 * max(few, 0.02):
            return
    raise AssertionError(f"of {small:,} it takes {few:.3g} CPU seconds, of eight times as many {many:.3g}")


def _seconds(work: Callable[[int], object], size: int) -> float:
    gc.collect()
    gc.disable()  # else it walks whatever the other tests have left, the more often the more work there is
    try:
        began = time.process_time()
        work(size)
        return time.process_time() - began
    finally:
        gc.enable()
