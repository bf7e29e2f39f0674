"""Chat and Exam: answers side by side, a link that holds everything, refusals, and text of models that stays text."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.errors import StepError
from flows.client import Launch
from flows.client.tuning import Checked, Tuned, check
from tests.ui.fakes import HOSTILE, Lists, Open, Talker, history, html, opener, settle
from ui import reads


@pytest.fixture
def talker(monkeypatch: pytest.MonkeyPatch) -> Talker:
    made = Talker()
    monkeypatch.setattr(reads, "playground", lambda: made)
    monkeypatch.setattr(reads, "models", lambda: ["large", "small", "control"])
    monkeypatch.setattr(reads, "exam", list)
    return made


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch, root: Any, talker: Talker) -> Any:
    yield from opener(monkeypatch, root)


def test_a_link_holds_models_settings_and_text(open_page: Open, talker: Talker) -> None:
    at = open_page("chat", Lists(), model="small", beside="control", temperature="0.0", prompt="one two <b>")
    assert at.text_area(key="prompt").value == "one two <b>"
    at = settle(next(button for button in at.button if button.label == "Continue").click().run())
    asked = [each for each in talker.asked if each["do"] == "answer"]
    assert [each["model"] for each in asked] == ["small", "control"]
    assert all(each["wish"]["temperature"] == 0 and each["prompt"] == "one two <b>" for each in asked)
    page = html(at)
    assert "one two &lt;b&gt;" in page
    assert "one two <b>" not in page
    assert sum("mean probability 60%" in caption.value for caption in at.caption) == 2
    assert any("50% stands in the training data" in caption.value for caption in at.caption)
    assert "MIT" in page
    assert "<script>" not in page


def test_the_conversation_can_be_taken_along_and_ended(open_page: Open, talker: Talker) -> None:
    at = open_page("chat", Lists(), prompt="one two")
    at = settle(next(button for button in at.button if button.label == "Continue").click().run())
    turns = at.session_state["turns"]
    assert json.loads(json.dumps(turns))[0]["answers"]["large"]["text"] == " two one"
    at = settle(next(button for button in at.button if button.label == "Begin anew").click().run())
    assert at.session_state["turns"] == []


def test_a_model_that_cannot_answer_says_why_beside_one_that_can(open_page: Open, talker: Talker) -> None:
    at = open_page("chat", Lists(), prompt="one two")
    talker.refuses = "no such model **here**"
    at = settle(next(button for button in at.button if button.label == "Continue").click().run())
    assert any("no such model" in error.value for error in at.error)
    assert not at.exception


def test_a_reader_names_no_folder_of_this_machine(open_page: Open, talker: Talker) -> None:
    at = open_page("chat", Lists(), role="reader", model="/etc", prompt="x")
    assert not [each for each in talker.asked if each["do"] == "answer"]
    assert at.selectbox(key="model").value == "large"


@pytest.mark.parametrize("page", ["chat", "exam", "inside"])
def test_without_models_the_page_says_how_to_get_one(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    monkeypatch.setattr(reads, "models", list)
    assert "yet" in html(open_page(page, Lists()))


def test_a_switch_changes_what_the_model_says_and_the_exam(open_page: Open, talker: Talker, monkeypatch: Any) -> None:
    monkeypatch.setattr(reads, "models", lambda: ["large", "small", "grown"])
    at = open_page("inside", Lists(), look="which planet <b>")
    page = html(at)
    assert "&lt;b&gt; 60%" in page.replace("</code>", "").replace("<code>", "")
    assert "<b>which" not in page
    assert all(f"of {name}" in page for name in ("large", "small", "grown"))
    at = settle(at.pills(key="blocks").set_value([1]).run())
    at = settle(at.toggle(key="new").set_value(True).run())
    assert "off␣1␣0␣True" in html(at)
    looks = [(one["model"], one["off"]) for one in talker.asked if one["do"] == "look"]
    assert looks[-1] == ("large", {"blocks": [1], "heads": [], "new": True})
    whole = [model for model, off in looks if off == {"blocks": [], "heads": [], "new": False}]
    assert sorted(whole) == ["grown", "large", "small"], "the whole models are asked once"
    at = settle(next(button for button in at.button if "questions of each family" in button.label).click().run())
    assert "-40%" in html(at)
    assert "frozenset({1})" in at.code[0].value


@pytest.fixture
def exam(tmp_path: Path) -> Path:
    """An exam of three questions, and what two models have answered."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "data" / "exam").mkdir(parents=True)
    rows = [
        {"task": "planets", "id": str(number), "question": text, "choices": ["Mars", "Venus"], "answer": 0}
        for number, text in enumerate(("Which is red?", f"Which is {HOSTILE}?", "Which is farther?"))
    ]
    (tmp_path / "data" / "exam" / "planets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for model, answers in (("small", (0, 1, 1)), ("large", (0, 0, 1))):
        folder = tmp_path / "reports" / "scores" / model
        folder.mkdir(parents=True)
        answered = [
            {"task": "planets", "id": row["id"], "predicted": p, "in_corpus": False,
             "log_probabilities": [-1.0, -3.0] if p == 0 else [-3.0, -1.0]}
            for row, p in zip(rows, answers, strict=True)
        ]  # fmt: skip
        pq.write_table(pa.Table.from_pylist(answered), folder / "examples.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("query", "shown", "absent"),
    [
        ({}, ["Which is red?", "2 (67%)", "1 (33%)", "88.1%", "&lt;script&gt;"], ["<script>alert"]),
        ({"find": "RED"}, ["Which is red?"], ["farther"]),
        ({"answers": "large right, small wrong"}, ["&lt;script&gt;"], ["Which is red?", "farther"]),
        ({"answers": "small right, large wrong"}, ["Nothing found"], ["Which is red?"]),
    ],
)
def test_questions_are_found_with_the_answers_of_each_model(
    open_page: Open,
    monkeypatch: pytest.MonkeyPatch,
    exam: Path,
    query: dict[str, str],
    shown: list[str],
    absent: list[str],
) -> None:
    from flows.client.exam import questions

    monkeypatch.setattr(reads, "exam", lambda: questions(exam))
    page = html(open_page("exam", Lists(), **query))
    assert [word for word in shown if word not in page] == []
    assert [word for word in absent if word in page] == []


@pytest.fixture
def tune_page(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> Open:
    rows = [{"prompt": HOSTILE, "completion": "a"}, {"messages": [{"role": "user", "content": "hello"}]}]
    monkeypatch.setattr(reads, "tuning_rows", lambda files, objective: Checked(len(files) + 7, rows))
    numbers = {"value": 0.05, "low": 0.02, "high": 0.08, "detectable": 0.03}
    result = {"exam": numbers, "bits_per_byte": numbers, "training": {"trained_on": 1234}}
    made = Tuned("abc", result, {"model": "large", "objective": "sft", "method": "lora", "learning_rate": 0.002}, 1.0)
    monkeypatch.setattr(reads, "tuned", lambda: [made])
    return open_page


def test_rows_are_shown_as_text_and_a_run_starts_with_what_was_changed(
    tune_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[Launch] = []
    monkeypatch.setattr("ui.acts.launch", lambda wanted: launched.append(wanted) or history().all[0])
    at = tune_page("tune", Lists())
    page = html(at)
    assert "7 rows" in at.caption[0].value
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "user: hello" in page
    assert "1,234" in page
    assert "+0.050" in page
    at = settle(at.number_input(key="tune-rank").set_value(4).run())
    assert "tuning.rank=4" in at.code[0].value
    settle(next(button for button in at.button if button.label == "Start the run").click().run())
    assert launched == [Launch({"tuning.rank": 4}, flow="tuning")]


def test_a_reader_starts_nothing_and_names_no_file(tune_page: Open) -> None:
    at = tune_page("tune", Lists(), role="reader", files="/etc/passwd")
    assert next(button for button in at.button if button.label == "Start the run").disabled
    assert not [field for field in at.text_input if field.label == "JSONL files"]


def test_rows_are_checked_by_the_step_itself(tmp_path: Path, root: Any) -> None:
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    for name in ("textbooks", "exam"):
        (tmp_path / "data" / name).mkdir(parents=True)
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text('{"prompt": "a", "completion": "b"}\n' * 9)
    bad.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "a"}\n')
    found = check(tmp_path, [str(good)], "sft")
    assert (found.rows, len(found.sample)) == (9, 5)
    with pytest.raises(StepError, match=r"bad.jsonl, line 2: 'prompt'; expected an object with messages or prompt"):
        check(tmp_path, [str(bad)], "sft")
