"""The curriculum: topics with stable ids, what each builds on, and the sentences and tasks that teach it."""

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.params import read_yaml
from components.synthesis.generators import CATEGORIES, Lexicon, all_tasks

CURRICULUM = Path(__file__).with_name("curriculum.yaml")
LEXICON = Path(__file__).with_name("lexicon.yaml")


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: `points` are its prose, `tasks` the generators of its worked examples."""

    id: str
    title: str
    subject: str
    category: str
    tasks: tuple[str, ...]
    points: tuple[str, ...]
    prerequisites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Curriculum:
    """Topics in the order of the file, with the audiences and formats that chapters are written for."""

    version: int
    topics: tuple[Topic, ...]
    audiences: dict[str, tuple[str, ...]]
    formats: tuple[str, ...]


def load_lexicon(path: Path = LEXICON) -> Lexicon:
    """The word lists and fact tables of the generators."""
    return read_yaml(path)


def load_curriculum(path: Path = CURRICULUM) -> Curriculum:
    """Read and check a curriculum.

    Raises:
        StepError: a field is missing, an id stands twice, a prerequisite or task is unknown, or prerequisites form a
            cycle; the message names the topic.
    """
    values = read_yaml(path)
    try:
        topics = tuple(_topic(subject, topic) for subject in values["subjects"] for topic in subject["topics"])
        audiences = {name: tuple(openings) for name, openings in values["audiences"].items()}
        curriculum = Curriculum(values["version"], topics, audiences, tuple(values["formats"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise StepError(
            f"{path}: field {error} is missing or has the wrong form; compare with {CURRICULUM.name}"
        ) from error
    _check(curriculum, path)
    return curriculum


def _topic(subject: dict[str, Any], topic: dict[str, Any]) -> Topic:
    return Topic(
        id=topic["id"],
        title=topic["title"],
        subject=subject["id"],
        category=subject["category"],
        tasks=tuple(topic["tasks"]),
        points=tuple(topic["points"]),
        prerequisites=tuple(topic.get("prerequisites", ())),
    )


def _check(curriculum: Curriculum, path: Path) -> None:
    ids = [topic.id for topic in curriculum.topics]
    if not ids:
        raise StepError(f"{path} has no topic")
    known_tasks = all_tasks()
    for topic in curriculum.topics:
        if ids.count(topic.id) > 1:
            raise StepError(
                f"{path}: topic id {topic.id!r} stands twice; ids must be unique, provenance refers to them"
            )
        if topic.category not in CATEGORIES:
            raise StepError(f"{path}: category {topic.category!r} is none of {', '.join(CATEGORIES)}")
        for needed in topic.prerequisites:
            if needed not in ids:
                raise StepError(f"{path}: topic {topic.id!r} needs {needed!r}, which is no topic")
        for task in topic.tasks:
            if task not in known_tasks:
                raise StepError(f"{path}: topic {topic.id!r} names task {task!r}; known are {', '.join(known_tasks)}")
        if not topic.tasks or not topic.points:
            raise StepError(f"{path}: topic {topic.id!r} needs at least one task and one point")
    try:
        TopologicalSorter({topic.id: topic.prerequisites for topic in curriculum.topics}).prepare()
    except CycleError as error:
        raise StepError(f"{path}: prerequisites form a cycle: {' -> '.join(error.args[1])}") from error
