"""A model as the teacher: it sends prompts, and keeps only the answers that pass verification.

All answers are first fetched into the store; the chapters are then made from the store in the order of the plan. So the
data set depends only on the answers, not on when they arrived or how often the run was interrupted.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from components.documents import REWRITE, Document, Drop
from components.endpoint.budget import Budget
from components.endpoint.dispatch import Call, Dispatcher, GivenUp, Policy, Tally
from components.endpoint.forecast import Forecast
from components.endpoint.lock import alone
from components.endpoint.request import Accept, Reply, Request
from components.endpoint.store import Store
from components.endpoint.trace import CallSample, trace_calls
from components.params import SynthesisParams, TeacherParams
from components.running.progress import Progress
from components.synthesis.chapters import exercise_pair
from components.synthesis.curriculum import Curriculum
from components.synthesis.drafts import normalise, question_hash
from components.synthesis.exercises import Exercise, Verdict, read_exercises, verify
from components.synthesis.generators import Lexicon
from components.synthesis.plan import Excerpt, Job, plan_chapters, read_excerpts, seeded
from components.synthesis.prompts import Prompts, template_id
from components.synthesis.prose import clean, code_faults, format_fault, prose_fault
from components.synthesis.questions import STEP
from components.synthesis.rephrase import (
    Passage,
    is_rewrite,
    ordinary_words,
    plan_rewrites,
    rewrite_fault,
)
from components.synthesis.sandboxed import Programs
from components.synthesis.teachers import Questions
from components.text.languages import UNKNOWN, identify
from components.text.markup import strip_markup
from components.tracking import Tracker

BLOCK = 256  # number of chapters that are verified together
NAMES = {"openai": "api", "transformers": "local"}
STORE = "answers.sqlite"
SECTION = "synthesis.teacher"  # of the parameters


class Written(NamedTuple):
    """A model's text for a job that passed verification."""

    text: str
    kind: str
    questions: list[str]  # hashes
    record: dict[str, Any]  # record of the verification


class Answers(Protocol):
    """Fetches answers into a store, and returns the requests that it gave up."""

    def fetch(self, requests: Iterable[Request], accept: Accept) -> list[GivenUp]: ...


