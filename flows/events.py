"""Events of a run for the terminal of `make run`, in the same process. Prefect's server has the same facts as task
states and logs, but with a delay.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Kind = Literal["graph", "note", "started", "line", "cached", "restored", "ran", "retry", "failed", "stopped"]


@dataclass(frozen=True)
class Event:
    """An event of a run; `stage` is empty if it concerns the whole run. A `graph` lists the stages in `names` and where
    they run in `text`."""

    kind: Kind
    stage: str = ""
    text: str = ""
    seconds: float = 0.0
    names: tuple[str, ...] = ()


class Caution(str):
    """A remark that is logged as a warning."""


_listeners: list[Callable[[Event], None]] = []


@contextmanager
def listen(listener: Callable[[Event], None]) -> Iterator[None]:
    """Pass every event to `listener` during the block, from any thread."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def emit(kind: Kind, stage: str = "", text: str = "", seconds: float = 0.0, names: tuple[str, ...] = ()) -> None:
    """Pass an event to the listeners."""
    for listener in list(_listeners):
        listener(Event(kind, stage, text, seconds, names))
