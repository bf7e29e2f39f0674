"""The step: plan chapters, draw and verify questions, split off the exam, write textbooks, exercises and the ledger."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from components.documents import Document, DocumentWriter, Drop, check_balance, write_ledger
from components.files import atomic_directory
from components.params import SynthesisParams
from components.running.progress import Progress
from components.synthesis.chapters import reserve, write_exercises
from components.synthesis.curriculum import load_curriculum, load_lexicon
from components.synthesis.diversity import Diversity, check_gates, near_curated, template_shares
from components.synthesis.drafts import Draft, is_held_out, normalise
from components.synthesis.exam import Sheet, write_exam
from components.synthesis.generators import Task, all_tasks
from components.synthesis.near_duplicates import THRESHOLD, NearDuplicates
from components.synthesis.page import Contents, task_rows, write_page
from components.synthesis.plan import plan_sha256, plan_table, write_plan
from components.synthesis.questions import STEP, Collector, Pool
from components.synthesis.rephrase import is_rewrite
from components.synthesis.teachers import make_teacher
from components.synthesis.tiers import practised_tasks
from components.synthesis.wordings import COMPOSITION, NOTHING, HeldOut, compose, has_wording, load_held_out
from components.tracking import state_folder


@dataclass(frozen=True)
class Outputs:
    """Where the step writes.

    Attributes:
        output: folder for the document set of textbooks and exercises.
        ledger: Parquet file for the dropped questions, chapters and jobs.
        exam: folder for the exam.
        plan: Parquet file for the table of jobs, which is written first.
        page: HTML file for the page about the textbooks.
        state: folder for teachers' answers and usage, kept after the run; by default in the project's main folder.
    """

    output: Path
    ledger: Path
    exam: Path | None = None
    plan: Path | None = None
    page: Path | None = None
    state: Path | None = None


def synthesize(
    seeds: Path, outputs: Outputs, params: SynthesisParams, seed: int, tracker: Any = None
) -> dict[str, Any]:
    """Write textbooks and exercises, the exam, and the ledger of everything that was dropped.

    Args:
        seeds: document set that chapters are seeded from.
        tracker: records calls to a model.

    Returns:
        The summary: the plan's hash, counts of questions and documents, the ledger by rule, diversity and cost.

    Raises:
        StepError: the seeds are not a document set, the curriculum is invalid, the teacher fails, or the texts are too
            repetitive.
    """
    lexicon, tasks = load_lexicon(), all_tasks()
    curriculum = load_curriculum(added=Path(params.curriculum) if params.curriculum else None)
    teacher = make_teacher(
        params.teacher, curriculum, lexicon, seed, outputs.state or state_folder() / "synthesis", tracker
    )
    jobs = teacher.plan(seeds, params)
    table = plan_table(jobs, teacher.prompts(jobs))
    if outputs.plan is not None:
        write_plan(outputs.plan, table)

    needed = teacher.needs(jobs)
    practised = practised_tasks(params.tasks, tasks)
    beside = {task: count for task, count in needed.items() if task not in practised}
    held_out = load_held_out(tasks, practised) if params.reworded_examples else NOTHING
    collector = Collector(tasks, lexicon, seed, params, practised, held_out.wordings)
    pool = collector.collect(params.exercises + sum(needed.values()) - sum(beside.values()), beside)
    pool.reserved = reserve(pool.training, needed, practised)
    pool.composed = compose(held_out.compositions, pool.exam, params.reworded_examples)
    check_split(pool, params.exam_fraction)
    check_wordings(pool, held_out)

    chapters = teacher.write(jobs, pool.reserved, collector.seen)
    documents = chain(chapters, write_exercises(pool.training, seed))
    contents = Contents(curriculum)
    with atomic_directory(outputs.output) as partial:
        written = _write(partial, documents, seeds, contents, len(jobs) + params.exercises // 10)
        diversity = written["diversity"] | {"templates": template_shares(pool.training, pool.reserved)}
        check_gates(diversity, params)
    drops = [*pool.drops, *teacher.drops, *written["drops"]]
    kept = sum(_count(side) for side in (pool.training, pool.reserved, pool.exam, pool.reworded))
    rejected = _rejected_jobs(drops, {job.id for job in jobs})
    check_balance(STEP, pool.drawn + teacher.drawn, kept + teacher.passed, len(drops) - rejected)
    check_balance(STEP, len(jobs), written["chapters"], rejected)
    about, about_reworded = _write_exam(outputs.exam, tasks, pool, seed) if outputs.exam else ({}, {})
    write_ledger(outputs.ledger, drops)
    summary = {
        "plan": {"jobs": len(jobs), "rejected": rejected, "sha256": plan_sha256(table)},
        "documents": written["documents"],
        "megabytes": written["megabytes"],
        "rewrites": {
            "asked": params.rephrase,
            "planned": sum(is_rewrite(job.format) for job in jobs),  # fewer if there are too few passages
            "kept": written["rewrites"],
        },
        "tasks": len(practised),
        "topics": len(curriculum.topics),
        "questions": {
            "drawn": pool.drawn + teacher.drawn,
            "exercises": _count(pool.training),
            "missing": max(0, params.exercises - _count(pool.training)),  # if the curriculum's tasks have too few
            "chapters": _count(pool.reserved),
            "teacher": teacher.passed,
            "exam": _count(pool.exam),
            "reworded": _count(pool.reworded),
            "compositions": _count(pool.composed),  # of questions of the exam
            "ledger": len(drops) - rejected,
        },
        "ledger": _rules(drops),
        "exam_tasks": len(about),
        "reworded_tasks": len(about_reworded),
        "exhausted_tasks": len(set(pool.exhausted)),
        "diversity": diversity,
        "teacher": {"kind": params.teacher.kind} | teacher.account(),
    }
    if outputs.page is not None:
        rows = task_rows(practised, pool.training, about, pool.drops)
        write_page(outputs.page, summary, contents, rows, drops, params)
    return summary


def check_split(pool: Pool, fraction: float) -> None:
    """Check the split: each question occurs once, on the side of its hash, and exam questions never occur in training."""
    taught, asked = _by_task(pool.training, pool.reserved), _by_task(pool.exam)
    questions = [normalise(draft.question) for _, draft in (*taught, *asked)]
    if len(set(questions)) != len(questions):
        raise AssertionError(f"{len(questions) - len(set(questions))} questions occur in both training and exam")
    wrong = [draft.question for task, draft in taught if is_held_out(task, draft, fraction)]
    wrong += [draft.question for task, draft in asked if not is_held_out(task, draft, fraction)]
    if wrong:
        raise AssertionError(f"{len(wrong)} questions are on the wrong side of the split, such as {wrong[0]!r}")


def check_wordings(pool: Pool, held_out: HeldOut) -> None:
    """Check that training contains no held-out wording and none of their questions, and that the exam uses each wording."""
    taught = _by_task(pool.training, pool.reserved)
    if wrong := [draft.question for task, draft in taught if has_wording(draft, held_out.wordings.get(task, ()))]:
        raise AssertionError(f"{len(wrong)} questions are taught in a held-out wording, such as {wrong[0]!r}")
    questions = {normalise(draft.question) for _, draft in taught}
    asked = [draft.question for _, draft in _by_task(pool.reworded, pool.composed)]
    if wrong := [question for question in asked if normalise(question) in questions]:
        raise AssertionError(f"{len(wrong)} questions in held-out wordings are taught, such as {wrong[0]!r}")
    for task, wordings in held_out.wordings.items():
        if missing := [form for form in wordings if not any(has_wording(d, [form]) for d in pool.reworded[task])]:
            raise AssertionError(f"wordings.yaml: {task} has no wording {missing[0]!r}; correct it there")


def _by_task(*sides: Mapping[str, list[Draft]]) -> list[tuple[str, Draft]]:
    return [(task, draft) for side in sides for task, drafts in side.items() for draft in drafts]


def _write_exam(
    directory: Path, tasks: Mapping[str, Task], pool: Pool, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    answered = {name: [*pool.training[name], *pool.reserved[name]] for name in tasks}

    def sheets(side: Mapping[str, list[Draft]]) -> dict[str, Sheet]:
        return {name: Sheet(tasks[name].category, drafts, answered[name]) for name, drafts in side.items()}

    together = {name: Sheet(COMPOSITION, drafts) for name, drafts in pool.composed.items()}
    return write_exam(directory, sheets(pool.exam), sheets(pool.reworded) | together, seed)


def _write(
    directory: Path, documents: Iterable[Document], seeds: Path, contents: Contents, expected: int
) -> dict[str, Any]:
    """Write the documents and measure them. Prose from a model that resembles an earlier document is left out."""
    rewrites = 0
    together, by_kind = Diversity(), {"textbook": Diversity(), "exercise": Diversity()}
    index, near, drops, chapters = NearDuplicates(), 0, [], 0
    counts = dict.fromkeys(by_kind, 0)
    progress = Progress(expected)
    with DocumentWriter(directory) as writer:
        for document in documents:
            found = index.add(document.text)
            if found and document.kind == "textbook" and "teacher" in document.metadata:
                drops.append(_near_duplicate(document, *found))
                continue
            near += found is not None
            writer.write(document)
            contents.add(document)
            together.add(document.text)
            by_kind[document.kind].add(document.text)
            counts[document.kind] += 1
            chapters += "format" in document.metadata  # the others are exercises
            rewrites += is_rewrite(document.metadata.get("format", ""))
            progress.update(min(writer.rows, expected - 1))
    curated = near_curated(index, seeds)
    progress.update(expected)
    return {
        "documents": counts,
        "chapters": chapters,
        "rewrites": rewrites,
        "drops": drops,
        "megabytes": {kind: round(measured.bytes / 1e6, 3) for kind, measured in by_kind.items()},
        "diversity": {
            "gzip_ratio": round(together.gzip_ratio(), 3),
            "near_duplicates": {
                "own": near,
                "curated": curated,
                "share": round((near + curated) / max(sum(counts.values()), 1), 5),
            },
        }
        | {
            kind: {
                "gzip_ratio": round(m.gzip_ratio(), 3),
                "distinct_2": round(m.distinct(2), 4),
                "distinct_3": round(m.distinct(3), 4),
            }
            for kind, m in by_kind.items()
        },
    }


def _near_duplicate(document: Document, number: int, similarity: float) -> Drop:
    detail = f"{document.text.partition(chr(10))[0]} resembles document {number} of this set"
    return Drop(document.metadata["job"], STEP, "near_duplicate", similarity, THRESHOLD, detail, document.source)


def _count(side: Mapping[str, list[Draft]]) -> int:
    return sum(map(len, side.values()))


def _rejected_jobs(drops: list[Any], jobs: set[str]) -> int:
    """The number of ledger rows about jobs; the others are about questions."""
    return sum(drop.id in jobs for drop in drops)


def _rules(drops: list[Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for drop in drops:
        counts[drop.rule] = counts.get(drop.rule, 0) + 1
    return dict(sorted(counts.items()))
