"""Renders prompts from a job, with Jinja templates in files; a template's id changes with its text.

An unknown name in a template is an error, not an empty text. Text that a job contains is never rendered as a template.
"""

import hashlib
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.documents import REWRITE
from components.endpoint.request import Request
from components.foreign.templates import own_templates
from components.synthesis.curriculum import Curriculum
from components.synthesis.exercises import SCHEMA
from components.synthesis.questions import child_rng
from components.synthesis.rephrase import is_rewrite

if TYPE_CHECKING:
    from components.synthesis.plan import Job

FOLDER = Path(__file__).with_name("prompts")
EXERCISES = 8  # number of exercises requested per set
MIN_WORDS = 150
EXCERPT_CHARS = 1_200


@cache
def template_id(form: str) -> str:
    """Name and version of a format's template; the version is eight digits of the hash of it and all that it includes."""
    digest = hashlib.sha256()
    shared = [FOLDER / "system.md.j2", *sorted(FOLDER.glob("_*.j2"))]
    if is_rewrite(form):
        shared = [FOLDER / f"{REWRITE}{name}.md.j2" for name in ("system", "source")]
    for path in [*shared, FOLDER / f"{form}.md.j2"]:
        digest.update(path.read_bytes())
    return f"{form}@{digest.hexdigest()[:8]}"


class Prompts:
    """Renders jobs into requests.

    Args:
        parameters: common to all requests: teacher, endpoint, model, temperature and so on.
        excerpts: text of the chapters' seed documents, by document id.
        passages: text that a job rewrites, by job id.
    """

    def __init__(
        self,
        curriculum: Curriculum,
        parameters: Mapping[str, Any],
        excerpts: Mapping[str, str],
        passages: Mapping[str, str],
        seed: int,
    ) -> None:
        self.curriculum, self.parameters, self.seed = curriculum, parameters, seed
        self.excerpts, self.passages = excerpts, passages
        self._topics = {topic.id: topic for topic in curriculum.topics}

    @cached_property
    def _environment(self) -> Any:
        return own_templates(FOLDER)  # prompts are text: nothing is escaped

    def request(self, job: "Job") -> Request:
        """The request of a job. Its seed depends on the job's id and the run's seed."""
        if is_rewrite(job.format):
            content = self._environment.get_template(f"{job.format}.md.j2").render(passage=self.passages[job.id])
            return self._request(job, f"{REWRITE}system", content)
        topic = self._topics[job.topic]
        content = self._environment.get_template(f"{job.format}.md.j2").render(
            topic=topic,
            reader=self.curriculum.audiences[job.audience].reader,
            prerequisites=[self._topics[needed].title for needed in topic.prerequisites],
            words=list(job.words),
            excerpt=self.excerpts.get(job.seed_document, "")[:EXCERPT_CHARS],
            exercises=EXERCISES,
            min_words=MIN_WORDS,
        )
        return self._request(job, "system", content)

    def _request(self, job: "Job", system_template: str, content: str) -> Request:
        system = self._environment.get_template(f"{system_template}.md.j2").render()
        own = {"seed": child_rng(self.seed, "request", job.id).randrange(2**31)}
        schema = SCHEMA if job.format == "exercises" else None
        parameters = {k: v for k, v in self.parameters.items() if schema is not None or k != "structured"}
        return Request(job.id, (("system", system.strip()), ("user", content.strip())), own | parameters, schema)
