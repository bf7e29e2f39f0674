"""Textbook chapters about the curriculum's topics, and documents of exercises.

A chapter is a function of its job in the plan, the questions reserved for it and the run's seed.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from random import Random

from components.documents import Document
from components.exclusions import FAMILIES
from components.synthesis.curriculum import Curriculum, Topic
from components.synthesis.drafts import Draft, question_hash
from components.synthesis.plan import Job
from components.synthesis.questions import child_rng, created_by

LICENSE = "CC0-1.0"
PROMPT = "Question: {question}\nAnswer:"  # the form of the exam; a practised exercise adds a space and the answer
EXAMPLES = {"tutorial": 3, "faq": 4, "table": 6, "worked": 3, "dialogue": 3, "exercises": 6}  # questions per chapter
EXERCISES_PER_DOCUMENT = (8, 12)


def questions_needed(jobs: Sequence[Job], curriculum: Curriculum) -> dict[str, int]:
    """The number of questions that the planned chapters need, by task."""
    topics = {topic.id: topic for topic in curriculum.topics}
    needed: dict[str, int] = {}
    for job in jobs:
        for task in _tasks_of(job, topics[job.topic]):
            needed[task] = needed.get(task, 0) + 1
    return needed


def _tasks_of(job: Job, topic: Topic) -> list[str]:
    """The task of each worked example of a chapter: the topic's tasks in turn."""
    return [topic.tasks[index % len(topic.tasks)] for index in range(EXAMPLES[job.format])] if topic.tasks else []


