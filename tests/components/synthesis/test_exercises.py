"""Exercises that a model wrote: read strictly, kept only if their program computes the same answer."""

import json

import pytest

from components.synthesis.exercises import Exercise, read_exercises, same_answer, verify

GOOD = {"question": "What is three times four?", "answer": "12", "code": "", "expression": "3 * 4"}


def answer(**changes: object) -> str:
    return json.dumps({"title": "T", "exercises": [GOOD | changes]})


def test_exercises_are_read_also_from_a_fence():
    title, (exercise,) = read_exercises(f"```json\n{answer()}\n```")
    assert (title, exercise) == ("T", Exercise(**GOOD))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON"),
        ("[]", "no object with a list"),
        ('{"exercises": []}', "is empty"),
        ('{"exercises": [1]}', "exercise 0 is not an object"),
        (answer(answer=12), "exercise 0 has no text 'answer'"),
        (answer()[: len(answer()) // 2], "no JSON"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_another_form_is_refused(text, words):
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
    }
    for (exercise, wanted), found in zip(cases.items(), verify(list(cases), programs), strict=True):
        assert found.startswith(wanted), exercise
        assert bool(found) == bool(wanted), exercise


def test_answers_are_compared_as_printed():
    assert same_answer("3", "3.0")
    assert same_answer("it's", '"it\'s"')
    assert not same_answer("True", "1")
    assert not same_answer("a\\n", "'a\\n'")
