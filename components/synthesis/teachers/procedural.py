"""The teacher without a model. It writes chapters from the curriculum's sentences and verified questions, chapters about
the corpus's own functions, and chapters of passing doctests of Python's library. Its texts are labelled as procedural.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.documents import Document, Drop
from components.params import SynthesisParams
from components.synthesis.chapters import questions_needed, write_chapters
from components.synthesis.curriculum import Curriculum
from components.synthesis.library import LibraryChapters
from components.synthesis.plan import Job, plan_chapters
from components.synthesis.teachers import Questions
from components.synthesis.worked_examples import FORMAT, WorkedExamples

LIBRARY_SHARE = 0.4  # share of the chapters, if the seeds have enough functions
EXAMPLES_PART = 4  # one in this many of these has doctests, if enough of them pass


class ProceduralTeacher:
    """See `components.synthesis.teachers.Teacher`."""

    def __init__(self, curriculum: Curriculum, seed: int) -> None:
        self.curriculum, self.seed = curriculum, seed
        self._library, self._examples = LibraryChapters(seed), WorkedExamples(seed)

    @property
    def drops(self) -> list[Drop]:
        return [*self._library.drops, *self._examples.drops]

    @property
    def drawn(self) -> int:
        return self._library.drawn + self._examples.drawn

    @property
    def passed(self) -> int:
        return self._library.passed + self._examples.passed

    def plan(self, seeds: Path, params: SynthesisParams) -> list[Job]:
        chapters = params.chapters
        library = self._library.plan(seeds, int(chapters * LIBRARY_SHARE))
        examples = self._examples.plan(len(library) // EXAMPLES_PART)
        library = [*library[: len(library) - len(examples)], *examples]
        return [*library, *plan_chapters(self.curriculum, chapters - len(library))]

    def prompts(self, jobs: Sequence[Job]) -> dict[str, tuple[str, str]]:
        return {}

    def needs(self, jobs: Sequence[Job]) -> dict[str, int]:
        return questions_needed(_own(jobs), self.curriculum)

    def write(self, jobs: Sequence[Job], given: Questions, taken: set[str]) -> Iterator[Document]:
        library = [job for job in jobs if job.subject == "library"]
        yield from self._library.write([job for job in library if job.format != FORMAT])
        yield from self._examples.write([job for job in library if job.format == FORMAT])
        yield from write_chapters(_own(jobs), given, self.curriculum, self.seed)

    def account(self) -> dict[str, Any]:
        return {}


def _own(jobs: Sequence[Job]) -> list[Job]:
    return [job for job in jobs if job.subject != "library"]
