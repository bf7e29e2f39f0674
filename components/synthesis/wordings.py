"""Loads the exam's held-out wordings: practised tasks in wordings and compositions that training never contains.

A wording is held out as a whole: none of its questions is practised, whatever the instance. It asks the same as a
practised wording, so it shows whether a model learned the task or only its wording. Its instances may be practised in
another wording. A composition asks two held-out questions at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.errors import StepError
from components.params import read_yaml
from components.synthesis.drafts import Draft
from components.synthesis.generators import Task

WORDINGS = Path(__file__).with_name("wordings.yaml")
COMPOSITION = "composition"  # category of compositions, and their template


@dataclass(frozen=True)
class HeldOut:
    """The held-out wordings and compositions.

    Attributes:
        wordings: held-out templates, by task.
        compositions: pairs of tasks.
    """

    wordings: Mapping[str, tuple[str, ...]]
    compositions: tuple[tuple[str, str], ...]


NOTHING = HeldOut({}, ())


def load_held_out(tasks: Mapping[str, Task], practised: Iterable[str], path: Path = WORDINGS) -> HeldOut:
    """The held-out wordings and compositions of the practised tasks; other tasks are not examined.

    Raises:
        StepError: the file names an unknown task.
    """
    content, practised = read_yaml(path), set(practised)
    named = [*content["wordings"], *(name for pair in content["compositions"] for name in pair)]
    if unknown := sorted({*named} - {*tasks}):
        raise StepError(f"{path}: {unknown[0]!r} is not a task; correct the id")
    wordings = {name: tuple(forms) for name, forms in content["wordings"].items() if name in practised}
    pairs = tuple((first, second) for first, second in content["compositions"] if {first, second} <= practised)
    return HeldOut(wordings, pairs)


def has_wording(draft: Draft, wordings: Iterable[str]) -> bool:
    """Whether a draft uses one of some wordings; text in brackets at the end of its template is not part of the wording."""
    return any(draft.template == form or draft.template.startswith(f"{form} [") for form in wordings)


def compose(pairs: Iterable[tuple[str, str]], exam: Mapping[str, Sequence[Draft]], most: int) -> dict[str, list[Draft]]:
    """At most `most` compositions of each pair of tasks, from questions of the exam, by a name such as `plural_halves`.

    Each has four choices: all pairs of a correct and a wrong answer of both questions.
    """
    return {
        f"{first}_{second}": [_pair(a, b) for a, b in zip(exam[first][:most], exam[second][:most], strict=False)]
        for first, second in pairs
    }


def _pair(first: Draft, second: Draft) -> Draft:
    right, *wrong = (
        f"{a}; {b}" for a in (first.answer, first.distractors[0]) for b in (second.answer, second.distractors[0])
    )
    question = f"First: {first.question} Second: {second.question}"
    return Draft(question, right, tuple(wrong), f"{first.reason} {second.reason}", template=COMPOSITION)
