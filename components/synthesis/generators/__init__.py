"""Generators of questions: small pure functions of a seeded random generator and the lexicon.

Each task has a generator, which yields drafts without end or until its space is exhausted, and a solver, which reads
nothing but the text of the question and finds the answer by another route. A draft counts as verified when both agree.
Generators of small spaces go through the whole space in random order; the others draw.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from components.synthesis.drafts import Draft

Lexicon = dict[str, Any]
Generator = Callable[[Random, Lexicon], Iterator[Draft]]
Solver = Callable[[str, Lexicon], str]  # of an executed task: the program, its last statement an expression
T = TypeVar("T")
_NUMBERS = re.compile(r"(?<![\w-])-?\d+")

CATEGORIES = ("math", "reasoning", "commonsense", "language", "code", "science", "theory of mind")


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of question.

    Attributes:
        id: stable name; file name of its exam.
        category: one of CATEGORIES.
        generate: yields drafts.
        solve: answers a question from its text alone. For an executed task: gives the program to run.
        executed: the answer is what a Python process prints for the program's last expression.
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


def ask(
    rng: Random,
    forms: Sequence[str],
    answer: object,
    wrong: Iterable[object],
    reason: str,
    key: str = "",
    **slots: object,
) -> Draft:
    """A draft in one of several wordings, whose slots are filled; the wording is its template."""
    form = rng.choice(forms)
    return Draft(form.format(**slots), str(answer), tuple(map(str, wrong)), reason, key, form)


def yes_no(truth: bool) -> tuple[str, tuple[str, ...]]:
    """The answer and its distractor."""
    return ("yes", ("no",)) if truth else ("no", ("yes",))


def numbers_in(question: str) -> list[int]:
    """The whole numbers of a question, in order; a minus counts only before a digit and after no letter or digit."""
    return [int(found) for found in _NUMBERS.findall(question)]


def all_tasks() -> dict[str, Task]:
    """Every task by id, in a fixed order."""
    from components.synthesis.generators import (
        beliefs,
        code,
        daily,
        errands,
        grammar,
        logic,
        measures,
        minds,
        nature,
        numbers,
        objects,
        programs,
        puzzles,
        relations,
        science,
        words,
    )

    modules = (numbers, logic, daily, words, nature, minds, code)
    modules += (measures, relations, errands, objects, grammar, science, beliefs, programs, puzzles)
    return {task.id: task for module in modules for task in module.TASKS}
