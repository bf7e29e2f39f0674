"""Limits the time of a suite's own regular expressions, since a foreign pattern may never end on some answer."""

import functools
import signal
import threading
from collections.abc import Callable
from typing import Any

from components.errors import StepError

SECONDS = 60.0  # of CPU, for all filters of a task or the metrics of one answer; lm-eval's own take milliseconds


def bounded(function: Callable[..., Any], what: str, seconds: float = SECONDS) -> Callable[..., Any]:
    """The function with a limit on the CPU seconds of this process; Python's `re` handles signals while it matches. Only
    the main thread can be interrupted; in other threads the function is unchanged.

    Args:
        what: the cause for the error message, such as "task 'x': its filters".

    Raises:
        StepError: the returned function raises it when the time is over.
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
