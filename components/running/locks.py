"""Locks between runs. The kernel frees a lock on a file when the process ends, even by a crash."""

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

POLL = 0.1  # seconds between tries; a blocking flock could not be cancelled


class WaitStopped(Exception):
    """The run was stopped while it waited for a lock."""


@contextmanager
def exclusive(
    path: Path, on_wait: Callable[[], None] | None = None, stopped: threading.Event | None = None
) -> Iterator[None]:
    """Hold the lock of `path` during the block.

    Args:
        path: the lock's file; made if missing, never removed.
        on_wait: called once if another process has the lock.
        stopped: ends the wait when it is set.

    Raises:
        WaitStopped: `stopped` was set before the lock was free.
    """
    with open(path, "a") as file:
        waited = False
        while not try_lock(file):
            if stopped is not None and stopped.is_set():
                raise WaitStopped(f"stopped while waiting for {path.stem}")
            if not waited and on_wait:
                on_wait()
            waited = True
            time.sleep(POLL)
        yield  # closing the file frees the lock


@contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Hold the lock of `path` during the block if it is free; yields whether it was free."""
    with open(path, "a") as file:
        yield try_lock(file)


def is_free(path: Path) -> bool:
    """Whether the lock is free now."""
    with open(path, "a") as file:
        return try_lock(file)


def try_lock(file: IO[str] | int, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file if its lock is free; returns whether it was free.

    Args:
        file: the file, or its descriptor; closing it frees the lock.
        kind: LOCK_EX, or LOCK_SH for a shared lock.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
