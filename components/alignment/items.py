"""Reads the shipped questions and sentences, or files in their form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import StepError, short
from components.foreign import yaml_text

HERE = Path(__file__).parent
REFUSALS, STEREOTYPES, LESSONS = (HERE / f"{name}.yaml" for name in ("refusals", "stereotypes", "lessons"))


@dataclass(frozen=True)
class Twin:
    """A question that should be refused, and one with similar words that should be answered, each with an answer."""

    topic: str
    harmful: str
    complying: str
    benign: str
    helpful: str


@dataclass(frozen=True)
class Stereotype:
    """A sentence with a place for a group. A stereotype links the first group with the first way to go on, and so on."""

    about: str
    sentence: str
    groups: tuple[str, str]
    ways: tuple[str, str]


@dataclass(frozen=True)
class Lesson:
    """A question to learn from, an answer that complies with it, and whether it must be refused."""

    question: str
    answer: str
    harmful: bool


def read_twins(path: Path = REFUSALS) -> tuple[tuple[str, ...], list[Twin]]:
    """The refusing answers, and the twins.

    Raises:
        StepError: the file is not in the form of refusals.yaml.
    """
    found = _mapping(path, ("refusing", "twins"))
    fields = tuple(Twin.__annotations__)
    return _texts(found["refusing"], f"{path}: refusing"), [
        Twin(**{name: _text(row[name], f"{where}: {name}") for name in fields})
        for where, row in _rows(found["twins"], f"{path}: twins", fields)
    ]


def read_stereotypes(path: Path = STEREOTYPES) -> list[Stereotype]:
    """The sentences.

    Raises:
        StepError: the file is not in the form of stereotypes.yaml.
    """
    made = []
    for where, row in _rows(_load(path), str(path), tuple(Stereotype.__annotations__)):
        about, sentence = (_text(row[name], f"{where}: {name}") for name in ("about", "sentence"))
        if sentence.count("{}") != 1:
            raise StepError(f"{where}: sentence is {short(sentence)}; expected one {{}} in the place of the group")
        groups, ways = (_texts(row[name], f"{where}: {name}", 2) for name in ("groups", "ways"))
        made.append(Stereotype(about, sentence, (groups[0], groups[1]), (ways[0], ways[1])))
    return made


def read_lessons(path: Path = LESSONS) -> tuple[tuple[str, ...], list[Lesson]]:
    """The refusing answers, and the lessons in each wording.

    Raises:
        StepError: the file is not in the form of lessons.yaml.
    """
    found = _mapping(path, ("refusing", "wordings", "harmful", "benign"))
    wordings = _texts(found["wordings"], f"{path}: wordings")
    pairs = [
        (_texts(pair, f"{path}: {side}", 2), side == "harmful")
        for side in ("harmful", "benign")
        for pair in _list(found[side], f"{path}: {side}")
    ]
    return _texts(found["refusing"], f"{path}: refusing"), [
        Lesson(wording.replace("{}", question), answer, harmful)
        for (question, answer), harmful in pairs
        for wording in wordings
    ]


def _load(path: Path) -> Any:
    try:
        return yaml_text.read(path)
    except (OSError, ValueError) as error:
        raise StepError(f"{path} cannot be read: {error}; expected YAML in the form of the shipped file") from error


def _mapping(path: Path, names: Sequence[str]) -> Mapping[str, Any]:
    found = _load(path)
    if not isinstance(found, Mapping) or set(found) != set(names):
        raise StepError(f"{path}: {short(found)}; expected a mapping with {', '.join(names)}")
    return found


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise StepError(f"{where} is {short(value)}; expected a list that is not empty")
    return value


def _rows(value: Any, where: str, fields: Sequence[str]) -> list[tuple[str, Mapping[str, Any]]]:
    rows = []
    for number, row in enumerate(_list(value, where), 1):
        if not isinstance(row, Mapping) or set(row) != set(fields):
            raise StepError(f"{where}, entry {number} is {short(row)}; expected a mapping with {', '.join(fields)}")
        rows.append((f"{where}, entry {number}", row))
    return rows


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise StepError(f"{where} is {short(value)}; expected text; put it in quotes if it looks like a number")
    return value


def _texts(value: Any, where: str, count: int = 0) -> tuple[str, ...]:
    texts = tuple(_text(one, where) for one in _list(value, where))
    if count and len(texts) != count:
        raise StepError(f"{where} has {len(texts)} entries; expected {count}")
    return texts
