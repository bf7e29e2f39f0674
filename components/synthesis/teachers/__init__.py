"""Teachers write the chapters of a plan. One small interface, three implementations.

    procedural     built-in generators and the corpus's own functions; no network and no cost
    openai         a model behind any endpoint with OpenAI's API
    transformers   a local checkpoint, in this process

The last two differ only in how a prompt is answered; they share prompts, store, verification and provenance.
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
        """The number of the teacher's own questions before verification, without the given ones."""
        ...

    @property
    def passed(self) -> int:
        """The number of the teacher's own questions that passed verification."""
        ...

    def plan(self, seeds: Path, params: SynthesisParams) -> list[Job]:
        """The jobs, up to the parameters' numbers of chapters and rewrites."""
        ...

    def prompts(self, jobs: Sequence[Job]) -> dict[str, tuple[str, str]]:
        """Template and prompt hash by job id, for the jobs that have a prompt."""
        ...

    def needs(self, jobs: Sequence[Job]) -> dict[str, int]:
        """The number of verified questions that the chapters will use, by task."""
        ...

    def write(self, jobs: Sequence[Job], given: Questions, taken: set[str]) -> Iterator[Document]:
        """The chapters, in the order of the jobs.

        Args:
            given: verified questions by task, at most as many as `needs` requested.
            taken: every normalised question in use, including the exam's; the teacher's own questions are added.

        Raises:
            StepError: the teacher cannot be reached, refuses, or has spent its budget.
        """
        ...

    def account(self) -> dict[str, Any]:
        """The cost of the chapters, as facts about the data set; empty if they cost nothing."""
        ...


def make_teacher(
    params: TeacherParams, curriculum: Curriculum, lexicon: Lexicon, seed: int, state: Path, tracker: Any = None
) -> Teacher:
    """The teacher that the parameters name.

    Args:
        state: folder for answers and usage; kept after the run.
        tracker: records calls to a model.
    """
    if params.kind == "procedural":
        from components.synthesis.teachers.procedural import ProceduralTeacher

        return ProceduralTeacher(curriculum, seed)
    from components.synthesis.teachers.model import ModelTeacher

    return ModelTeacher(params, curriculum, lexicon, seed, state, tracker)
