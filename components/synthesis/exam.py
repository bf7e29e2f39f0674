"""The exam: questions that training never sees, one JSONL file a task, with the baselines to read scores by."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.files import atomic_directory, write_json
from components.synthesis.chapters import PROMPT
from components.synthesis.drafts import Draft, question_hash
from components.synthesis.generators import Task
from components.synthesis.questions import VERSION, child_rng

FORMAT_VERSION = 1


def write_exam(
    directory: Path,
    tasks: Mapping[str, Task],
    exam: Mapping[str, Sequence[Draft]],
    training: Mapping[str, Sequence[Draft]],
    seed: int,
) -> dict[str, Any]:
    """Write `<task>.jsonl` for each task that has questions, and `exam.json` about them all.

    A row: id (hash of the question), task, category, question, choices, answer (index of the right choice).
    `chance` is the expected accuracy of guessing; `majority` that of always taking the choice that was the answer most
    often in training, which needs no look at the question.

    Returns:
        The content of exam.json.
    """
    about: dict[str, Any] = {}
    with atomic_directory(directory) as partial:
        for name, drafts in exam.items():
            if not drafts:
                continue
            rows = [_row(tasks[name], draft, seed) for draft in drafts]
            lines = [json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n" for row in rows]
            (partial / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
            about[name] = {
                "category": tasks[name].category,
                "examples": len(rows),
                "chance": round(sum(1 / len(row["choices"]) for row in rows) / len(rows), 6),
                "majority": round(majority_accuracy(rows, Counter(d.answer for d in training[name])), 6),
            }
        content = {
            "format_version": FORMAT_VERSION,
            "generator_version": VERSION,
            "prompt": PROMPT.replace("{question}", "{{question}}"),
            "target_delimiter": " ",
            "tasks": about,
        }
        write_json(partial / "exam.json", content)
    return content


def _row(task: Task, draft: Draft, seed: int) -> dict[str, Any]:
    choices = [draft.answer, *draft.distractors]
    identity = question_hash(draft.question)
    child_rng(seed, "choices", identity).shuffle(choices)
    return {
        "id": identity,
        "task": task.id,
        "category": task.category,
        "question": draft.question,
        "choices": choices,
        "answer": choices.index(draft.answer),
    }


def majority_accuracy(rows: Sequence[Mapping[str, Any]], answers: Mapping[str, int]) -> float:
    """Accuracy of taking the choice with the highest count in `answers`; ties are shared."""
    total = 0.0
    for row in rows:
        counts = [answers.get(choice, 0) for choice in row["choices"]]
        best = [i for i, count in enumerate(counts) if count == max(counts)]
        total += (row["answer"] in best) / len(best)
    return total / len(rows)
