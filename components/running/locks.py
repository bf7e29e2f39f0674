"""Locks between runs. A kernel lock on a file is freed when its holder ends, crashed or not."""

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

POLL = 0.1  # seconds between tries: a blocked flock could not be left when the run is cancelled


class WaitStopped(Exception):
    """The run was stopped while it waited for a lock."""


@contextmanager
def exclusive(
    path: Path, on_wait: Callable[[], None] | None = None, stopped: threading.Event | None = None
) -> Iterator[None]:
    """Hold the lock of `path` during the block.

    Args:
        path: the lock's file; made when missing, never removed.
        on_wait: called once if another process holds it.
        stopped: ends the wait when set.

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
    """Hold the lock of `path` during the block unless it is taken; yields whether it is held."""
    with open(path, "a") as file:
        yield try_lock(file)


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock now."""
    with open(path, "a") as file:
        return try_lock(file)


def try_lock(file: IO[str] | int, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file unless it is locked; returns whether this succeeded.

    Args:
        file: the file, or its descriptor; closing it frees the lock.
        kind: LOCK_EX, or LOCK_SH for a lock that others may share.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
