"""The exam's files: read whole, or refused with the file and the line."""

import json
import shutil

import pytest

from components.benchmarking.benchmark import Job, benchmark
from components.benchmarking.data import Place
from components.benchmarking.exam import in_part, load_exam
from components.benchmarking.suites import plan
from components.errors import StepError
from components.params import BenchmarkingParams

GOOD = {"id": "1", "question": "What?", "choices": ["a", "b"], "answer": 0, "category": "math"}


def test_tasks_come_in_order_of_their_names(exam):
    suite = load_exam(exam)
    assert [data.name for data in suite] == ["addition", "opposite", "sorting"]
    assert suite[0].category == "math"
    assert suite[0].chance == 0.3
    assert len(suite[0].rows) == 12


def test_the_halves_of_an_exam_share_no_question_and_miss_none(exam):
    whole = load_exam(exam)
    halves = {part: in_part(whole, part) for part in ("open", "sealed")}
    ids = {part: {row["id"] for task in tasks for row in task.rows} for part, tasks in halves.items()}
    assert ids["open"] | ids["sealed"] == {row["id"] for task in whole for row in task.rows}
    assert not ids["open"] & ids["sealed"]
    hashes = {task.sha256 for tasks in (whole, *halves.values()) for task in tasks if task.name == "addition"}
    assert len(hashes) == 3  # so that scores of different parts are not comparable
    assert in_part(whole, "all") is whole


def test_an_exam_without_a_question_in_a_half_is_refused(exam):
    one = in_part(load_exam(exam), "open")
    with pytest.raises(StepError, match="exam_part is sealed, and the exam has no question in it"):
        in_part(one, "sealed")


def test_a_half_is_asked_where_the_parameters_say_so(exam):
    asked = plan("exam", Place(exam), "sealed").tasks
    assert sum(len(task.rows) for task in asked) == sum(len(t.rows) for t in in_part(load_exam(exam), "sealed"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", "addition.jsonl, line 13: not JSON"),
        ("[1]", "line 13: a list; expected an object with id"),
        (json.dumps({**GOOD, "question": 3}), "line 13: `question` is 3; expected a value of type str"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "choices"}), "line 13: `choices` is missing"),
        (json.dumps({**GOOD, "choices": ["a"]}), "expected at least two non-empty strings"),
        (json.dumps({**GOOD, "choices": ["a", ""]}), "expected at least two non-empty strings"),
        (json.dumps({**GOOD, "choices": ["a", "a"]}), "contains a choice twice"),
        (json.dumps({**GOOD, "answer": 2}), "`answer` is 2; expected an index from 0 to 1"),
        ("[" * 100_000, "line 13: not JSON .*too deep"),
        (json.dumps(GOOD)[:-1] + ', "more": ' + "9" * 5_000 + "}", "line 13: not JSON .*digits"),
        (json.dumps({**GOOD, "choices": ["a" * 100_000] * 2}), "contains a choice twice"),
        (json.dumps({**GOOD, "answer": True}), "`answer` is True; expected a value of type int"),
    ],
)
def test_a_malformed_row_is_named(exam, line, message):
    with open(exam / "addition.jsonl", "a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(StepError, match=message):
        load_exam(exam)


def test_bytes_that_are_not_text_are_refused(exam):
    (exam / "sorting.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(StepError, match="not UTF-8"):
        load_exam(exam)


def test_an_empty_task_is_refused(exam):
    (exam / "sorting.jsonl").write_text("")
    with pytest.raises(StepError, match=r"sorting.jsonl has no rows"):
        load_exam(exam)


def test_a_missing_task_file_is_named(exam):
    (exam / "sorting.jsonl").unlink()
    with pytest.raises(StepError, match=r"sorting.jsonl is not there, though .*exam.json names the task"):
        load_exam(exam)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "holds a list"),
        ('{"format_version": 9}', "format_version is 9; expected 1"),
        ('{"format_version": 1, "tasks": {}}', "`tasks` is empty"),
        ('{"format_version": 1, "tasks": {"addition": {}}}', "task 'addition': KeyError"),
    ],
)
def test_a_broken_description_is_refused(exam, content, message):
    (exam / "exam.json").write_text(content)
    with pytest.raises(StepError, match=message):
        load_exam(exam)


