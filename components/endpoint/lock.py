"""A plan for one process alone, so that nothing is asked for or paid twice."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import StepError


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a plan, by a lock on the file `path`; the system lets go however this process ends.

    Raises:
        StepError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise StepError(f"another process is writing the same plan ({path} is locked); wait until it ends") from None
    try:
        yield
    finally:
        os.close(handle)
