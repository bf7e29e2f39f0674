"""What a run tells whoever watches it in the same process: the terminal of `make run`.

Prefect's server has the same facts as task states and logs; this is the short way, without a server's delay.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Kind = Literal["graph", "note", "started", "line", "cached", "restored", "ran", "retry", "failed", "stopped"]


@dataclass(frozen=True)
class Event:
    """`stage` is empty for what concerns the whole run; A `graph` lists the stages in `names` and where they run in `text`."""

    kind: Kind
    stage: str = ""
    text: str = ""
    seconds: float = 0.0
    names: tuple[str, ...] = ()


class Caution(str):
    """A remark for whoever watches a run that is logged as a warning."""


_listeners: list[Callable[[Event], None]] = []


@contextmanager
def listen(listener: Callable[[Event], None]) -> Iterator[None]:
    """Hand every event to `listener` during the block, from whatever thread it arises in."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def emit(kind: Kind, stage: str = "", text: str = "", seconds: float = 0.0, names: tuple[str, ...] = ()) -> None:
    """Tell the listeners."""
    for listener in list(_listeners):
        listener(Event(kind, stage, text, seconds, names))
