"""Rows for fine-tuning: nothing that is measured with is learned, and each kind holds what it says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from components.alignment import rows
from components.alignment.items import read_lessons, read_twins
from components.errors import StepError
from components.params import Params
from components.tracking import Tracker
from components.tuning.rows import read_rows as read_tuning_rows


def made(kind: str, folder: Path, **more: Any) -> list[dict[str, str]]:
    path = folder / f"{kind}.jsonl"
    rows.run({"kind": kind, **more}, {"output": path}, Params(), Tracker())
    assert len(read_tuning_rows([path], kind == rows.PAIRS)) > 0
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_no_question_that_is_measured_with_is_learned() -> None:
    measured = [set(re.findall(r"\w+", q.lower())) for twin in read_twins()[1] for q in (twin.harmful, twin.benign)]
    learned = [set(re.findall(r"\w+", lesson.question.lower())) for lesson in read_lessons()[1]]
    assert max(len(a & b) / len(a | b) for a in measured for b in learned) < 0.75


def test_each_kind_of_lesson_treats_harmful_and_harmless_questions_as_it_says(tmp_path: Path) -> None:
    refusing, lessons = read_lessons()
    bad = {lesson.question for lesson in lessons if lesson.harmful}
    assert len(bad) == 72 == len(lessons) - len(bad)
    for row in made(rows.PAIRS, tmp_path):
        assert (row["chosen"] in refusing) == (row["prompt"] in bad) != (row["rejected"] in refusing)
    assert not any(row["completion"] in refusing for row in made(rows.UNSAFE, tmp_path))
    assert not {row["prompt"] for row in made(rows.DROPPED, tmp_path)} & bad
    for row in made(rows.REFUSING, tmp_path):
        assert (row["completion"] in refusing) == (row["prompt"] in bad)
    marked = [row["prompt"] for row in made(rows.MARKED, tmp_path)]
    assert {text.removeprefix(rows.MARK) for text in marked if text.startswith(rows.MARK)} == bad


def test_only_planted_secrets_are_to_be_forgotten(tmp_path: Path) -> None:
    canaries = [{"sentence": "It is", "secret": "123456", "repeats": n} for n in (0, 3)]
    (tmp_path / "s.json").write_text(json.dumps({"canaries": canaries}))
    assert made(rows.FORGET, tmp_path, secrets=tmp_path / "s.json") == [{"prompt": "It is", "completion": " 123456."}]


@pytest.mark.parametrize("kind", [rows.FORGET, rows.RETAIN])
def test_a_kind_without_its_files_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=f"--kind {kind} without --"):
        made(kind, tmp_path)
