"""Draws questions until each task has its share, and verifies and accounts for each of them.

Each draft ends in exactly one place: kept for training, kept for the exam (or its held-out wordings), or in the ledger
with the rule that rejected it. So rows drawn = training + exam + reworded + ledger.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random

from components.documents import Drop
from components.params import SynthesisParams
from components.synthesis.drafts import Draft, form_fault, is_held_out, normalise, question_hash
from components.synthesis.execution import evaluate
from components.synthesis.generators import Lexicon, Task
from components.synthesis.wordings import has_wording

STEP = "synthesis"
VERSION = "1"
BLOCK, EXECUTED_BLOCK = 32, 1_024  # drafts per block; one process verifies a block of executed drafts
PATIENCE = 400  # this many consecutive repeated drafts mean that the space is exhausted


@dataclass
class Pool:
    """The questions of one run.

    Attributes:
        training: drafts by task, in the order drawn.
        exam: drafts by task.
        reworded: drafts in held-out wordings, by task.
        reserved: drafts of training that chapters take, by task.
        composed: pairs of questions of the exam, by name.
        drops: the ledger.
        drawn: number of drafts drawn.
        exhausted: tasks whose space ended before their share was full.
    """

    training: dict[str, list[Draft]] = field(default_factory=dict)
    exam: dict[str, list[Draft]] = field(default_factory=dict)
    reworded: dict[str, list[Draft]] = field(default_factory=dict)
    reserved: dict[str, list[Draft]] = field(default_factory=dict)
    composed: dict[str, list[Draft]] = field(default_factory=dict)
    drops: list[Drop] = field(default_factory=list)
    drawn: int = 0
    exhausted: list[str] = field(default_factory=list)


def created_by(generator: str) -> str:
    """The `created_by` of a generator's document, which never contains a model's name."""
    return f"procedural/{VERSION}:{generator}"


def confirms(value: str, draft: Draft) -> bool:
    """Whether a recomputed value equals the draft's answer; a program prints a name such as ValueError in quotes."""
    return value in (draft.answer, repr(draft.answer))


def child_rng(seed: int, *names: object) -> Random:
    """A separate random generator for a named part, so that parts do not affect each other's draws."""
    digest = hashlib.sha256(repr((seed, *names)).encode()).digest()
    return Random(int.from_bytes(digest[:8], "big"))


def shares(total: int, tasks: Mapping[str, Task]) -> dict[str, int]:
    """Split `total` over the tasks by weight; the parts add up exactly."""
    weight = sum(task.weight for task in tasks.values())
    split, given, passed = {}, 0, 0.0
    for name, task in tasks.items():
        passed += task.weight
        split[name] = round(total * passed / weight) - given
        given += split[name]
    return split


