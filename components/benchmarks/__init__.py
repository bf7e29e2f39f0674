"""Benchmarks of suites and their data, for the step that scores them and the step that keeps them out of the corpus."""

from pathlib import Path
from typing import Any

from components.foreign import yaml_text

FOLDER = Path(__file__).parent / "definitions"  # of the project's own suites


def known_suites() -> list[str]:
    """Names of the suites with a file of their own."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def inherited(task: str, entry: Any) -> Any:
    """A task's entry in a suite's file; with `like: SUITE`, the fields of the task of that name in one of the project's own
    suites, and its own fields in their place.

    Raises:
        ValueError: there is no such suite, or it has no such task.
    """
    if not isinstance(entry, dict) or "like" not in entry:
        return entry
    suite = entry["like"]
    if suite not in known_suites():
        raise ValueError(f"`like` is {suite!r}; expected one of {', '.join(known_suites())}")
    tasks = yaml_text.read(FOLDER / f"{suite}.yaml")["tasks"]
    if task not in tasks:
        raise ValueError(f"`like` is {suite!r}, which has no task {task!r}; it has {', '.join(tasks)}")
    return inherited(task, tasks[task]) | {field: value for field, value in entry.items() if field != "like"}
