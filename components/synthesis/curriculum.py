"""The curriculum: topics with stable ids, prerequisites, and the sentences and tasks that teach them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from string import Formatter
from typing import Any

from components.errors import StepError
from components.params import read_yaml
from components.synthesis.generators import CATEGORIES, Lexicon, all_tasks

CURRICULUM = Path(__file__).with_name("curriculum.yaml")
LEXICON = Path(__file__).with_name("lexicon.yaml")
FORMATS = ("tutorial", "faq", "table", "worked", "dialogue", "exercises")  # formats of chapters and prompts


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: `points` are its prose, `tasks` the generators of its worked examples (empty = only prose)."""

    id: str
    title: str
    subject: str
    subject_title: str
    category: str
    tasks: tuple[str, ...]
    points: tuple[str, ...]
    prerequisites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Audience:
    """The reader of a chapter: `reader` in words, `openings` as sentences with {title} or {Title}."""

    reader: str
    openings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Curriculum:
    """Topics in the order of the file, with the audiences and formats of the chapters."""

    version: int
    topics: tuple[Topic, ...]
    audiences: dict[str, Audience]
    formats: tuple[str, ...]

    def topic(self, id: str) -> Topic:
        return next(topic for topic in self.topics if topic.id == id)


def load_lexicon(path: Path = LEXICON) -> Lexicon:
    """The word lists and fact tables of the generators."""
    return read_yaml(path)


def load_curriculum(path: Path = CURRICULUM, added: Path | None = None) -> Curriculum:
    """Read and check a curriculum.

    Args:
        added: a second file whose subjects, topics and audiences are added. A subject in both gets the topics of both;
            if the second names formats, only those are used.

    Raises:
        StepError: a field is missing or unknown, an id occurs twice, a prerequisite, task, format or category is
            unknown, or prerequisites form a cycle; the message names the topic.
    """
    curriculum = _read(path)
    if added is not None:
        curriculum = _joined(curriculum, _read(added, whole=False))
    _check(curriculum, added or path)
    return curriculum


def _read(path: Path, whole: bool = True) -> Curriculum:
    values = read_yaml(path)
    allowed = {"version", "audiences", "formats", "subjects"}
    if unknown := sorted(set(values) - allowed):
        raise StepError(f"{path}: unknown field {unknown[0]!r}; a curriculum has {', '.join(sorted(allowed))}")
    try:
        subjects = values["subjects"] if whole else values.get("subjects") or []
        topics = tuple(_topic(subject, topic) for subject in subjects for topic in subject["topics"])
        named = values["audiences"] if whole else values.get("audiences") or {}
        audiences = {name: Audience(value["reader"], tuple(value["openings"])) for name, value in named.items()}
        formats = tuple(values["formats"] if whole else values.get("formats") or ())
        return Curriculum(int(values.get("version", 0)), topics, audiences, formats)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StepError(
            f"{path}: field {error} is missing or has the wrong form; compare with {CURRICULUM.name}"
        ) from error


def _topic(subject: dict[str, Any], topic: dict[str, Any]) -> Topic:
    return Topic(
        id=str(topic["id"]),
        title=topic["title"],
        subject=str(subject["id"]),
        subject_title=subject["title"],
        category=subject["category"],
        tasks=tuple(topic.get("tasks") or ()),
        points=tuple(topic["points"]),
        prerequisites=tuple(topic.get("prerequisites") or ()),
    )


def _joined(first: Curriculum, second: Curriculum) -> Curriculum:
    return Curriculum(
        first.version,
        (*first.topics, *second.topics),
        first.audiences | second.audiences,
        second.formats or first.formats,
    )


def _check(curriculum: Curriculum, path: Path) -> None:
    ids = Counter(topic.id for topic in curriculum.topics)
    if not ids:
        raise StepError(f"{path} has no topic")
    if not curriculum.audiences or not all(audience.openings for audience in curriculum.audiences.values()):
        raise StepError(f"{path}: expected at least one audience, each with an opening")
    for opening in (text for audience in curriculum.audiences.values() for text in audience.openings):
        _check_opening(opening, path)
    _known("format", curriculum.formats, FORMATS, str(path))
    if not curriculum.formats:
        raise StepError(f"{path} has no formats; expected some of {', '.join(FORMATS)}")
    known_tasks = all_tasks()
    for topic in curriculum.topics:
        where = f"{path}: topic {topic.id!r}"
        if ids[topic.id] > 1:
            raise StepError(f"{where} occurs twice; ids must be unique because provenance refers to them")
        _known("category", [topic.category], CATEGORIES, where)
        _known("task", topic.tasks, known_tasks, where)
        for needed in topic.prerequisites:
            if needed not in ids:
                raise StepError(f"{where} needs {needed!r}, which is not a topic; add that topic or correct the id")
        if not topic.points:
            raise StepError(f"{where} needs at least one point")
    try:
        TopologicalSorter({topic.id: topic.prerequisites for topic in curriculum.topics}).prepare()
    except CycleError as error:
        raise StepError(
            f"{path}: prerequisites form a cycle: {' -> '.join(error.args[1])}; remove one of these arrows"
        ) from error


def _check_opening(text: str, path: Path) -> None:
    """Refuse format strings that read attributes of values or pad to any width, as Python's own formatting allows."""
    try:
        fields = [(name, spec, conversion) for _, name, spec, conversion in Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise StepError(
            f"{path}: the opening {text!r} cannot be filled in ({error}); write {{title}} or {{Title}}"
        ) from error
    if any(field not in (("title", "", None), ("Title", "", None)) for field in fields):
        raise StepError(f"{path}: the opening {text!r} has a field that is neither {{title}} nor {{Title}}; correct it")


def _known(what: str, names: Iterable[str], known: Sequence[str] | dict[str, Any], where: str) -> None:
    for name in names:
        if name not in known:
            raise StepError(f"{where} names {what} {name!r}; known are {', '.join(known)}")