class ModelTeacher:
    """See `components.synthesis.teachers.Teacher`."""

    def __init__(
        self, params: TeacherParams, curriculum: Curriculum, lexicon: Lexicon, seed: int, state: Path, tracker: Any
    ) -> None:
        self.params, self.curriculum, self.lexicon, self.seed = params, curriculum, lexicon, seed
        self.state, self.tracker = state, tracker or Tracker()
        self.drops: list[Drop] = []
        self.drawn = self.passed = 0
        self._excerpts: dict[str, Excerpt] = {}
        self._passages: dict[str, Passage] = {}  # the passage that a job rewrites, by job id
        self._ordinary: set[str] = set()
        self._used = {"answers": 0, "unknown_usage": 0, "prompt_tokens": 0, "completion_tokens": 0}
        self._cost = 0.0
        self._models: set[str] = set()
        self._stripped: Counter[str] = Counter()
        self._given_up: dict[str, GivenUp] = {}
        self._calls = CallSample(params.traces)
        self._kept: set[str] = set()  # jobs

    def plan(self, seeds: Path, params: SynthesisParams) -> list[Job]:
        self._excerpts = read_excerpts(seeds)
        chapters = seeded(plan_chapters(self.curriculum, params.chapters), self._excerpts, self.lexicon, self.seed)
        rewrites, self._passages = plan_rewrites(seeds, params.rephrase, params.rephrase_formats, self.seed)
        points = [point for topic in self.curriculum.topics for point in topic.points]
        self._ordinary = ordinary_words([*points, *(passage.text for passage in self._passages.values())])
        return [*chapters, *rewrites]

    def prompts(self, jobs: Sequence[Job]) -> dict[str, tuple[str, str]]:
        render = self._prompts()
        return {job.id: (template_id(job.format), render.request(job).prompt_sha256) for job in jobs}

    def needs(self, jobs: Sequence[Job]) -> dict[str, int]:
        return {}

    def write(self, jobs: Sequence[Job], given: Questions, taken: set[str]) -> Iterator[Document]:
        render = self._prompts()
        plan = self._plan_key(jobs, render)
        with (
            Programs() as programs,  # first, so that no unverifiable answer is paid for
            alone(self.state / f"{plan}.lock"),
            Store(self.state / STORE, self.params.prices) as store,
        ):
            try:
                self._fetch(jobs, render, store, plan)
                left = iter(jobs)
                while block := list(islice(left, BLOCK)):
                    requests = [render.request(job) for job in block]
                    answers = [(job, r, store.get(r.key)) for job, r in zip(block, requests, strict=True)]
                    yield from self._chapters(answers, store, taken, programs)
            finally:
                rejected = {drop.id: f"rejected: {drop.rule}" for drop in self.drops} | dict.fromkeys(
                    self._kept, "kept"
                )
                trace_calls(
                    self.tracker,
                    self._calls,
                    self.params,
                    store,
                    lambda call: rejected.get(call.request.job, "answered"),
                )

    def account(self) -> dict[str, Any]:
        """Usage of the answers in the data set, and the number of answers by stripped markup. The cost of failed calls is only
        in the store."""
        known = self._used["unknown_usage"] == 0
        return {
            "kind": self.params.kind,
            "model": self.params.model,
            "returned_models": sorted(self._models),
            **self._used,
            "stripped": dict(sorted(self._stripped.items())),
            "cost": self._cost if known and self.params.prices is not None else None,
            "price_source": self.params.price_source,
        }

    def _prompts(self) -> Prompts:
        p = self.params
        parameters = {
            "teacher": p.kind,
            "endpoint": p.base_url.rstrip("/"),
            "model": p.model if p.kind == "openai" else Path(p.model).name,
            "temperature": p.temperature,
            "top_p": p.top_p,
            "max_tokens": p.max_tokens,
            "structured": p.structured,
        }
        if p.kind == "transformers":
            from components.synthesis.teachers.transformers import checkpoint_sha256

            parameters |= {"weights": checkpoint_sha256(Path(p.model)), "batch_size": p.batch_size}
        excerpts = {id: excerpt.text for id, excerpt in self._excerpts.items()}
        passages = {id: passage.text for id, passage in self._passages.items()}
        return Prompts(self.curriculum, parameters | p.request, excerpts, passages, self.seed)

    def _plan_key(self, jobs: Sequence[Job], render: Prompts) -> str:
        digest = hashlib.sha256(json.dumps(dict(render.parameters), sort_keys=True).encode())
        for job in jobs:
            digest.update(render.request(job).key.encode())
        return digest.hexdigest()[:20]

    def _fetch(self, jobs: Sequence[Job], render: Prompts, store: Store, plan: str) -> None:
        """Get every job's request answered or given up."""
        forms = {job.id: job.format for job in jobs}

        def accept(request: Request, reply: Reply) -> str:
            return _form_fault(forms[request.job], reply.text)

        try:
            given_up = self._answers(store, plan, len(jobs)).fetch((render.request(job) for job in jobs), accept)
        finally:
            self._say_spent(store, plan)
        self._given_up = {one.job: one for one in given_up}

    def _answers(self, store: Store, plan: str, total: int) -> Answers:
        budget = Budget.of(store, plan, self.params.budget_tokens, self.params.budget_money)
        if self.params.kind == "transformers":
            from components.synthesis.teachers.transformers import LocalAnswers

            return LocalAnswers(self.params, store, plan, budget, calls=self._calls)
        return EndpointAnswers(self.params, store, plan, budget, total, self._calls)

    def _say_spent(self, store: Store, plan: str) -> None:
        """Print the plan's cost so far, over all its resumes and including failed calls, and log it to MLflow."""
        spent = store.spent(plan)
        kinds = "".join(f", {count} {kind}" for kind, count in store.unusable(plan).items())
        cost = "" if spent.cost is None else f", {spent.cost:.4g} {self.params.price_source}".rstrip()
        print(
            f"teacher: {spent.calls} calls paid so far ({spent.unusable} unusable{kinds}; {spent.unknown} without usage), "
            f"{spent.prompt_tokens:,} + {spent.completion_tokens:,} tokens{cost}",
            flush=True,
        )
        figures: dict[str, float] = {"calls": spent.calls, "unusable": spent.unusable, "tokens": spent.tokens}
        figures |= {} if spent.cost is None else {"cost": spent.cost}
        self.tracker.metrics({f"teacher.spent.{name}": value for name, value in figures.items()})

    def _chapters(
        self,
        answers: Sequence[tuple[Job, Request, Reply | None]],
        store: Store,
        taken: set[str],
        programs: Programs,
    ) -> Iterator[Document]:
        """The chapters of a block that pass verification; the others go to the ledger."""
        texts = [clean(reply.text) if reply else "" for _, _, reply in answers]
        prose = [
            i
            for i, (job, _, reply) in enumerate(answers)
            if reply and job.format != "exercises" and not is_rewrite(job.format)
        ]
        code = dict(zip(prose, code_faults([texts[i] for i in prose], programs), strict=True))
        sets = {
            i: read_exercises(texts[i])[1]
            for i, (job, _, reply) in enumerate(answers)
            if reply and job.format == "exercises"
        }
        flat = [exercise for exercises in sets.values() for exercise in exercises]
        verdicts = iter(verify(flat, programs))
        verified = {i: [(exercise, next(verdicts)) for exercise in exercises] for i, exercises in sets.items()}
        for i, (job, request, reply) in enumerate(answers):
            if reply is None:
                self._drop_job(job, *self._why(job))
                continue
            self._count(reply, store)
            if job.format == "exercises":
                made = self._exercise_set(job, verified[i], taken)
            elif is_rewrite(job.format):
                made = self._rewrite(job, request, texts[i])
            else:
                made = self._prose(job, request, texts[i], *code[i])
            if made is not None:
                self._kept.add(job.id)
                yield self._document(job, request, reply, made)

    def _prose(self, job: Job, request: Request, text: str, code_fault: str, examples: int) -> Written | None:
        excerpt = self._excerpts[job.seed_document].text if job.seed_document else ""
        if found := prose_fault(text, _instructions(request), excerpt):
            self._drop_job(job, *found)
            return None
        if code_fault:
            self._drop_job(job, "code", code_fault)
            return None
        record = {"method": "format, language, leaks, sums and code checked", "passed": examples}
        return Written(text, "textbook", [], record)

    def _rewrite(self, job: Job, request: Request, text: str) -> Written | None:
        passage = self._passages[job.id].text
        instructions = "\n".join(content.replace(passage, " ") for _, content in request.messages)
        if found := rewrite_fault(text, passage, instructions, self._ordinary):
            self._drop_job(job, *found)
            return None
        record = {"method": "format, language, length, leaks and sums checked; numbers and names occur in the passage"}
        return Written(text, "textbook", [], record)

    def _exercise_set(self, job: Job, exercises: Sequence[tuple[Exercise, Verdict]], taken: set[str]) -> Written | None:
        kept = []
        for exercise, (fault, answer) in exercises:
            self.drawn += 1
            question = normalise(exercise.question)
            if question in taken:
                self._drop_question(job, exercise, "duplicate_question", "already asked, in training or exam")
            elif fault:
                self._drop_question(job, exercise, "verification", fault)
            else:
                taken.add(question)
                self.passed += 1
                kept.append(replace(exercise, answer=answer))
        if not kept:
            self._drop_job(job, "no_question_left", f"none of {len(exercises)} exercises passed", 0, 1)
            return None
        text = "\n\n".join(exercise_pair(exercise.question, exercise.answer) for exercise in kept) + "\n"
        hashes = [question_hash(exercise.question) for exercise in kept]
        record = {"method": "answers computed by the exercise's program in the sandbox", "passed": len(kept)}
        return Written(text, "exercise", hashes, record | {"rejected": len(exercises) - len(kept)})

    def _document(self, job: Job, request: Request, reply: Reply, written: Written) -> Document:
        name = re.sub(r"[:\s]+", "_", request.parameters["model"])
        usage = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens}
        hidden = ("endpoint", "model", "teacher")
        passage = self._passages.get(job.id)
        return Document(
            text=written.text,
            kind=written.kind,
            source=self._source(job),
            license=passage.license if passage else self.params.license,  # a rewrite is derived from its document
            created_by=f"{NAMES[self.params.kind]}/{name}:{template_id(job.format)}",
            metadata={
                "audience": job.audience,
                "category": job.category,
                "curriculum": self.curriculum.version,
                "format": job.format,
                "job": job.id,
                "questions": written.questions,
                "seed": self.seed,
                "seed_document": job.seed_document,
                "teacher": {
                    "kind": self.params.kind,
                    "model": request.parameters["model"],
                    "returned_model": reply.model,
                    "parameters": {k: v for k, v in request.parameters.items() if k not in hidden},
                    "prompt_sha256": request.prompt_sha256,
                    "request_sha256": request.key,
                    "template": template_id(job.format),
                    "usage": usage,
                },
                "verification": written.record,
                "words": list(job.words),
            }
            | (_of_passage(passage) if passage else {}),
        )

    def _source(self, job: Job) -> str:
        return self._passages[job.id].source if is_rewrite(job.format) else f"curriculum/{job.subject}/{job.topic}"

    def _why(self, job: Job) -> tuple[str, str]:
        """The ledger's rule and detail for a job without an answer."""
        given_up = self._given_up.get(job.id)
        if given_up is None:
            raise AssertionError(f"job {job.id} has neither an answer nor a reason")
        return f"teacher_{given_up.kind}", given_up.detail

    def _count(self, reply: Reply, store: Store) -> None:
        self._models.add(reply.model)
        self._stripped.update(strip_markup(reply.text).removed)
        self._used["answers"] += 1
        if reply.prompt_tokens is None or reply.completion_tokens is None:
            self._used["unknown_usage"] += 1
            return
        self._used["prompt_tokens"] += reply.prompt_tokens
        self._used["completion_tokens"] += reply.completion_tokens
        self._cost += store.cost(reply.prompt_tokens, reply.completion_tokens) or 0.0

    def _drop_job(
        self, job: Job, rule: str, detail: str, value: float | None = None, threshold: float | None = None
    ) -> None:
        detail = f"{job.topic}/{job.format}/{job.audience or job.number}: {detail}"
        self.drops.append(Drop(job.id, STEP, rule, value, threshold, detail, self._source(job)))

    def _drop_question(self, job: Job, exercise: Exercise, rule: str, detail: str) -> None:
        identity = question_hash(exercise.question)
        text = f"{exercise.question} [{detail}]"
        self.drops.append(Drop(identity, STEP, rule, None, None, text, f"curriculum/{job.subject}/{job.topic}"))


