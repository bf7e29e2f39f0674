"""Exercises that a model wrote: read one by one, kept only if their program computes the same answer."""

import json
from dataclasses import replace

import pytest

from components.synthesis.exercises import Exercise, agreed_answer, read_exercises, verify

GOOD = {"question": "What is three times four?", "answer": "12", "code": "", "expression": "3 * 4"}


def answer(**changes: object) -> str:
    return json.dumps({"title": "T", "exercises": [GOOD | changes]})


BODY = answer()
ITEM = json.dumps(GOOD)


@pytest.mark.parametrize(
    "text",
    [
        BODY,
        f"```json\n{BODY}\n```",
        f"```JSON\n{BODY}\n```",
        f"\n```json5\n{BODY}\n```\n",
        f"Here are the exercises:\n\n```json\n{BODY}\n```\nLet me know!",
        f"Here are the exercises: {BODY}",
        f"{BODY}<|eot_id|>",
        f"<think>I need {{}}.</think>{BODY}",
        f"[{ITEM}]",
        ITEM,
        f"{ITEM}\n{ITEM[:40]}",
        BODY[:-1] + ",}",
        BODY.replace("]", ",]"),
        BODY.replace('"12"', "12"),
        BODY.replace('"code": ""', '"code": null'),
        BODY.replace('"code": ""', '"code": []'),
        BODY.replace('"code": ""', '"code": "```python\\n```"'),
        BODY.replace('"code": "", ', ""),
        BODY.replace("What is", "What\nis"),
        BODY.replace("What is", "What\\u0000 is\\u202e"),
        '{"title": "x", "exercises": [], ' + BODY[1:],
    ],
)
def test_an_exercise_is_read_whatever_stands_around_it(text):
    _, exercises = read_exercises(text)
    assert Exercise(**GOOD) in [replace(exercise, code=exercise.code.removeprefix("[]")) for exercise in exercises]


def test_one_bad_exercise_does_not_cost_the_others():
    bad = [
        GOOD | {"expression": None},
        {"question": "What else is there?"},
        7,
        GOOD | {"question": "Half \ud83d of it?"},
    ]
    title, exercises = read_exercises(json.dumps({"title": "T", "exercises": [GOOD, *bad]}))
    assert title == "T"
    assert exercises[0] == Exercise(**GOOD)
    assert [exercise.question for exercise in exercises[2:]] == ["What else is there?", "7", "Half \ufffd of it?"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "JSON with a list \"exercises\" .*: '{'"),
        ("[]", "JSON with a list"),
        ('{"exercises": []}', "JSON with a list"),
        ('{"exercises": [1]}', "JSON with a list"),
        (answer(expression=""), "none of 1 exercises has a question"),
        (answer(answer=None), "none of 1 exercises has a question"),
        (answer()[: len(answer()) // 2], "JSON with a list"),
        ("[" * 100_000, "JSON with a list"),
        ('{"a":' * 100_000, "JSON with a list"),
        ('{"' * 100_000, "JSON with a list"),
        ('{"' + '\\"' * 100_000, "JSON with a list"),
    ],
)
def test_what_holds_no_exercise_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        read_exercises(text)


def test_each_exercise_is_computed(programs):
    code = "def double(n):\n    return 2 * n"
    cases = {
        Exercise("What is three times four?", "12", "", "3 * 4"): "",
        Exercise("What does double(4) return?", "8", code, "double(4)"): "",
        Exercise("What is 'ab' in capitals?", "AB", "", "'ab'.upper()"): "",
        Exercise("What is 'ab' in capitals, as Python shows it?", "'AB'", "", "'ab'.upper()"): "",
        Exercise("What is ten over four?", "2.50", "", "10 / 4"): "",
        Exercise("What is three times five?", "12", "", "3 * 5"): "the answer is '12', the program computes 15",
        Exercise("Which city is the capital of France?", "Paris", "", "'Paris'"): "the expression computes nothing",
        Exercise("What is one over zero, if anything?", "0", "", "1 / 0"): "the program gives no value: ZeroDivision",
        Exercise("How many files are there?", "3", "import os", "len(os.listdir())"): "not executable here: Import",
        Exercise("short", "1", "", "0 + 1"): "a question of 5 characters",
        Exercise("What is the answer to this?", "", "", "0 + 1"): "an answer that is empty",
        Exercise("What is the answer to this?", "1", "", " "): "no expression",
        Exercise("What is three times four\ufffd?", "12", "", "3 * 4"): "not text: ",
        Exercise("What is three times four?<|im_end|>", "12", "", "3 * 4"): "not text: ",
    }
    for (exercise, wanted), (found, _) in zip(cases.items(), verify(list(cases), programs), strict=True):
        assert found.startswith(wanted), exercise
        assert bool(found) == bool(wanted), exercise


@pytest.mark.parametrize(
    ("answer_", "value", "agreed"),
    [
        ("3", "3.0", "3"),
        ("it's", '"it\'s"', "it's"),
        ("1,234,567", "1234567", "1234567"),
        ("12 coins", "12", "12"),
        ("-2.50 m/s", "-2.5", "-2.50"),
        ("12/5", "12", ""),
        ("$1,250.50", "1250.5", "1250.50"),
        ("x = 12", "12", "12"),
        ("45%", "45", "45"),
        ("true", "True", "true"),
        ("Yes", "True", "Yes"),
        ("No", "'no'", "No"),
        ("Cat", "'CAT'", ""),
        ("\u22125", "-5", "-5"),
        ("1\u202f234 567 coins", "1234567", "1234567"),
        ("**12**", "12", "12"),
        ("0.3", "0.30000000000000004", "0.3"),
        ("3.30 euros", "3.3000000000000003", "3.30"),
        ("3.33", "3.3333333333333335", ""),
        ("12345678901234", "12345678901235", ""),
        ("[1,2]", "[1, 2]", "[1,2]"),
        ("12 coins", "'12 coins'", "12 coins"),
        ("True", "1", ""),
        ("a\\n", "'a\\n'", ""),
        ("12 or 13", "12", ""),
        ("1,23", "123", ""),
        ("12 coins", "13", ""),
        ("not 12", "12", ""),
    ],
)
def test_what_of_an_answer_is_confirmed(answer_, value, agreed):
    assert agreed_answer(answer_, value) == agreed
