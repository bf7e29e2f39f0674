"""Reads a model's exercises from JSON, and keeps them only if their program computes the same answer.

With each question the model returns a program that computes its answer. Programs that `restricted` allows run in the
sandbox, and the printed value must be the answer. A program that computes nothing, or that does not compute its value from
the question (see `dependence`), proves nothing and is rejected too.
"""

import ast
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from components.endpoint.structured import as_text, json_values
from components.errors import short
from components.synthesis.dependence import Check, independence_faults, static_fault
from components.synthesis.drafts import normalise
from components.synthesis.restricted import computes, fault
from components.synthesis.sandboxed import Programs
from components.text.markup import strip_markup, unclean

FIELDS = ("question", "answer", "code", "expression")
MAX_QUESTION, MAX_ANSWER = 1_000, 300  # maximum characters
_FENCE = re.compile(r"\A```\w*\s*\n(.*?)\n?```\Z", re.S)
_NUMBER = r"-?(?:[0-9]{1,3}(?:[, \u00a0\u202f'\u2019][0-9]{3})+|[0-9]+)(?:\.[0-9]+)?"
_YES = {"yes": "True", "no": "False"}
_MEASURE = re.compile(rf"(?:\w{{1,20}}\s*=\s*|[$€£¥]\s*)?({_NUMBER})(?:\s*[^\d\s=+*/<>,.-][^\d=+*<>-]{{0,30}})?")
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
    """Title and exercises of an answer. A missing field of an exercise is an empty text, so that the others can be kept.

    Raises:
        ValueError: the answer contains no exercise that could be verified; the message describes it.
    """
    title, items = _items(text)
    exercises = [_exercise(item) for item in items]
    if not any(exercise.question and exercise.answer and exercise.expression for exercise in exercises):
        missing = f"none of {len(items)} exercises has" if items else 'JSON with a list "exercises" of objects with'
        raise ValueError(f"{missing} a question, an answer and an expression: {text[:200]!r}")
    return title, exercises


def _items(text: str) -> tuple[str, list[Any]]:
    single = []
    for value in json_values(text):
        items = value.get("exercises") if isinstance(value, dict) else value
        if isinstance(items, list) and any(isinstance(item, dict) and "question" in item for item in items):
            return (as_text(value.get("title")) if isinstance(value, dict) else ""), items
        if isinstance(value, dict) and "question" in value and value not in single:
            single.append(value)
    return "", single


def _exercise(item: Any) -> Exercise:
    question, answer, code, expression = (
        strip_markup(as_text(item.get(name))).text if isinstance(item, dict) else "" for name in FIELDS
    )
    if fenced := _FENCE.match(code.strip()):
        code = fenced[1]
    return Exercise(normalise(question) or short(item), answer.strip(), code, expression)


def form_fault(exercise: Exercise) -> str:
    """The fault in an exercise that shows before its program runs, or an empty string."""
    if not 10 <= len(exercise.question) <= MAX_QUESTION:
        return f"a question of {len(exercise.question)} characters"
    if not exercise.answer or len(exercise.answer) > MAX_ANSWER or "\n" in exercise.answer:
        return "an answer that is empty, long or of several lines"
    if not exercise.expression.strip():
        return "no expression"
    if found := unclean("\n".join((exercise.question, exercise.answer, exercise.code, exercise.expression))):
        return f"not text: {found}"
    if wrong := fault(exercise.code) or fault(exercise.expression.strip(), "eval"):
        return f"not executable here: {wrong}"
    if not computes(exercise.expression.strip()):
        return "the expression computes nothing"
    return ""


class Verdict(NamedTuple):
    """The fault of an exercise, empty if its program computed its answer; and the part of the answer that was computed."""

    fault: str
    answer: str


def verify(exercises: Sequence[Exercise], programs: Programs) -> list[Verdict]:
    """Run the exercises' programs and compare their values with the answers."""
    faults, answers = [form_fault(exercise) for exercise in exercises], [exercise.answer for exercise in exercises]
    runnable = [i for i, wrong in enumerate(faults) if not wrong]
    computed: dict[int, tuple[Check, str]] = {}  # the checks that agree with their answers, with their values
    values = programs.evaluate([(exercises[i].code, exercises[i].expression.strip()) for i in runnable])
    for i, (fine, value) in zip(runnable, values, strict=True):
        if not fine:
            faults[i] = f"the program gives no value: {value}"
        elif not (answer := agreed_answer(answers[i], value)):
            faults[i] = f"the answer is {answers[i]!r}, the program computes {value}"
        else:
            answers[i] = answer
            check = Check(exercises[i].question, answer, exercises[i].code, exercises[i].expression.strip())
            faults[i] = static_fault(check)
            if not faults[i]:
                computed[i] = (check, value)
    checks, results = [check for check, _ in computed.values()], [value for _, value in computed.values()]
    for i, wrong in zip(computed, independence_faults(checks, results, programs.evaluate), strict=True):
        faults[i] = wrong
    return [Verdict(*both) for both in zip(faults, answers, strict=True)]


def agreed_answer(answer: str, value: str) -> str:
    """The part of an answer that a printed value (a repr) confirms: all of it, a text without its quotes, or only the number
    if the answer also has a unit or thousands separators. Empty if the value does not confirm the answer.

    >>> agreed_answer("1,250 coins", "1250"), agreed_answer("3", "3.0"), agreed_answer("4", "5")
    ('1250', '3', '')
    """
    answer = answer.strip("*`").replace("\u2212", "-")
    if answer == value or (value[:1] in "'\"" and answer == value[1:-1] and "\\" not in value):
        return answer
    try:
        found, wanted = (ast.literal_eval(text) for text in (answer, value))
        if found == wanted and type(found) is type(wanted):
            return answer
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    measure = _MEASURE.fullmatch(answer)
    number = re.sub(r"[^\d.-]", "", measure[1]) if measure else answer
    try:
        rounded = 1e-13 if "." in value else 0.0  # 0.1 + 0.2 is 0.30000000000000004
        return number if math.isclose(float(number), float(value), rel_tol=rounded) else ""  # 3 and 3.0
    except ValueError:
        said, wanted = answer.lower(), value.strip("'").lower()
        alike = said == wanted or _YES.get(said) == value
        return answer if alike and wanted in ("true", "false", "none", *_YES) else ""
