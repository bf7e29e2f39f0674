"""`python -m components.tuning.data`: rows for fine-tuning, from the user's files or the pipeline's verified exercises.

As preferences, a verified answer is preferred to the answer of another question of the same family: pairs that cost
nothing. Questions of the exam are left out of training by synthesis; here that is checked again.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from components.documents import metadata_of, read_batches
from components.errors import StepError
from components.files import atomic_file, parse_json, sha256_file
from components.params import Params
from components.running.cli import Argument, Command, Paths, main
from components.tracking import Tracker
from components.tuning.rows import read_rows

PAIR = re.compile(r"Question: (.*?)\nAnswer: (.*?)(?=\n\nQuestion: |\Z)", re.DOTALL)
Exercise = tuple[str, str, str, str]  # id, family, question, answer


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write the rows of tuning.data, or of the exercises, as one JSONL file.

    Raises:
        StepError: a file is missing or a row is malformed, there are no exercises, or one is a question of the exam.
    """
    own, preferences = params.tuning, params.tuning.objective == "dpo"
    if own.data:
        files = [Path(name) for name in own.data]
        if missing := [str(path) for path in files if not path.is_file()]:
            raise StepError(f"tuning.data: {missing[0]} is not a file; expected a JSONL file; correct the path")
        rows = len(read_rows(files, preferences))
        with atomic_file(outputs["output"]) as partial, open(partial, "wb") as out:
            for path in files:
                out.write(path.read_bytes().rstrip(b"\n") + b"\n")
        return {"rows": rows, "sha256": sha256_file(outputs["output"])}
    found = list(exercises(inputs["textbooks"]))
    if not found:
        raise StepError(f"{inputs['textbooks']} has no exercises; expected some; name files in tuning.data")
    if shared := {one[0] for one in found} & exam_ids(inputs["exam"]):
        raise StepError(
            f"{inputs['textbooks']}: question {min(shared)} is also in {inputs['exam']}; run synthesis again"
        )
    lines = (
        list(pairs(found, params.seed))
        if preferences
        else [{"prompt": question, "completion": answer} for _, _, question, answer in found]
    )
    with atomic_file(outputs["output"]) as partial, open(partial, "w", encoding="utf-8") as out:
        out.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return {"rows": len(lines), "sha256": sha256_file(outputs["output"])}


def exercises(folder: Path) -> Iterator[Exercise]:
    """The questions of the exercises, each once, in order.

    Raises:
        StepError: a document has another number of questions than its metadata says.
    """
    seen = set()
    for batch in read_batches(folder, ["id", "text", "kind", "metadata"]):
        for row in batch.to_pylist():
            if row["kind"] != "exercise":
                continue
            metadata = metadata_of(row["metadata"], row["id"])
            asked = PAIR.findall(row["text"].strip())
            if not len(asked) == len(metadata["questions"]) == len(metadata["families"]):
                raise StepError(
                    f"{folder}, document {row['id']}: {len(asked)} questions; expected the {len(metadata['questions'])} of "
                    "its metadata; run synthesis again"
                )
            for name, family, (question, answer) in zip(
                metadata["questions"], metadata["families"], asked, strict=True
            ):
                if name not in seen:
                    seen.add(name)
                    yield name, family, question, answer


def pairs(found: list[Exercise], seed: int) -> Iterator[dict[str, str]]:
    """Preferences: each verified answer to another answer of its family; families with one answer have none."""
    generator = np.random.default_rng(seed)
    answers: dict[str, list[str]] = {}
    for _, family, _, answer in found:
        answers.setdefault(family, []).append(answer)
    for _, family, question, answer in found:
        if others := [other for other in answers[family] if other != answer]:
            yield {"prompt": question, "chosen": answer, "rejected": others[generator.integers(len(others))]}


def exam_ids(folder: Path) -> set[str]:
    """Ids of the exam's questions."""
    return {
        parse_json(line)["id"]
        for path in sorted(folder.rglob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    }


COMMAND = Command(
    step="tuning.data",
    description="Write the rows of tuning.data, or of the pipeline's verified exercises, as one JSONL file.",
    run=run,
    inputs=(
        Argument("textbooks", "documents of components.synthesis"),
        Argument("exam", "directory of the exam, whose questions must not be among the exercises"),
    ),
    outputs=(Argument("output", "JSONL file for the rows"),),
    sections=("seed", "tuning"),
)

if __name__ == "__main__":
    main(COMMAND)
