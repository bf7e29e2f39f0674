"""The items of suites' benchmarks as text: a question, its choices and correct answer; a program's task and solution.

Rows are read in the format of their data sets, by field names, without lm-eval and its prompts. The passage that a
question is about is left out, as in components.benchmarking.contamination: it does not reveal the answer. The suite
`exam` has no items here: it is made after curation, from held-out questions.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.benchmarks import FOLDER, inherited, known_suites
from components.benchmarks.data import Place
from components.errors import StepError
from components.foreign import yaml_text

EXAM = "exam"
PASSAGE = 100  # words; a question's context that is longer counts as a passage
FEW = 10  # words; a shorter description is read together with the head of its function
GAP = re.compile(r"(?<!\w)_(?!\w)")
_DOCSTRING = re.compile("(?s)[\"']{3}(.*?)(?:[\"']{3}|\\Z)")
_EXAMPLES = re.compile(r">>>|(?i:\b(?:for )?examples?\b(?: \d+)?\s*:?)|(?<=\n)\s*\w+\(.*\)\s*(?:==|=|➞|->|=>|returns)")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Item:
    """One item of a benchmark.

    Attributes:
        benchmark: its name in the suites.
        id: the row's id if it has one, else its number in its file.
        text: question and correct answer.
        code: the program that solves it, and the name of the requested function; empty = not a program.
        question: only the question, with `_` as a gap for the choices; for a program the task in words. Empty = the text.
        choices: the choices, one of them correct; empty = no choices.
        answer: the correct answer in words; empty for yes or no, or a program.
    """

    benchmark: str
    id: str
    text: str
    code: str = ""
    entry: str = ""
    question: str = ""
    choices: tuple[str, ...] = ()
    answer: str = ""

    @property
    def asked(self) -> str:
        """The question; empty if a program's task is not in words."""
        return self.question if self.code else self.question or self.text

    def with_choice(self, choice: str) -> str:
        """The question with a choice in its gap or behind it."""
        return _with(self.asked, choice)


def read_items(folder: Path | None, suites: Sequence[str]) -> tuple[list[Item], dict[str, str]]:
    """The items of all benchmarks of the suites, each once; and by benchmark, why its items are missing.

    All rows of a benchmark's file are included, even if a suite draws a sample of them.

    Args:
        folder: of the benchmarks' files; None = no folder.
        suites: names, or paths of YAML files.

    Raises:
        StepError: a suite is unknown or not valid; a file is damaged.
    """
    place = Place(folder)
    items: list[Item] = []
    missing: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    for suite in suites:
        for benchmark, file, where in _files(suite):
            rows = place.file(file, {})
            if rows is None:
                missing[benchmark] = f"{file} is not in the folder of the benchmarks' data"
            elif (file, benchmark) not in seen:
                seen.add((file, benchmark))
                kept = [row for row in rows if all(row.get(key) in values for key, values in where.items())]
                items += _items(benchmark, file, kept)
    found = {item.benchmark for item in items}
    return items, {name: reason for name, reason in missing.items() if name not in found}


def _files(suite: str) -> Iterator[tuple[str, str, dict[str, list[str]]]]:
    """(benchmark, file of its questions, values to select rows by) of a suite."""
    if suite == EXAM:
        return
    known = known_suites()
    path = FOLDER / f"{suite}.yaml" if suite in known else Path(suite)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        names = ", ".join(known)
        raise StepError(f"decontamination: suite {suite!r} is unknown; expected one of {names}, or a YAML file's path")
    try:
        tasks = yaml_text.read(path)["tasks"]
        for benchmark, given in tasks.items():
            entry = inherited(benchmark, given)
            parts = entry.get("parts") or [""]
            where = {
                field: sorted({value.replace("{part}", part) for part in parts})
                for field, value in entry.get("where", {}).items()
            }
            yield benchmark, next(iter(entry["files"].values())), where
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        said = " ".join(str(error).split())
        raise StepError(f"{path.name} cannot be read as a suite ({type(error).__name__}: {said})") from error


def _items(benchmark: str, file: str, rows: Sequence[Row]) -> Iterator[Item]:
    for number, row in enumerate(rows):
        own = next((row[key] for key in ("task_id", "id") if row.get(key) is not None), number)
        try:
            yield _item(benchmark, str(own), row)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise StepError(
                f"{file}, row {number} of {benchmark}: no question and answer can be read from it "
                f"({type(error).__name__}: {error}); it has {', '.join(sorted(row))}"
            ) from error


