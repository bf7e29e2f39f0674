"""Writes the exam: questions that training never sees, one JSONL file per task, with baselines to compare scores with.

The folder contains the exam itself, which has new instances in practised wordings, and a folder `reworded` of the same
form with the held-out wordings.
"""

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.files import atomic_directory, write_json
from components.synthesis.chapters import PROMPT
from components.synthesis.drafts import Draft, question_hash
from components.synthesis.questions import VERSION, child_rng

FORMAT_VERSION = 1
REWORDED = "reworded"  # subfolder with the held-out wordings


@dataclass(frozen=True)
class Sheet:
    """The exam's questions of one task, and those of training, for the baseline."""

    category: str
    drafts: Sequence[Draft]
    practised: Sequence[Draft] = ()


def write_exam(
    directory: Path, exam: Mapping[str, Sheet], reworded: Mapping[str, Sheet], seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the exam and, if there are any, its held-out wordings.

    Returns:
        The tasks of each part, as in its exam.json.
    """
    with atomic_directory(directory) as partial:
        about = _write_part(partial, exam, seed)
        (partial / REWORDED).mkdir()
        about_reworded = _write_part(partial / REWORDED, reworded, seed)
        if not about_reworded:
            shutil.rmtree(partial / REWORDED)
    return about, about_reworded


def _write_part(directory: Path, sheets: Mapping[str, Sheet], seed: int) -> dict[str, Any]:
    """Write `<task>.jsonl` for each task that has questions, and `exam.json` about them all.

    A row has id (hash of the question), task, category, question, choices and answer (index of the correct choice).
    `chance` is the expected accuracy of guessing; `majority` is that of always taking the choice that was correct most
    often in training, without looking at the question.
    """
    about: dict[str, Any] = {}
    for name, sheet in sheets.items():
        if not sheet.drafts:
            continue
        rows = [_row(name, sheet.category, draft, seed) for draft in sheet.drafts]
        lines = [json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n" for row in rows]
        (directory / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        about[name] = {
            "category": sheet.category,
            "examples": len(rows),
            "chance": round(sum(1 / len(row["choices"]) for row in rows) / len(rows), 6),
            "majority": round(majority_accuracy(rows, Counter(d.answer for d in sheet.practised)), 6),
        }
    content = {
        "format_version": FORMAT_VERSION,
        "generator_version": VERSION,
        "prompt": PROMPT.replace("{question}", "{{question}}"),
        "target_delimiter": " ",
        "tasks": about,
    }
    write_json(directory / "exam.json", content)
    return about


def _row(task: str, category: str, draft: Draft, seed: int) -> dict[str, Any]:
    choices = [draft.answer, *draft.distractors]
    identity = question_hash(draft.question)
    child_rng(seed, "choices", identity).shuffle(choices)
    return {
        "id": identity,
        "task": task,
        "category": category,
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
