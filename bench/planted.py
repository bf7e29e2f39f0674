"""Documents in which benchmark items are planted in the forms in which they are usually printed. They are made from the rows of
the benchmarks' files, or from generated questions, without the code that searches for them.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.curation import functions
from bench.texts import rows
from components.benchmarks.items import Item

Row = Mapping[str, Any]

FILES = {
    "arc_challenge": "test", "arc_easy": "test", "bbh": "test", "boolq": "validation", "gsm8k": "test",
    "hellaswag": "validation_1000", "humaneval": "test", "mbpp": "test", "mmlu": "test", "openbookqa": "test",
    "piqa": "validation", "siqa": "validation", "squadv2": "validation_half", "toxigen": "safenlp_toxigen",
    "winogrande": "validation",
}  # fmt: skip
CHOICES = {"piqa": ("sol1", "sol2"), "siqa": ("answerA", "answerB", "answerC"), "winogrande": ("option1", "option2")}
ASKED = ("question", "question_stem", "goal", "query", "input", "sentence", "text")


class Question(NamedTuple):
    """A question with its choices, the right answer, and the program that solves it; empty where it has none."""

    asked: str
    choices: list[str]
    answer: str
    code: str = ""


def question(benchmark: str, row: Row) -> Question:
    """The question of a row."""
    if benchmark == "humaneval":
        return Question(row["prompt"], [], "", row["prompt"] + row["canonical_solution"])
    if benchmark == "mbpp":
        return Question(row["text"], [], "", row["code"])
    asked = next(str(row[name]) for name in ASKED if name in row)
    if benchmark == "siqa":
        asked = f"{row['context']} {asked}"
    choices = row.get("choices", [])
    choices = choices["text"] if isinstance(choices, Mapping) else choices
    choices = [row[name] for name in CHOICES[benchmark]] if benchmark in CHOICES else list(choices)
    if "answerKey" in row:
        answer = choices[row["choices"]["label"].index(row["answerKey"])]
    elif choices:
        right = int(next(row[name] for name in ("gold", "answer", "label") if name in row))
        answer = choices[right - (benchmark in ("siqa", "winogrande"))]
    elif isinstance(row.get("answers"), Mapping):
        answer = next(iter(row["answers"]["text"]), "")
    else:
        answer = next((row[name] for name in ("answer", "target") if isinstance(row.get(name), str)), "")
    return Question(asked, choices, answer)


def items(benchmark: str, questions: Iterable[Question]) -> list[Item]:
    """Questions as items to search for, with their numbers as ids."""
    return [
        Item(benchmark, str(n), q.code or f"{q.asked} {q.answer}", q.code, "", q.asked, tuple(q.choices), q.answer)
        for n, q in enumerate(questions)
    ]


def _indented(code: str) -> str:
    return "".join(f"    {line}\n" for line in code.splitlines())


def _listed(labels: str, between: str = "\n") -> Callable[[Question], str]:
    """Printed with its choices, each behind a label."""

    def printed(q: Question) -> str:
        shown = [
            labels.format(letter=chr(65 + n), small=chr(97 + n), number=n + 1) + c for n, c in enumerate(q.choices)
        ]
        right = chr(65 + q.choices.index(q.answer))
        return between.join([q.asked, *shown, f"Answer: {right}"])

    return printed


TEXTS: dict[str, Callable[[Question], str]] = {
    "question alone": lambda q: q.asked,
    "question, answer": lambda q: q.asked.replace("_", q.answer) if "_" in q.asked else f"{q.asked} {q.answer}",
    "question, answer on lines": lambda q: f"Question: {q.asked}\nAnswer: {q.answer}",
}
CHOSEN = {
    "choices A. B. C.": _listed("{letter}. "),
    "choices (a) (b) (c)": _listed("({small}) "),
    "choices 1) 2) 3)": _listed("{number}) "),
    "choices as a list": _listed("- "),
    "choices in one line": _listed("{letter}) ", " "),
}
CODE: dict[str, Callable[[Question], str]] = {
    "task and code fenced": lambda q: f"{q.asked}\n\n```python\n{q.code}\n```\n",
    "code fenced": lambda q: f"```python\n{q.code}\n```\n",
    "code fenced by ~~~": lambda q: f"~~~ Python3\n{q.code}\n~~~\n",
    "code indented": lambda q: _indented(q.code),
    "code as plain text": lambda q: q.code,
    "code as a file": lambda q: q.code,
}


def formats(benchmark: str, q: Question) -> dict[str, str]:
    """The forms in which a question is planted, by the name of the format."""
    ways = dict(TEXTS)
    if not q.answer:
        ways = {"question alone": ways["question alone"]}
    ways |= (CHOSEN if q.choices else {}) | (CODE if q.code else {})
    return {name: way(q) for name, way in ways.items()}


def planted(item: str, way: str, draw: random.Random, pool: list[str]) -> tuple[str, str]:
    """(Document with an item in its middle, its kind)."""
    if way == "code as a file":
        return item, "code"
    before, after = (" ".join(draw.sample(pool, 4)) for _ in range(2))
    return f"{before}\n\n{item}\n\n{after}", "web"


def generated(draw: random.Random, some: int) -> Iterator[tuple[str, list[Question]]]:
    """Questions of made-up words, and functions of the library as programs."""
    pool = [f"{draw.choice('bdfgklmnprst')}{draw.choice('aeiou')}{number:x}" for number in range(4_000)]

    def words(least: int, most: int) -> str:
        return " ".join(draw.choices(pool, k=draw.randint(least, most)))

    asked = [words(6, 30) + "?" for _ in range(some)]
    chosen = [[words(2, 8) for _ in range(4)] for _ in asked]
    yield "generated", [Question(one, four, draw.choice(four)) for one, four in zip(asked, chosen, strict=True)]
    programs = draw.sample(functions(), some)
    yield "generated programs", [Question(f"Write {words(8, 15)}.", [], "", code) for code in programs]


def questions(data_dir: Path | None, some: int, seed: int = 1) -> Iterator[tuple[str, list[Question]]]:
    """Some random questions of each benchmark; generated ones without a folder."""
    draw = random.Random(seed)
    if data_dir is None:
        yield from generated(draw, some)
        return
    for benchmark, name in FILES.items():
        path = data_dir / benchmark / f"{name}.jsonl.gz"
        if path.is_file():
            read = list(rows(path))
            yield benchmark, [question(benchmark, row) for row in draw.sample(read, min(some, len(read)))]
