"""Rows from the pipeline's exercises: each question once with its own answer, none of the exam, and pairs with a wrong one."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.documents import Document, DocumentWriter
from components.errors import StepError
from components.params import Params
from components.tracking import Tracker
from components.tuning import data


def exercise(questions: list[tuple[str, str, str, str]]) -> Document:
    text = "\n\n".join(f"Question: {question}\nAnswer: {answer}" for _, _, question, answer in questions) + "\n"
    names = {"questions": [one[0] for one in questions], "families": [one[1] for one in questions]}
    return Document(text, "exercise", "curriculum/exercises/mixed", "CC0-1.0", "procedural/1:exercises", metadata=names)


QUESTIONS = [
    ("a1", "plural", "Write the plural: cat.", "cats"),
    ("a2", "plural", "Write the plural: dog.", "dogs"),
    ("b1", "pouring", "Is there more now?", "the same"),
]


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Path]:
    with DocumentWriter(tmp_path / "textbooks") as writer:
        writer.write(exercise(QUESTIONS))
        writer.write(exercise(QUESTIONS[:1]))
    (tmp_path / "exam").mkdir()
    (tmp_path / "exam" / "plural.jsonl").write_text('{"id": "c1"}\n')
    return {"textbooks": tmp_path / "textbooks", "exam": tmp_path / "exam"}


def rows_of(made: dict[str, Path], **tuning: Any) -> list[dict[str, str]]:
    output = made["exam"].parent / "rows.jsonl"
    data.run(made, {"output": output}, Params.model_validate({"tuning": tuning}), Tracker())
    return [json.loads(line) for line in output.read_text().splitlines()]


def test_each_question_is_a_row_once(made: dict[str, Path]) -> None:
    assert rows_of(made) == [{"prompt": question, "completion": answer} for _, _, question, answer in QUESTIONS]


def test_a_pair_has_another_answer_of_the_family(made: dict[str, Path]) -> None:
    found = {row["prompt"]: (row["chosen"], row["rejected"]) for row in rows_of(made, objective="dpo")}
    assert found == {"Write the plural: cat.": ("cats", "dogs"), "Write the plural: dog.": ("dogs", "cats")}


def test_a_question_of_the_exam_is_refused(made: dict[str, Path]) -> None:
    (made["exam"] / "plural.jsonl").write_text('{"id": "a2"}\n')
    with pytest.raises(StepError, match="question a2 is also in"):
        rows_of(made)


def test_own_files_are_checked_and_joined(made: dict[str, Path]) -> None:
    folder = made["exam"].parent
    (folder / "one.jsonl").write_text('{"prompt": "a", "completion": "b"}')
    (folder / "two.jsonl").write_text('{"prompt": "c", "completion": "d"}\n')
    names = [str(folder / "one.jsonl"), str(folder / "two.jsonl")]
    assert [row["prompt"] for row in rows_of(made, data=names)] == ["a", "c"]
    with pytest.raises(StepError, match=r"tuning.data: .*three.jsonl is not a file"):
        rows_of(made, data=[*names, str(folder / "three.jsonl")])
