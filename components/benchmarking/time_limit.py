"""Limits the time of a suite's own regular expressions: a foreign pattern may take forever on one answer."""

import functools
import signal
import threading
from collections.abc import Callable
from typing import Any

from components.errors import StepError

SECONDS = 60.0  # of CPU for all filters of a task, or for the metrics of one answer; what ships takes milliseconds


def bounded(function: Callable[..., Any], what: str, seconds: float = SECONDS) -> Callable[..., Any]:
    """The function with a limit of CPU seconds of this process; Python's `re` handles signals while it matches. Only
    the main thread can be interrupted; elsewhere the function is unchanged.

    Args:
        what: names the cause in the error, such as "task 'x': its filters".

    Raises:
        StepError: by what is returned, when the time is over.
    """

    def give_up(*_: object) -> None:
        raise StepError(
            f"{what} took over {seconds:g} s of CPU; expected patterns that match in milliseconds: simplify them"
        )

    @functools.wraps(function)
    def within(*arguments: Any, **named: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return function(*arguments, **named)
        before = signal.signal(signal.SIGVTALRM, give_up)
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        try:
            return function(*arguments, **named)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)

    return within