def test_unknown_suites_and_missing_folders_are_named(tmp_path):
    with pytest.raises(
        StepError, match="suite 'exams' is unknown; known suites: easy, exam, olmes, phi2, safety; did you mean 'exam'"
    ):
        plan("exams", Place())
    with pytest.raises(StepError, match="needs --data-dir"):
        load_exam(None)
    with pytest.raises(StepError, match=r"exam.json is not there; --data-dir must be"):
        load_exam(tmp_path)


def test_a_malformed_task_leaves_the_others_their_scores(exam, checkpoint, tmp_path, capsys):
    with open(exam / "addition.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({**GOOD, "question": 3}) + "\n")
    (exam / "sorting.jsonl").unlink()
    summary = benchmark(Job(checkpoint, "exam", exam), tmp_path / "s", BenchmarkingParams(threads=1))
    assert set(summary["exam"]["tasks"]) == {"opposite"}
    assert summary["exam"]["failed"] == 2
    text = (tmp_path / "s" / "scores.json").read_text()
    assert json.loads(text)["failed"] == {
        "addition": "addition.jsonl, line 13: `question` is 3; expected a value of type str",
        "sorting": "sorting.jsonl is not there, though exam.json names the task; write the exam again with components.synthesis --exam",
    }
    assert str(tmp_path) not in text
    assert "warning: benchmarking: addition: addition.jsonl, line 13" in capsys.readouterr().err
    (exam / "opposite.jsonl").write_text("")
    with pytest.raises(StepError, match=r"no task can be read: addition.jsonl, line 13"):
        benchmark(Job(checkpoint, "exam", exam), tmp_path / "t", BenchmarkingParams(threads=1))


@pytest.mark.parametrize("name", ["../secret", "/etc/secret", "..\\secret", "sub/../../secret"])
def test_a_task_names_a_file_of_the_exam_and_none_elsewhere(exam, name):
    (exam.parent / "secret.jsonl").write_text(json.dumps(GOOD) + "\n")
    about = json.loads((exam / "exam.json").read_text())
    about["tasks"][name] = about["tasks"]["addition"]
    (exam / "exam.json").write_text(json.dumps(about))
    with pytest.raises(StepError, match="leads out of its folder"):
        load_exam(exam)


def test_a_tasks_file_is_not_a_link_that_leads_elsewhere(exam, tmp_path):
    (tmp_path / "secret.jsonl").write_text(json.dumps(GOOD) + "\n")
    (exam / "addition.jsonl").unlink()
    (exam / "addition.jsonl").symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(StepError, match=r"'addition.jsonl' is a link that leads out of its folder"):
        load_exam(exam)


def test_the_exams_prompt_is_rendered_in_a_sandbox(exam, checkpoint, tmp_path):
    about = json.loads((exam / "exam.json").read_text())
    about["prompt"] = "{{ question.__class__.__mro__ }}"
    (exam / "exam.json").write_text(json.dumps(about))
    with pytest.raises(StepError, match="__class__"):
        benchmark(Job(checkpoint, "exam", exam, 2), tmp_path / "s", BenchmarkingParams(threads=1))


@pytest.mark.parametrize("name", ["exam.json", "reworded"])
def test_no_part_of_an_exam_is_a_link_that_leads_elsewhere(exam, tmp_path, name):
    shutil.copytree(exam, tmp_path / "other")
    (exam / name).unlink(missing_ok=True)
    (exam / name).symlink_to(tmp_path / "other" / ("" if name == "reworded" else name))
    with pytest.raises(StepError, match="is a link that leads out of its folder"):
        plan("exam", Place(exam))
