"""A lock on a plan, so that nothing is requested or paid twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import StepError
from components.running.locks import if_free


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Lock a plan by the file `path`; the system releases it when this process ends.

    Raises:
        StepError: another process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with if_free(path) as held:
        if not held:
            raise StepError(f"another process is writing the same plan ({path} is locked); wait until it ends")
        yield
