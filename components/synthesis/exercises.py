"""Exercises that a model wrote: read from JSON, and kept only if their program computes the same answer.

The model gives with each question a program that computes its answer. What `restricted` allows is run in the sandbox;
its printed value must be the answer. A program that computes nothing, or whose value does not follow from the question
(see `dependence`), proves nothing and is rejected too.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.synthesis.dependence import Check, independence_faults, static_fault
from components.synthesis.drafts import normalise
from components.synthesis.restricted import computes, fault
from components.synthesis.sandboxed import Programs

FIELDS = ("question", "answer", "code", "expression")
MAX_QUESTION, MAX_ANSWER = 1_000, 300  # characters
_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*?)\n?```\s*\Z", re.S)
_STRING = {"type": "string"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": _STRING,
        "exercises": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": dict.fromkeys(FIELDS, _STRING),
                "required": list(FIELDS),
                "additionalProperties": False,
            },
        },
    },
    "required": ["title", "exercises"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Exercise:
    """One exercise of a model, before and after verification."""

    question: str
    answer: str
    code: str
    expression: str


def read_exercises(text: str) -> tuple[str, list[Exercise]]:
    """Title and exercises of an answer.

    Raises:
        ValueError: the answer is not JSON, or not of the form of SCHEMA; the message says where.
    """
    if fenced := _FENCE.match(text.strip()):
        text = fenced.group(1)
    try:
        values = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(values, dict) or not isinstance(values.get("exercises"), list):
        raise ValueError('not an object with a list "exercises"')
    if not values["exercises"]:
        raise ValueError('"exercises" is empty')
    exercises = []
    for number, item in enumerate(values["exercises"]):
        if not isinstance(item, dict):
            raise ValueError(f"exercise {number} is not an object")
        for name in FIELDS:
            if not isinstance(item.get(name), str):
                raise ValueError(f"exercise {number} has no text {name!r}")
        exercises.append(
            Exercise(normalise(item["question"]), item["answer"].strip(), item["code"], item["expression"])
        )
    return str(values.get("title") or ""), exercises


def form_fault(exercise: Exercise) -> str:
    """What is wrong with an exercise before its program runs, or an empty string."""
    if not 10 <= len(exercise.question) <= MAX_QUESTION:
        return f"a question of {len(exercise.question)} characters"
    if not exercise.answer or len(exercise.answer) > MAX_ANSWER or "\n" in exercise.answer:
        return "an answer that is empty, long or of several lines"
    if not exercise.expression.strip():
        return "no expression"
    if wrong := fault(exercise.code) or fault(exercise.expression.strip(), "eval"):
        return f"not executable here: {wrong}"
    if not computes(exercise.expression.strip()):
        return "the expression computes nothing"
    return ""


def verify(exercises: Sequence[Exercise], programs: Programs) -> list[str]:
    """For each exercise its fault, or an empty string if its program computed its answer."""
    faults = [form_fault(exercise) for exercise in exercises]
    runnable = [i for i, wrong in enumerate(faults) if not wrong]
    values = programs.evaluate([(exercises[i].code, exercises[i].expression.strip()) for i in runnable])
    for i, (fine, value) in zip(runnable, values, strict=True):
        if not fine:
            faults[i] = f"the program gives no value: {value}"
        elif not same_answer(exercises[i].answer, value):
            faults[i] = f"the answer is {exercises[i].answer!r}, the program computes {value}"
        else:
            faults[i] = static_fault(_check(exercises[i]))
    computed = {i: value for i, (_, value) in zip(runnable, values, strict=True) if not faults[i]}
    checks = [_check(exercises[i]) for i in computed]
    for i, wrong in zip(computed, independence_faults(checks, list(computed.values()), programs.evaluate), strict=True):
        faults[i] = wrong
    return faults


def _check(exercise: Exercise) -> Check:
    return Check(exercise.question, exercise.answer, exercise.code, exercise.expression.strip())


def same_answer(answer: str, value: str) -> bool:
    """Whether a printed value (its repr) is the answer: unchanged, or a text without its quotes."""
    if answer == value:
        return True
    if value[:1] in "'\"":
        return answer == value[1:-1] and "\\" not in value
    try:
        return float(answer) == float(value)  # 3 and 3.0
    except ValueError:
        return False
