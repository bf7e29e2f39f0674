"""Makes the plan: a table of jobs, one per chapter, before anything is written.

    topic x format x audience x seed document x constraint words

A job's id depends only on topic, format, audience and number, not on other jobs. Chapters about library functions are
jobs as well: their topic is the function, their seed document its source. A model's job has at most one seed document, so
that a split of documents can keep a chapter with the document that it quotes.
"""

import hashlib
import heapq
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.documents import read_batches
from components.files import atomic_file
from components.synthesis.curriculum import Curriculum
from components.synthesis.generators import Lexicon
from components.synthesis.questions import child_rng

MAX_SEEDS = 20_000  # maximum number of seed documents to choose from, which limits memory
EXCERPT_CHARS = 1_200

PLAN = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("topic", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("audience", pa.string(), nullable=False),
        pa.field("number", pa.int64(), nullable=False),
        pa.field("seed_document", pa.string(), nullable=False),  # id in the curated corpus, or empty
        pa.field("words", pa.list_(pa.string()), nullable=False),
        pa.field("template", pa.string(), nullable=False),  # prompt template and version; empty without a prompt
        pa.field("prompt_sha256", pa.string(), nullable=False),  # of the messages; empty without a prompt
    ]
)


@dataclass(frozen=True, slots=True)
class Job:
    """One chapter to write."""

    subject: str
    topic: str
    category: str
    format: str
    audience: str = ""
    number: int = 0
    seed_document: str = ""
    words: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        fields = f"{self.topic}/{self.format}/{self.audience}/{self.number}"
        return hashlib.sha256(fields.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The beginning of a curated document, for a prompt."""

    id: str
    text: str
    kind: str
    license: str


def plan_chapters(curriculum: Curriculum, chapters: int) -> list[Job]:
    """Jobs for all topics in turn, through formats and audiences, until `chapters` are planned."""
    variants = list(product(curriculum.formats, sorted(curriculum.audiences)))
    jobs: list[Job] = []
    number = 0
    while len(jobs) < chapters:
        # A stride that is coprime to the number of variants gives each topic another format and audience each round.
        for index, topic in enumerate(curriculum.topics):
            form, audience = variants[(number * 7 + index * 5) % len(variants)]
            jobs.append(Job(topic.subject, topic.id, topic.category, form, audience, number))
        number += 1
    return jobs[:chapters]


def seeded(jobs: Sequence[Job], excerpts: Mapping[str, Excerpt], lexicon: Lexicon, seed: int) -> list[Job]:
    """The jobs, each with a seed document and constraint words, which are drawn by the job's id.

    Jobs about code get code, the others prose if there is any. The words (a noun, a verb, an adjective) keep a model
    from telling the same story again (TinyStories, arXiv 2305.07759).
    """
    code = sorted(id for id, excerpt in excerpts.items() if excerpt.kind == "code")
    prose = sorted(id for id, excerpt in excerpts.items() if excerpt.kind != "code")
    result = []
    for job in jobs:
        rng = child_rng(seed, "seeded", job.id)
        pool = code if job.category == "code" else prose
        document = rng.choice(pool) if pool else ""
        words = tuple(rng.choice(lexicon[kind]) for kind in ("nouns", "verbs", "adjectives"))
        result.append(Job(job.subject, job.topic, job.category, job.format, job.audience, job.number, document, words))
    return result


def read_excerpts(directory: Path, most: int = MAX_SEEDS) -> dict[str, Excerpt]:
    """The beginnings of at most `most` curated documents, by id, chosen by id so that their order does not matter."""
    excerpts = (
        Excerpt(row["id"], _beginning(row["text"]), row["kind"], row["license"])
        for batch in read_batches(directory, columns=["id", "text", "kind", "license"])
        for row in batch.to_pylist()
    )
    chosen = heapq.nsmallest(most, excerpts, key=lambda excerpt: int(excerpt.id, 16))
    return {excerpt.id: excerpt for excerpt in sorted(chosen, key=lambda excerpt: excerpt.id)}


def _beginning(text: str) -> str:
    """Whole lines from the start of a text, at most EXCERPT_CHARS characters."""
    if len(text) <= EXCERPT_CHARS:
        return text.strip()
    cut = text[:EXCERPT_CHARS]
    return (cut.rpartition("\n")[0] or cut).strip()


def plan_table(jobs: Sequence[Job], prompts: Mapping[str, tuple[str, str]]) -> pa.Table:
    """The plan as a table in the order of the jobs; `prompts` gives template and prompt hash by job id."""
    columns: dict[str, list] = {name: [] for name in PLAN.names}
    for job in jobs:
        template, prompt = prompts.get(job.id, ("", ""))
        row = {"id": job.id, "template": template, "prompt_sha256": prompt, "words": list(job.words)}
        for name in PLAN.names:
            columns[name].append(row[name] if name in row else getattr(job, name))
    return pa.table(columns, schema=PLAN)


def plan_sha256(table: pa.Table) -> str:
    """Hex SHA-256 of a plan's rows."""
    digest = hashlib.sha256()
    for batch in table.to_batches(max_chunksize=10_000):
        digest.update(json.dumps(batch.to_pylist(), sort_keys=True, ensure_ascii=False).encode())
    return digest.hexdigest()


def write_plan(path: Path, table: pa.Table) -> None:
    """Write a plan as Parquet, whole or not at all."""
    with atomic_file(path) as partial:
        pq.write_table(table, partial, compression="zstd")
