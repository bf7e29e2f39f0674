"""A plan for one process alone, so that nothing is asked for or paid twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import StepError
from components.running.locks import if_free


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a plan, by a lock on the file `path`; the system lets go however this process ends.

    Raises:
        StepError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with if_free(path) as held:
        if not held:
            raise StepError(f"another process is writing the same plan ({path} is locked); wait until it ends")
        yield
