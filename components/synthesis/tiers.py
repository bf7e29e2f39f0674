"""Loads the tiers of the families of exercises: those practised and examined by default, and the others."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from components.errors import StepError
from components.params import read_yaml
from components.synthesis.generators import Task

TIERS = Path(__file__).with_name("tiers.yaml")


def load_core(tasks: Mapping[str, Task], path: Path = TIERS) -> tuple[str, ...]:
    """The ids of tier `core`, in the order of `tasks`.

    Raises:
        StepError: the file names an unknown family, a family twice, or a family under another's category.
    """
    named: list[str] = []
    for category, ids in read_yaml(path)["core"].items():
        for id in ids:
            if id not in tasks or tasks[id].category != category:
                raise StepError(
                    f"{path}: {id!r} is not a task of category {category!r}; correct the id or the category"
                )
            if id in named:
                raise StepError(f"{path}: {id!r} occurs twice; remove one of them")
            named.append(id)
    return tuple(id for id in tasks if id in named)


def practised_tasks(choice: str, tasks: Mapping[str, Task]) -> dict[str, Task]:
    """The families that `synthesis.tasks` chooses: `all` with their own shares, `core` with equal ones."""
    if choice == "all":
        return dict(tasks)
    return {id: replace(tasks[id], weight=1.0) for id in load_core(tasks)}
