"""A draft is one question with its answer, before and after verification; a hash assigns it to training or exam.

A draft has two identities. `question_hash` identifies the question's text (no text is used twice), and `key` the instance
(3 + 5 and "add 5 and 3" are one instance). Training and exam are split by the hash of the key, so that an instance of the
exam is never practised in another wording. If the task is a table of facts, the key is the question: the fact is taught
in one wording and examined in another.
"""

import hashlib
import re
from dataclasses import dataclass

_BLANKS = re.compile(r"\s+")
_SCALE = float(1 << 64)


@dataclass(slots=True, frozen=True)
class Draft:
    """One question.

    Attributes:
        question: the text of the question, which can be understood alone.
        answer: the correct choice.
        distractors: wrong choices, none equal to the answer or to each other.
        reason: why the answer is correct, in a sentence or two, for a worked example.
        key: the instance, for the split; empty means the question itself.
        template: the question's wording with open slots; its share of all exercises is limited.
    """

    question: str
    answer: str
    distractors: tuple[str, ...]
    reason: str
    key: str = ""
    template: str = ""


def normalise(question: str) -> str:
    """A question with normalised spacing and without outer blanks; case is kept, since it matters in Python."""
    return _BLANKS.sub(" ", question).strip()


def question_hash(question: str) -> str:
    """Hex hash (16 digits) of a question's normalised text."""
    return hashlib.sha256(normalise(question).encode()).hexdigest()[:16]


def is_held_out(task: str, draft: Draft, fraction: float) -> bool:
    """Whether the draft belongs to the exam: the hash of its instance, as a number in [0, 1), is under `fraction`."""
    key = f"{task}\n{draft.key or normalise(draft.question)}"
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / _SCALE
    return number < fraction


def form_fault(draft: Draft) -> str:
    """The fault in a draft's form, or an empty string."""
    choices = (draft.answer, *draft.distractors)
    if not draft.distractors:
        return "no distractor"
    if len(set(choices)) != len(choices):
        return "two equal choices"
    if not all(choice and choice == choice.strip() for choice in choices):
        return "an empty choice or one with spaces around it"
    if not draft.question.strip() or "\n\n" in draft.question:
        return "the question is empty or holds a blank line"
    return ""