def reserve(
    training: Mapping[str, list[Draft]], needed: Mapping[str, int], practised: Collection[str]
) -> dict[str, list[Draft]]:
    """Take the chapters' questions out of the pool: as many as needed, but at most half of those of a practised task."""
    reserved = {}
    for task, drafts in training.items():
        count = min(needed.get(task, 0), len(drafts) // 2 if task in practised else len(drafts))
        reserved[task] = [drafts.pop() for _ in range(count)]
    return reserved


def write_chapters(
    jobs: Sequence[Job], reserved: Mapping[str, list[Draft]], curriculum: Curriculum, seed: int
) -> Iterator[Document]:
    """Write one textbook document per job. Each question is used once; if none is left, a topic gets only prose."""
    stock = {task: list(drafts) for task, drafts in reserved.items()}
    topics = {topic.id: topic for topic in curriculum.topics}
    for job in jobs:
        topic = topics[job.topic]
        examples = [drafts.pop() for task in _tasks_of(job, topic) if (drafts := stock.get(task))]
        rng = child_rng(seed, "chapter", job.id)
        yield Document(
            text=render(job, topic, examples, curriculum, rng),
            kind="textbook",
            source=f"curriculum/{topic.subject}/{topic.id}",
            license=LICENSE,
            created_by=created_by(f"chapter-{job.format}"),
            metadata={
                "audience": job.audience,
                "category": topic.category,
                "curriculum": curriculum.version,
                "format": job.format,
                "job": job.id,
                "questions": [question_hash(draft.question) for draft in examples],
                "seed": seed,
                "verification": {"method": "every answer recomputed from the question", "passed": len(examples)},
            },
        )


def render(job: Job, topic: Topic, examples: Sequence[Draft], curriculum: Curriculum, rng: Random) -> str:
    """The text of a chapter."""
    title = topic.title
    opening = rng.choice(curriculum.audiences[job.audience].openings).format(title=title, Title=_capital(title))
    points = rng.sample(topic.points, rng.randint(min(3, len(topic.points)), len(topic.points)))
    split = rng.randint(1, len(points))
    parts = [f"# {_heading(title, job.format, rng)}", opening, " ".join(points[:split])]
    parts += FORMATS[job.format](examples, rng)
    if points[split:]:
        parts.append(rng.choice(("Remember: ", "To sum up: ", "")) + " ".join(points[split:]))
    return "\n\n".join(parts) + "\n"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _heading(title: str, form: str, rng: Random) -> str:
    endings = {
        "tutorial": ("", ": an introduction", " step by step"),
        "faq": (": questions and answers", ": what people ask"),
        "table": (" in a table", ": an overview"),
        "worked": (": worked problems", ": problems with solutions"),
        "dialogue": (": a conversation", ", talked through"),
        "exercises": (": exercises", ": practice"),
    }
    return _capital(title) + rng.choice(endings[form])


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else text + "."


def _tutorial(examples: Sequence[Draft], rng: Random) -> list[str]:
    closings = ("So the answer is {a}.", "The answer: {a}", "That gives {a}.")
    names = ("Example", "Let us try one", "Another example", "See for yourself")
    return [
        f"{rng.choice(names)}. {draft.question}\n{_sentence(draft.reason)} {rng.choice(closings).format(a=draft.answer)}"
        for draft in examples
    ]


def _faq(examples: Sequence[Draft], rng: Random) -> list[str]:
    return [f"Q: {draft.question}\nA: {draft.answer}. {_sentence(draft.reason)}" for draft in examples]


def _table(examples: Sequence[Draft], rng: Random) -> list[str]:
    rows = [f"| {draft.question} | {draft.answer} |" for draft in examples]
    return ["\n".join(["| question | answer |", "| --- | --- |", *rows])] if rows else []


def _worked(examples: Sequence[Draft], rng: Random) -> list[str]:
    problem, solution = rng.choice((("Problem", "Solution"), ("Task", "Method"), ("Exercise", "Reasoning")))
    return [
        f"{problem} {number}: {draft.question}\n{solution}: {_sentence(draft.reason)}\nAnswer: {draft.answer}"
        for number, draft in enumerate(examples, 1)
    ]


def _dialogue(examples: Sequence[Draft], rng: Random) -> list[str]:
    pupil, teacher = rng.choice((("Pupil", "Teacher"), ("Mia", "Mr Hill"), ("Leo", "Grandmother"), ("Ida", "Coach")))
    replies = ("I see, it is {a}.", "Then it must be {a}.", "So I write {a}.")
    return [
        f"{teacher}: {draft.question}\n{pupil}: How do I begin?\n{teacher}: {_sentence(draft.reason)}\n"
        f"{pupil}: {rng.choice(replies).format(a=draft.answer)}"
        for draft in examples
    ]


def _exercises(examples: Sequence[Draft], rng: Random) -> list[str]:
    return [exercise_text(draft) for draft in examples]


FORMATS = {
    "tutorial": _tutorial,
    "faq": _faq,
    "table": _table,
    "worked": _worked,
    "dialogue": _dialogue,
    "exercises": _exercises,
}


def exercise_text(draft: Draft) -> str:
    """A question with its answer, in the form of the exam."""
    return exercise_pair(draft.question, draft.answer)


def exercise_pair(question: str, answer: str) -> str:
    """A question and its answer, in the form of the exam."""
    return f"{PROMPT.format(question=question)} {answer}"


def write_exercises(training: Mapping[str, list[Draft]], seed: int) -> Iterator[Document]:
    """Pack 8 to 12 questions into each document, in random order: half of the documents have one task, half are mixed."""
    rng = child_rng(seed, "exercises")
    mixed: list[tuple[str, Draft]] = []
    packs: list[list[tuple[str, Draft]]] = []
    for task, drafts in training.items():
        half = len(drafts) // 2
        packs += _packed([(task, draft) for draft in drafts[:half]], rng)
        mixed += [(task, draft) for draft in drafts[half:]]
    rng.shuffle(mixed)
    packs += _packed(mixed, rng)
    rng.shuffle(packs)
    for pack in packs:
        tasks = sorted({task for task, _ in pack})
        hashes = [question_hash(draft.question) for _, draft in pack]
        yield Document(
            text="\n\n".join(exercise_text(draft) for _, draft in pack) + "\n",
            kind="exercise",
            source=f"curriculum/exercises/{tasks[0] if len(tasks) == 1 else 'mixed'}",
            license=LICENSE,
            created_by=created_by("exercises"),
            metadata={
                FAMILIES: [task for task, _ in pack],
                "job": hashlib.sha256("".join(hashes).encode()).hexdigest()[:12],
                "questions": hashes,
                "seed": seed,
                "tasks": tasks,
                "verification": {"method": "every answer recomputed from the question", "passed": len(pack)},
            },
        )


def _packed(items: list[tuple[str, Draft]], rng: Random) -> Iterator[list[tuple[str, Draft]]]:
    start = 0
    while start < len(items):
        size = rng.randint(*EXERCISES_PER_DOCUMENT)
        yield items[start : start + size]
        start += size