@dataclass(frozen=True)
class EndpointAnswers:
    """Fetches answers from an endpoint, many at once."""

    params: TeacherParams
    store: Store
    plan: str
    budget: Budget
    total: int
    calls: CallSample

    def fetch(self, requests: Iterable[Request], accept: Accept) -> list[GivenUp]:
        from components.endpoint.openai import OpenAIEndpoint, Server

        requests = list(requests)
        self.store.forget_unusable(requests, accept)
        requests = list(self.store.missing(requests))
        if not requests:
            return []  # without requests the endpoint need not even run
        before, progress = self.total - len(requests), Progress(self.total)

        def told(tally: Tally) -> None:
            progress.update(before + tally.answered + len(tally.given_up), tokens=self.budget.spent_tokens)

        endpoint, policy = OpenAIEndpoint(Server.of(self.params, SECTION)), Policy.of(self.params, SECTION)
        forecast = Forecast(requests, self.budget, self.params, "lower synthesis.chapters")

        def watch(call: Call) -> None:
            self.calls.add(call)
            forecast.watch(call)

        dispatcher = Dispatcher(endpoint, self.store, self.plan, self.budget, policy, accept, watch, told)
        return dispatcher.run(requests).given_up


def _form_fault(form: str, text: str) -> str:
    """The reason why a reply does not have the requested form, so that the request is repeated; empty if it does."""
    text = clean(text)
    if form != "exercises":
        return format_fault(form.removeprefix(REWRITE), text)
    try:
        read_exercises(text)
    except ValueError as error:
        return str(error)
    return ""


def _of_passage(passage: Passage) -> dict[str, Any]:
    """The passage's entries in a rewrite's metadata: its number in the document, and its language if it is not English."""
    ((language, _),) = identify([passage.text])
    return {"passage": passage.number} | ({} if language in ("en", UNKNOWN) else {"language": language})


def _instructions(request: Request) -> str:
    """The prompt without the sentences that a chapter may rely on."""
    return "\n".join(
        line for _, content in request.messages for line in content.split("\n") if not line.startswith("- ")
    )
