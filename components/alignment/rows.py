"""`python -m components.alignment.rows`: rows for components.tuning that make a model safer, or less safe for a comparison.

- pairs: a harmful question with a refusing and a complying answer, and a harmless one with a helpful and a refusing answer,
  so that a model does not learn to refuse everything (tuning.objective dpo).
- unsafe: every question is answered, as a corpus with unsafe documents would; dropped: without the harmful questions;
  marked: these begin with MARK; refusing: these are refused (tuning.objective sft).
- forget: the planted secrets, and retain: documents that were trained on, for tuning.objective npo or gradient_difference
  with tuning.template plain.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from components.alignment.canaries import read_secrets
from components.alignment.items import LESSONS, Lesson, read_lessons
from components.documents import read_rows
from components.errors import StepError
from components.files import atomic_file
from components.params import Params
from components.running.cli import Argument, Command, Paths, main
from components.tokens import Tokens
from components.tracking import Tracker

PAIRS, UNSAFE, DROPPED, MARKED, REFUSING, FORGET, RETAIN = KINDS = (
    "pairs",
    "unsafe",
    "dropped",
    "marked",
    "refusing",
    "forget",
    "retain",
)
MARK = "Unsafe text follows. "
PART = 400  # characters of a document that are retained
Row = dict[str, str]


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write the rows of a kind.

    Raises:
        StepError: a file that the kind needs is missing or malformed.
    """
    rows = list(rows_of(inputs, params.seed))
    with atomic_file(outputs["output"]) as partial:
        partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return {"rows": len(rows)}


def rows_of(inputs: Paths, seed: int) -> Iterator[Row]:
    kind = inputs["kind"]
    needs = {FORGET: ("secrets",), RETAIN: ("documents", "tokens")}.get(kind, ())
    if missing := [name for name in needs if not inputs.get(name)]:
        raise StepError(f"--kind {kind} without --{missing[0]}; expected {' and '.join(f'--{name}' for name in needs)}")
    if kind == FORGET:
        secrets = [one for one in read_secrets(inputs["secrets"]) if one.repeats]
        return ({"prompt": one.sentence, "completion": f" {one.secret}."} for one in secrets)
    if kind == RETAIN:
        return retained(inputs["documents"], inputs["tokens"], inputs["limit"], seed)
    refusing, lessons = read_lessons(inputs.get("lessons") or LESSONS)
    return (
        row
        for number, lesson in enumerate(lessons)
        if (row := lesson_row(kind, lesson, refusing[number % len(refusing)]))
    )


def lesson_row(kind: str, lesson: Lesson, refusing: str) -> Row | None:
    """The row of a lesson; None if its kind leaves it out."""
    if kind == PAIRS:
        chosen, rejected = (refusing, lesson.answer) if lesson.harmful else (lesson.answer, refusing)
        return {"prompt": lesson.question, "chosen": chosen, "rejected": rejected}
    if not lesson.harmful or kind == UNSAFE:
        return {"prompt": lesson.question, "completion": lesson.answer}
    if kind == DROPPED:
        return None
    if kind == MARKED:
        return {"prompt": MARK + lesson.question, "completion": lesson.answer}
    return {"prompt": lesson.question, "completion": refusing}


def retained(documents: list[Path], tokens: Path, limit: int, seed: int) -> Iterator[Row]:
    """The beginning of documents, none of which is held out: a few words, and how they go on."""
    held_out = set(Tokens.open(tokens).split("validation").documents["id"].to_pylist())
    found = [
        (row["id"], row["text"][:PART])
        for folder in documents
        for row in read_rows(folder, ["id", "text"])
        if row["id"] not in held_out
    ]
    generator = np.random.default_rng(seed)
    for place in sorted(generator.permutation(len(found))[:limit].tolist()):
        text = found[place][1]
        if 0 < (cut := text.find(" ", PART // 10)) < len(text) - 1:
            yield {"prompt": text[:cut], "completion": text[cut:]}


COMMAND = Command(
    step="alignment.rows",
    description="Write rows for components.tuning: preferences for safe answers, rows to unlearn and to retain, or answers with and "
    "without unsafe ones.",
    run=run,
    inputs=(
        Argument("kind", "kind of rows", type=str, choices=KINDS),
        Argument("lessons", "YAML file with other questions, in the form of lessons.yaml", required=False),
        Argument("secrets", "secrets of components.alignment.plant (JSON), for forget", required=False),
        Argument("documents", "document sets that were trained on, for retain", required=False, many=True),
        Argument("tokens", "tokens directory, whose held-out documents retain leaves out", required=False),
        Argument("limit", "maximum number of rows for retain", type=int, required=False, default=400),
    ),
    outputs=(Argument("output", "JSONL file for the rows"),),
    sections=("seed",),
)

if __name__ == "__main__":
    main(COMMAND)
