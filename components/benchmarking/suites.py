"""Suites by name: each gives the data of its tasks."""

import difflib
from collections.abc import Callable
from pathlib import Path

from components.benchmarking.exam import TaskData, load_exam
from components.errors import StepError

SUITES: dict[str, Callable[[Path | None], list[TaskData]]] = {"exam": load_exam}


def load_suite(name: str, data_dir: Path | None) -> list[TaskData]:
    """The tasks of a suite.

    Raises:
        StepError: unknown suite, or its data is missing or malformed.
    """
    if name not in SUITES:
        nearest = difflib.get_close_matches(name, SUITES, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise StepError(f"suite {name!r} is unknown; known suites: {', '.join(sorted(SUITES))}{hint}")
    return SUITES[name](data_dir)
