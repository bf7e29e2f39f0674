"""The items of benchmarks: question and right answer of every form of row, and what is missing."""

import json

import pytest
import yaml

from components.benchmarks import FOLDER
from components.benchmarks.items import read_items
from components.errors import StepError

ROWS = {
    "lettered": {
        "id": "M1",
        "question": "Why?",
        "choices": {"text": ["so", "not so"], "label": ["A", "B"]},
        "answerKey": "B",
    },
    "stem": {
        "question_stem": "The sun is",
        "choices": {"text": ["hot", "cold"], "label": ["1", "2"]},
        "answerKey": "1",
    },
    "numbered": {"question": "Two?", "subject": "s", "choices": ["0", "2"], "answer": 1},
    "query": {"query": "She opens", "choices": ["the door", "a tin"], "gold": 0},
    "endings": {"ctx": "She opens", "endings": ["the door", "a tin"], "label": "1"},
    "goal": {"goal": "Open it", "sol1": "push", "sol2": "pull", "label": 1},
    "context": {
        "context": "Ann left.",
        "question": "Why?",
        "answerA": "a",
        "answerB": "b",
        "answerC": "c",
        "label": "3",
    },
    "gap": {"sentence": "Ann paid as _ was rich.", "option1": "Ann", "option2": "Bob", "answer": "2"},
    "passage": {"context": "word " * 101, "question": "Who?", "answers": {"text": ["Rollo"], "answer_start": [0]}},
    "none": {"context": "word " * 101, "question": "Who?", "answers": {"text": [], "answer_start": []}},
    "truth": {"question": "is it so", "passage": "It is.", "answer": True},
    "written": {"question": "How many?", "answer": "Two. #### 2"},
    "target": {"task": "t", "input": "not True is", "target": "False"},
    "text": {"text": "a statement", "label": "hate"},
    "humaneval": {
        "task_id": "HumanEval/7",
        "prompt": "def f(x):\n",
        "canonical_solution": "    return x\n",
        "entry_point": "f",
    },
    "mbpp": {
        "text": "Write f.",
        "code": "def g(x): pass\ndef f(x): return g(x)",
        "task_id": 11,
        "test_list": ["assert sorted(f(3)) == set([3])"],
    },
}
TEXTS = {
    "lettered": "Why? not so",
    "stem": "The sun is hot",
    "numbered": "Two? 2",
    "query": "She opens the door",
    "endings": "She opens a tin",
    "goal": "Open it pull",
    "context": "Ann left. Why? c",
    "gap": "Ann paid as Bob was rich.",
    "passage": "Who? Rollo",
    "none": "Who?",
    "truth": "is it so",
    "written": "How many? Two. #### 2",
    "target": "not True is False",
    "text": "a statement",
    "humaneval": "def f(x):\n    return x\n",
    "mbpp": "Write f. def g(x): pass\ndef f(x): return g(x)",
}


def put(folder, **rows):
    """A suite over one file per benchmark."""
    for name, some in rows.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")
    tasks = {name: {"files": {"test": f"{name}/test.jsonl.gz"}} for name in rows}
    (folder / "own.yaml").write_text(yaml.safe_dump({"tasks": tasks}), encoding="utf-8")
    return str(folder / "own.yaml")


@pytest.mark.parametrize("form", ROWS)
def test_question_and_right_answer_of_each_form(tmp_path, form) -> None:
    items, missing = read_items(tmp_path, [put(tmp_path, bench=[ROWS[form]])])
    assert [item.text for item in items] == [TEXTS[form]]
    assert missing == {}
    own = ROWS[form].get("task_id", ROWS[form].get("id", 0))
    assert (items[0].benchmark, items[0].id) == ("bench", str(own))


def test_programs_know_what_is_asked_for(tmp_path) -> None:
    items, _ = read_items(tmp_path, [put(tmp_path, a=[ROWS["humaneval"]], b=[ROWS["mbpp"]])])
    assert [(item.code[:6], item.entry) for item in items] == [("def f(", "f"), ("def g(", "f")]


def test_a_benchmark_of_two_suites_is_read_once(tmp_path) -> None:
    suite = put(tmp_path, bench=[ROWS["written"]])
    assert len(read_items(tmp_path, [suite, suite])[0]) == 1


def test_parts_and_values_choose_rows(tmp_path) -> None:
    rows = [{**ROWS["numbered"], "subject": s} for s in ("law", "art", "law", "sport")]
    suite = put(tmp_path, bench=rows)
    content = yaml.safe_load((tmp_path / "own.yaml").read_text())
    content["tasks"]["bench"] |= {"where": {"subject": "{part}"}, "parts": ["law", "art"]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    assert len(read_items(tmp_path, [suite])[0]) == 3


def test_what_is_missing_or_wrong_is_named(tmp_path) -> None:
    items, missing = read_items(tmp_path, ["phi2"])
    assert items == []
    assert missing["humaneval"] == "humaneval/test.jsonl.gz is not in the folder of the benchmarks' data"
    assert read_items(None, ["exam"]) == ([], {})
    with pytest.raises(StepError, match="'phi3' is unknown; expected one of easy, olmes, phi2"):
        read_items(tmp_path, ["phi3"])
    with pytest.raises(StepError, match=r"bench/test.jsonl.gz, row 1 of bench: no question and answer"):
        read_items(tmp_path, [put(tmp_path, bench=[ROWS["written"], {"other": 1}])])
    (tmp_path / "own.yaml").write_text("tasks: [1]")
    with pytest.raises(StepError, match="cannot be read as a suite"):
        read_items(tmp_path, [str(tmp_path / "own.yaml")])


def test_the_suites_of_the_project_can_be_read(shared_data) -> None:
    suites = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    items, missing = read_items(shared_data / "benchmarks", suites)
    assert {"bbh", "humaneval", "mbpp", "mmlu", "gsm8k", "squadv2", "toxigen"} <= {item.benchmark for item in items}
    assert all(item.text.strip() for item in items)
    assert all(item.code for item in items if item.benchmark in ("humaneval", "mbpp"))
    assert set(missing) <= {"csqa"}
