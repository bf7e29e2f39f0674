"""Generators of questions: small pure functions of a seeded random generator and the lexicon.

Each task has a generator, which yields drafts without end or until its space is exhausted, and a solver, which reads
nothing but the text of the question and finds the answer by another route. A draft counts as verified when both agree.
Generators of small spaces go through the whole space in random order; the others draw.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from components.synthesis.drafts import Draft

Lexicon = dict[str, Any]
Generator = Callable[[Random, Lexicon], Iterator[Draft]]
Solver = Callable[[str, Lexicon], str]
T = TypeVar("T")

CATEGORIES = ("math", "reasoning", "commonsense", "language", "code", "science", "theory of mind")


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of question.

    Attributes:
        id: stable name; file name of its exam.
        category: one of CATEGORIES.
        generate: yields drafts.
        solve: answers a question from its text alone. For an executed task: gives the expression to evaluate.
        executed: the answer is what a Python process prints for the expression.
        weight: share of the exercises, relative to the other tasks; more for what a model of a million parameters can
            learn from a few thousand examples, less for what it cannot.
    """

    id: str
    category: str
    generate: Generator
    solve: Solver
    executed: bool = False
    weight: float = 1.0


def shuffled(rng: Random, items: Iterable[T]) -> list[T]:
    """A space in random order."""
    items = list(items)
    rng.shuffle(items)
    return items


def near(
    rng: Random, value: int, count: int = 3, low: int = 0, spread: Sequence[int] = (1, 2, 10, 3)
) -> tuple[str, ...]:
    """`count` distinct numbers near `value`, none under `low`."""
    offsets = [o for o in (*spread, *(-s for s in spread)) if value + o >= low]
    return tuple(str(value + o) for o in rng.sample(offsets, count))


def others(rng: Random, pool: Sequence[str], right: str, count: int) -> tuple[str, ...]:
    """`count` entries of a pool that differ from the right one."""
    return tuple(rng.sample([entry for entry in pool if entry != right], count))


def all_tasks() -> dict[str, Task]:
    """Every task by id, in a fixed order."""
    from components.synthesis.generators import code, daily, logic, minds, nature, numbers, words

    modules = (numbers, logic, daily, words, nature, minds, code)
    return {task.id: task for module in modules for task in module.TASKS}
