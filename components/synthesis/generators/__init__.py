"""Families of exercises: what is asked and how it is worded in `families.yaml`, how it is drawn and checked in the modules.

Each family has a function that writes drafts and a solver, which reads nothing but the text of the question and finds
the answer by another route. A draft counts as verified when both agree. The function of a family whose space is small
yields all of it in random order; any other returns one draft, or None to draw again, and is called without end.
"""

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeVar

from components.params import read_yaml
from components.synthesis.drafts import Draft

Lexicon = dict[str, Any]
Drafts = Iterator[Draft]
Solver = Callable[[str, Lexicon], str]  # of a family of code: gives the program, its last statement an expression
T = TypeVar("T")
_NUMBERS = re.compile(r"(?<![\w-])-?\d+")

FAMILIES = Path(__file__).with_name("families.yaml")
CATEGORIES = ("math", "reasoning", "commonsense", "language", "code", "science", "theory of mind")


class Form(NamedTuple):
    """A wording of a family, with its slots open, and what kind of question it asks if there are several."""

    text: str
    kind: str = ""

    def draft(
        self, answer: object, wrong: Iterable[object], reason: str, key: str = "", shape: str = "", /, **slots: object
    ) -> Draft:
        """The draft in this wording. The wording is its template, with `shape`, if there is one, in brackets."""
        template = f"{self.text} [{shape}]" if shape else self.text
        return Draft(self.text.format(**slots), str(answer), tuple(map(str, wrong)), reason, key, template)


class Draw(Random):
    """What a family draws from: random numbers, the lexicon, and its own wordings."""

    lexicon: Lexicon
    forms: Sequence[Form]

    def name(self) -> str:
        """A person."""
        return self.choice(self.lexicon["names"])

    def shuffled(self, items: Iterable[T]) -> list[T]:
        """A space in random order."""
        items = list(items)
        self.shuffle(items)
        return items

    def near(self, value: int, count: int = 3, low: int = 0, spread: Sequence[int] = (1, 2, 10, 3)) -> list[str]:
        """`count` distinct numbers near `value`, none under `low`."""
        offsets = [o for o in (*spread, *(-s for s in spread)) if value + o >= low]
        return [str(value + o) for o in self.sample(offsets, count)]

    def others(self, pool: Iterable[str], right: str, count: int = 3) -> list[str]:
        """`count` entries of a pool that differ from the right one."""
        return self.sample([entry for entry in pool if entry != right], count)

    def balanced(self, cases: Sequence[tuple[str, str]], holds: Callable[[str, str], bool]) -> list[tuple[str, str]]:
        """As many of the cases for which something holds as of the others."""
        sides = [[case for case in cases if holds(*case) is truth] for truth in (True, False)]
        return [case for side in sides for case in self.sample(side, min(map(len, sides)))]

    def ask(
        self,
        answer: object,
        wrong: Iterable[object],
        reason: str,
        key: str = "",
        form: Form | str = "",
        shape: str = "",
        /,
        **slots: object,
    ) -> Draft:
        """A draft in the wording `form`, or in one of the family's wordings of that kind, or in any."""
        forms = [form] if isinstance(form, Form) else [known for known in self.forms if form in ("", known.kind)]
        return self.choice(forms).draft(answer, wrong, reason, key, shape, **slots)


@dataclass(frozen=True, slots=True)
class Task:
    """One family of questions.

    Attributes:
        id: stable name; file name of its exam.
        category: one of CATEGORIES.
        write: its function: yields drafts, or returns one, or None.
        solve: answers a question from its text alone. For an executed task: gives the program to run.
        executed: the answer is what a Python process prints for the program's last expression.
        weight: share of the exercises, relative to the other tasks; more for what a model of a million parameters can
            learn from a few thousand examples, less for what it cannot.
        forms: its wordings.
    """

    id: str
    category: str
    write: Callable[[Draw], Any]
    solve: Solver
    executed: bool = False
    weight: float = 1.0
    forms: tuple[Form, ...] = ()

    def generate(self, rng: Random, lexicon: Lexicon) -> Drafts:
        """Drafts without end, or until the space of the family is exhausted."""
        draw = Draw()
        draw.setstate(rng.getstate())
        draw.lexicon, draw.forms = lexicon, self.forms
        if inspect.isgeneratorfunction(self.write):
            yield from self.write(draw)
            return
        while True:
            if draft := self.write(draw):
                yield draft


def pick_wrong(answer: object, candidates: Iterable[T], count: int | None = 3) -> list[T]:
    """The first `count` candidates that differ from the answer and from each other."""
    return [candidate for candidate in dict.fromkeys(candidates) if candidate != answer][:count]


def yes_no(truth: bool) -> tuple[str, tuple[str, ...]]:
    """The answer and its distractor."""
    return ("yes", ("no",)) if truth else ("no", ("yes",))


def numbers_in(question: str) -> list[int]:
    """The whole numbers of a question, in order; a minus counts only before a digit and after no letter or digit."""
    return [int(found) for found in _NUMBERS.findall(question)]


def words_in(question: str, known: Collection[str]) -> list[str]:
    """The words of a question that are known, in order."""
    return [word for word in re.findall(r"\w+", question) if word in known]


def search(pattern: str, question: str) -> re.Match[str]:
    """The first match of a pattern that every question of the family has."""
    match = re.search(pattern, question)
    if match is None:
        raise ValueError(f"{question!r} does not match {pattern!r}; add its wording to the solver")
    return match


def extract(pattern: str, question: str) -> str:
    """What a pattern's group matches; of alternatives with a group each, the one that matches."""
    return next(group for group in search(pattern, question).groups() if group)


@cache
def _families() -> tuple[Task, ...]:
    return tuple(
        _task(name, group["category"], import_module(f"{__name__}.{group['module']}"), **(about or {}))
        for group in read_yaml(FAMILIES)["groups"]
        for name, about in group["families"].items()
    )


def _task(
    name: str, category: str, module: Any, weight: float = 1.0, program: str = "", forms: Sequence[Any] = ()
) -> Task:
    made = tuple(Form(form) if isinstance(form, str) else Form(*next(iter(form.items()))[::-1]) for form in forms)
    solve = getattr(import_module(f"{__name__}.code") if program else module, program or f"solve_{name}")
    return Task(name, category, getattr(module, name), solve, bool(program), weight, made)


def all_tasks() -> dict[str, Task]:
    """Every task by id, in a fixed order."""
    return {task.id: task for task in _families()}