class Collector:
    """Fills a pool task by task. If one task has too few questions for its share, the others give more."""

    def __init__(
        self,
        tasks: Mapping[str, Task],
        lexicon: Lexicon,
        seed: int,
        params: SynthesisParams,
        practised: Mapping[str, Task] | None = None,
        wordings: Mapping[str, Sequence[str]] | None = None,
    ):
        """
        Args:
            params: sizes of the exam and share of the questions that it may take.
            practised: the tasks that share the exercises by weight and are examined; None = all tasks.
            wordings: templates that training never contains, by task; None = there are none.
        """
        self.tasks, self.lexicon, self.params = tasks, lexicon, params
        self.practised = tasks if practised is None else practised
        self.wordings = wordings or {}
        self.pool = Pool({name: [] for name in tasks}, {name: [] for name in tasks}, {name: [] for name in tasks})
        self._streams = {name: task.generate(child_rng(seed, "task", name), lexicon) for name, task in tasks.items()}
        self.seen: set[str] = set()  # every question drawn, normalised

    def collect(self, total: int, beside: Mapping[str, int] | None = None) -> Pool:
        """Draw until `total` training questions of the practised tasks are kept, or until these tasks have no more.

        Args:
            beside: the number of questions to draw for each task that is not practised.
        """
        for name, count in (beside or {}).items():
            if not self._fill(name, count):
                self.pool.exhausted.append(name)
        open_tasks = dict(self.practised)
        missing = total
        while missing > 0 and open_tasks:
            for name, share in shares(missing, open_tasks).items():
                if not self._fill(name, len(self.pool.training[name]) + share):
                    del open_tasks[name]
                    self.pool.exhausted.append(name)
            missing = total - sum(len(self.pool.training[name]) for name in self.practised)
        return self.pool

    def _exam_room(self, name: str) -> int:
        """The number of questions that the exam takes from a task."""
        return self.params.exam_examples if name in self.practised else 0

    def _fill(self, name: str, quota: int) -> bool:
        """Draw until the task has `quota` training questions and its exam; False if its questions run out first."""
        training, exam, reworded = self.pool.training[name], self.pool.exam[name], self.pool.reworded[name]
        stale, least = 0, self.params.reworded_examples if name in self.wordings else 0
        # A process per block is expensive, so one block of executed drafts should fill the exam.
        block_size, factor = (EXECUTED_BLOCK, 12) if self.tasks[name].executed else (BLOCK, 8)
        room = self._exam_room(name)
        while len(training) < quota or len(exam) < room or len(reworded) < least:
            wanted = max(room - len(exam), least - len(reworded))
            missing = max(quota - len(training), factor * wanted, 1)
            block = list(islice(self._streams[name], min(block_size, missing)))
            if not block or stale >= PATIENCE:
                self.pool.drawn += len(block)
                self._drop_all(name, block, "task_exhausted")
                return len(training) >= quota
            fresh = self._admit(name, block, quota)
            stale = 0 if fresh else stale + len(block)
        return True

    def _admit(self, name: str, block: list[Draft], quota: int) -> int:
        """Place each draft of a block; returns the number of new drafts."""
        self.pool.drawn += len(block)
        fresh = []
        for draft in block:
            question = normalise(draft.question)
            if question in self.seen:
                self._drop(name, draft, "duplicate_question", "already asked, in this or another task")
            else:
                self.seen.add(question)
                fresh.append(draft)
        for draft, fault in zip(fresh, self._faults(name, fresh), strict=True):
            side, room, rule = self._side(name, draft, quota)
            if fault:
                self._drop(name, draft, "verification", fault)
            elif len(side) >= room:
                self._drop(name, draft, rule, "verified, but its split already has enough", len(side), room)
            else:
                side.append(draft)
        return len(fresh)

    def _side(self, name: str, draft: Draft, quota: int) -> tuple[list[Draft], int, str]:
        """The side of a draft, that side's capacity, and the rule that rejects further drafts."""
        if has_wording(draft, self.wordings.get(name, ())):
            return self.pool.reworded[name], self.params.reworded_examples, "reworded_full"
        if is_held_out(name, draft, self.params.exam_fraction):
            return self.pool.exam[name], self._exam_room(name), "exam_full"
        return self.pool.training[name], quota, "share_full"

    def _faults(self, name: str, drafts: list[Draft]) -> Iterator[str]:
        """The fault of each draft, or an empty string: its form is checked first, then its answer by an independent route."""
        task = self.tasks[name]
        solved = [task.solve(draft.question, self.lexicon) for draft in drafts]
        if task.executed:
            solved = [value if fine else f"no value ({value})" for fine, value in evaluate([(e, ()) for e in solved])]
        for draft, value in zip(drafts, solved, strict=True):
            fault = form_fault(draft)
            if not fault and not confirms(value, draft):
                fault = f"the generator answers {draft.answer!r}, the recomputation {value!r}"
            yield fault

    def _drop_all(self, name: str, drafts: list[Draft], rule: str) -> None:
        for draft in drafts:
            self._drop(name, draft, rule, "")

    def _drop(
        self,
        name: str,
        draft: Draft,
        rule: str,
        detail: str,
        value: float | None = None,
        threshold: float | None = None,
    ) -> None:
        self.pool.drops.append(
            Drop(
                id=question_hash(draft.question),
                step=STEP,
                rule=rule,
                value=value,
                threshold=threshold,
                detail=f"{draft.question} [{detail}]" if detail else draft.question,
                source=created_by(name),
            )
        )
