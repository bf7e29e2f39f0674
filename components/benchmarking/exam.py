"""Read the exam that components.synthesis wrote: tasks of multiple-choice rows, each row checked."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.errors import StepError, short
from components.files import parse_json, read_text, sha256_file
from components.foreign.confined import inside

FORMAT_VERSION = 1
REWORDED = "reworded"  # subfolder of the exam: its held-out wordings, in the same form
ALL, OPEN, SEALED = "all", "open", "sealed"  # parts of an exam
FIELDS = {"id": str, "question": str, "choices": list, "answer": int, "category": str}


@dataclass(frozen=True, slots=True)
class TaskData:
    """One task: its rows in order, and its prompt.

    Attributes:
        name: name of the task, which is the file name without suffix.
        category: group of the macro averages.
        rows: dicts with id, question, choices and answer (index of the correct choice).
        prompt: Jinja template of the context, over a row's fields.
        delimiter: text between context and choice.
        chance: expected accuracy of guessing.
        majority: accuracy of always taking the choice that was most often correct in training.
        sha256: hex SHA-256 of the task's file.
    """

    name: str
    category: str
    rows: tuple[dict[str, Any], ...]
    prompt: str
    delimiter: str
    chance: float
    majority: float
    sha256: str


def load_exam(directory: Path | None, failed: dict[str, str] | None = None) -> list[TaskData]:
    """Read exam.json and the file of each task that it names.

    Args:
        failed: collects the errors by task while the other tasks are read; None refuses the whole exam.

    Raises:
        StepError: no directory is given, a file is missing, or a row is malformed; names the file and the line.
    """
    if directory is None:
        raise StepError("suite 'exam' needs --data-dir: the folder that components.synthesis wrote with --exam")
    path = inside(directory, "exam.json", str(directory))
    about = _object(path)
    if about.get("format_version") != FORMAT_VERSION:
        raise StepError(
            f"{path}: format_version is {about.get('format_version')!r}; expected {FORMAT_VERSION}; "
            "write the exam again with components.synthesis --exam"
        )
    tasks = about.get("tasks")
    if not isinstance(tasks, dict) or not tasks:
        raise StepError(
            f"{path}: `tasks` is empty or not an object; write the exam again with components.synthesis --exam"
        )
    found = []
    for name in sorted(tasks):
        try:
            found.append(_task(Path(directory), name, tasks[name], about, path))
        except StepError as error:
            if failed is None:
                raise
            failed[name] = str(error).replace(f"{Path(directory)}/", "")  # outputs do not contain local paths
    if not found:
        raise StepError(f"{path}: no task can be read: {next(iter((failed or {}).values()), '')}")
    return found


def in_part(tasks: list[TaskData], part: str) -> list[TaskData]:
    """The questions of one part, by task; tasks without any are left out.

    The hash of a question's id, which is that of its content, decides, so a question is in the same half in every exam.
    """
    if part == ALL:
        return tasks
    halves = [
        replace(
            task, rows=tuple(row for row in task.rows if half_of(row["id"]) == part), sha256=f"{task.sha256}/{part}"
        )
        for task in tasks
    ]
    found = [task for task in halves if task.rows]
    if not found:
        raise StepError(
            f"benchmarking.exam_part is {part}, and the exam has no question in it; raise synthesis.exam_examples"
        )
    return found


def half_of(identity: str) -> str:
    """OPEN or SEALED, for the id of a question."""
    return SEALED if hashlib.sha256(f"half {identity}".encode()).digest()[0] % 2 else OPEN


def _task(directory: Path, name: str, entry: Any, about: dict[str, Any], origin: Path) -> TaskData:
    file = inside(directory, f"{name}.jsonl", f"{origin}: tasks")
    try:
        category, chance, majority = str(entry["category"]), float(entry["chance"]), float(entry["majority"])
        prompt, delimiter = str(about["prompt"]), str(about["target_delimiter"])
    except (KeyError, TypeError, ValueError) as error:
        raise StepError(
            f"{origin}: task {name!r}: {error!r}; write the exam again with components.synthesis --exam"
        ) from error
    if not file.is_file():
        raise StepError(
            f"{file} is not there, though {origin} names the task; write the exam again with components.synthesis --exam"
        )
    rows = []
    with open(file, encoding="utf-8") as lines:
        try:
            for number, line in enumerate(lines, 1):
                rows.append(_row(line, f"{file}, line {number}"))
        except UnicodeDecodeError as error:
            raise StepError(
                f"{file}, after line {len(rows)}: not UTF-8 ({error}); write the exam again with components.synthesis --exam"
            ) from error
    if not rows:
        raise StepError(f"{file} has no rows; write the exam again with more synthesis.exam_examples")
    return TaskData(name, category, tuple(rows), prompt, delimiter, chance, majority, sha256_file(file))


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = parse_json(line)
    except ValueError as error:
        raise StepError(f"{where}: not JSON ({error}); expected an object with {', '.join(FIELDS)}") from error
    if not isinstance(row, dict):
        raise StepError(f"{where}: a {type(row).__name__}; expected an object with {', '.join(FIELDS)}")
    for field, kind in FIELDS.items():
        if not isinstance(row.get(field), kind) or isinstance(row[field], bool):
            given = short(row[field]) if field in row else "missing"
            raise StepError(f"{where}: `{field}` is {given}; expected a value of type {kind.__name__}")
    choices = row["choices"]
    if len(choices) < 2 or not all(isinstance(choice, str) and choice for choice in choices):
        raise StepError(f"{where}: `choices` is {short(choices)}; expected at least two non-empty strings")
    if len(set(choices)) != len(choices):
        raise StepError(
            f"{where}: `choices` {short(choices)} contains a choice twice; expected each once; write the exam again with "
            "components.synthesis --exam"
        )
    if not 0 <= row["answer"] < len(choices):
        raise StepError(f"{where}: `answer` is {short(row['answer'])}; expected an index from 0 to {len(choices) - 1}")
    return row


def _object(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_text(path))
    except FileNotFoundError:
        raise StepError(
            f"{path} is not there; --data-dir must be what components.synthesis wrote with --exam"
        ) from None
    except (OSError, ValueError) as error:
        raise StepError(
            f"{path} cannot be read as JSON: {error}; write the exam again with components.synthesis --exam"
        ) from error
    if not isinstance(content, dict):
        raise StepError(f"{path} holds a {type(content).__name__}; expected a JSON object")
    return content
