"""Teachers write the chapters of a plan. One small interface, three implementations.

    procedural     our generators and the corpus' own functions; no network, nothing to pay
    openai         a model behind any endpoint of that API
    transformers   a local checkpoint, in this process

The two models share everything but the way a prompt is answered: prompts, store, verification, provenance.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from components.documents import Document, Drop
from components.params import SynthesisParams, TeacherParams
from components.synthesis.curriculum import Curriculum
from components.synthesis.drafts import Draft
from components.synthesis.generators import Lexicon
from components.synthesis.plan import Job

Questions = Mapping[str, list[Draft]]


class Teacher(Protocol):
    """Plans and writes chapters, and accounts for every question and every job."""

    @property
    def drops(self) -> list[Drop]:
        """The ledger's rows: rejected questions and failed jobs."""
        ...

    @property
    def drawn(self) -> int:
        """Questions of its own before verification, without those that it was given."""
        ...

    @property
    def passed(self) -> int:
        """Questions of its own that passed verification."""
        ...

    def plan(self, seeds: Path, params: SynthesisParams) -> list[Job]:
        """The jobs of at most so many chapters and rewrites as the parameters say."""
        ...

    def prompts(self, jobs: Sequence[Job]) -> dict[str, tuple[str, str]]:
        """Template and prompt hash by job id, for the jobs that have a prompt."""
        ...

    def needs(self, jobs: Sequence[Job]) -> dict[str, int]:
        """How many verified questions of each task the chapters will work through."""
        ...

    def write(self, jobs: Sequence[Job], given: Questions, taken: set[str]) -> Iterator[Document]:
        """The chapters, in the order of the jobs.

        Args:
            given: verified questions by task, as many as `needs` asked for, or fewer.
            taken: every question that is asked anywhere, exam included, normalised; own ones are added.

        Raises:
            StepError: the teacher cannot be reached, refuses, or has spent its budget.
        """
        ...

    def account(self) -> dict[str, Any]:
        """The cost of the chapters, as facts about the data set; empty if nothing."""
        ...


def make_teacher(
    params: TeacherParams, curriculum: Curriculum, lexicon: Lexicon, seed: int, state: Path, tracker: Any = None
) -> Teacher:
    """The teacher that the parameters name.

    Args:
        state: folder for answers and usage; kept after the run.
        tracker: logs every call to a model.
    """
    if params.kind == "procedural":
        from components.synthesis.teachers.procedural import ProceduralTeacher

        return ProceduralTeacher(curriculum, seed)
    from components.synthesis.teachers.model import ModelTeacher

    return ModelTeacher(params, curriculum, lexicon, seed, state, tracker)
