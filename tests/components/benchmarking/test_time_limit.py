"""A pattern that takes for ever is given up."""

import re
import threading
import time

import pytest

from components.benchmarking.time_limit import bounded
from components.errors import StepError

FOREVER = re.compile(r"(?:[\s\S]|[\s\S][\s\S]?)*\x01")


def test_a_pattern_that_takes_for_ever_is_given_up() -> None:
    started = time.process_time()
    with pytest.raises(StepError, match=r"task 'x': its filters took over 0\.2 s of CPU"):
        bounded(FOREVER.search, "task 'x': its filters", 0.2)("a" * 200)
    assert time.process_time() - started < 5


def test_what_is_quick_is_as_it_was() -> None:
    assert bounded(re.compile("b").search, "x", 0.2)("abc").start() == 1
    with pytest.raises(TypeError):
        bounded(re.compile("b").search, "x", 0.2)(5)
    time_before = time.process_time()
    while time.process_time() - time_before < 0.3:
        pass  # no timer is left behind


def test_another_thread_is_left_alone() -> None:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(bounded(len, "x")("abc")))
    thread.start()
    thread.join()
    assert found == [3]