def _item(benchmark: str, own: str, row: Row) -> Item:
    if "canonical_solution" in row:  # HumanEval
        code, entry = f"{row['prompt']}{row['canonical_solution']}", row.get("entry_point", "")
        return Item(benchmark, own, code, code, entry, _described(row["prompt"], entry))
    if "code" in row and "test_list" in row:  # MBPP
        asked = row.get("text") or row.get("prompt", "")
        return Item(benchmark, own, f"{asked} {row['code']}", row["code"], _called(row["test_list"]), asked)
    asked = next((str(row[key]) for key in _ASKED if row.get(key)), None)
    if asked is None:
        raise KeyError("question")
    context = row.get("context")
    if isinstance(context, str) and len(context.split()) <= PASSAGE and "answers" not in row:
        asked = f"{context} {asked}"
    answer = next((found for read in _ANSWERS if (found := read(row)) is not None), "")
    answer = answer if isinstance(answer, str) else ""
    text = _with(asked, answer) if answer else asked
    return Item(benchmark, own, text, question=asked, choices=_choices(row), answer=answer)


def _with(asked: str, choice: str) -> str:
    return asked.replace("_", choice, 1) if GAP.search(asked) else f"{asked} {choice}".strip()


def _described(prompt: str, entry: str) -> str:
    """The description of the requested function in a code prompt, up to its examples; if short, with the function's head."""
    head, _, inside = prompt.rpartition(f"def {entry}(")[2].partition("\n")
    found = _DOCSTRING.search(inside)
    said = _EXAMPLES.split(found[1] if found else inside, maxsplit=1)[0].strip()
    return said if len(said.split()) > FEW else f"def {entry}({head}\n{said}"


_ASKED = ("question", "question_stem", "goal", "query", "input", "sentence", "ctx", "text", "prompt")


def _choices(row: Row) -> tuple[str, ...]:
    for names in (("sol1", "sol2"), ("answerA", "answerB", "answerC"), ("option1", "option2")):
        if names[0] in row:
            return tuple(str(row[name]) for name in names)
    choices = row.get("choices", row.get("endings"))
    choices = choices["text"] if isinstance(choices, Mapping) else choices
    return tuple(map(str, choices)) if isinstance(choices, Sequence) and not isinstance(choices, str) else ()


def _lettered(row: Row) -> str | None:
    choices = row.get("choices")
    if not isinstance(choices, Mapping):
        return None
    return choices["text"][choices["label"].index(row["answerKey"])]


def _numbered(row: Row) -> str | None:
    choices = row.get("choices", row.get("endings"))
    if not isinstance(choices, Sequence) or isinstance(choices, str):
        return None
    return str(choices[int(next(row[key] for key in ("gold", "answer", "label") if key in row))])


def _named(row: Row) -> str | None:
    """The correct choice by number: PIQA counts from 0, SocialIQA and WinoGrande from 1."""
    if "sol1" in row:
        return row[("sol1", "sol2")[int(row["label"])]]
    if "answerA" in row:
        return row[("answerA", "answerB", "answerC")[int(row["label"]) - 1]]
    if "option1" in row:
        return row[("option1", "option2")[int(row["answer"]) - 1]]
    return None


def _spans(row: Row) -> str | None:
    """SQuAD's first answer; None if there is no answer."""
    answers = row.get("answers")
    if not isinstance(answers, Mapping):
        return None
    return answers["text"][0] if answers["text"] else ""


def _written(row: Row) -> str | None:
    return next((row[key] for key in ("answer", "target") if isinstance(row.get(key), str)), None)


_ANSWERS: tuple[Callable[[Row], str | None], ...] = (_lettered, _numbered, _named, _spans, _written)


def _called(tests: Sequence[str]) -> str:
    """The function that MBPP's tests call: the first name before a bracket, except Python's own."""
    import ast
    import builtins

    for test in tests:
        try:
            nodes = list(ast.walk(ast.parse(test.strip())))
        except SyntaxError:
            continue
        names = [n.func.id for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        own = [name for name in names if not hasattr(builtins, name)]
        if own:
            return own[0]
    return ""
