"""The curriculum's own laws, and what a broken one is told."""

import copy
from dataclasses import replace

import pytest
from ruamel.yaml import YAML

from components.errors import StepError
from components.synthesis.chapters import questions_needed, write_chapters
from components.synthesis.curriculum import CURRICULUM, load_curriculum
from components.synthesis.generators import CATEGORIES, all_tasks
from components.synthesis.plan import plan_chapters


@pytest.fixture
def broken(tmp_path):
    """Write the real curriculum with a change and return its path."""
    content = YAML(typ="safe").load(CURRICULUM.read_text(encoding="utf-8"))

    def write(change):
        changed = copy.deepcopy(content)
        change(changed)
        path = tmp_path / "curriculum.yaml"
        with open(path, "w", encoding="utf-8") as file:
            YAML(typ="safe").dump(changed, file)
        return path

    return write


def test_every_task_is_taught_and_every_category_covered():
    curriculum = load_curriculum()
    assert {task for topic in curriculum.topics for task in topic.tasks} == set(all_tasks())
    assert {topic.category for topic in curriculum.topics} == set(CATEGORIES)


def first_topic(content):
    return content["subjects"][0]["topics"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: first_topic(c).update(prerequisites=["astrology"]),
            "'adding' needs 'astrology', which is not a topic",
        ),
        (lambda c: first_topic(c).update(prerequisites=["word-problems"]), "cycle: .*adding"),
        (lambda c: first_topic(c).update(id="comparing"), "'comparing' stands twice"),
        (lambda c: first_topic(c).update(tasks=["alchemy"]), "names task 'alchemy'; known are addition"),
        (lambda c: c["subjects"][0].update(category="magic"), "names category 'magic'; known are math"),
        (lambda c: first_topic(c).pop("points"), "'points' is missing"),
        (lambda c: first_topic(c).update(points=[]), "needs at least one point"),
        (lambda c: c.update(subjects=[]), "has no topic"),
        (lambda c: c.update(formats=["sonnet"]), "names format 'sonnet'; known are tutorial"),
        (lambda c: c.update(audiences={}), "there must be an audience"),
        (lambda c: c.update(subject=[]), "unknown field 'subject'"),
        *(
            (lambda c, text=text: next(iter(c["audiences"].values())).update(openings=[text]), words)
            for text, words in (
                ("{title.__class__.__mro__}", r"neither \{title\} nor \{Title\}"),
                ("{title:>9999999999}", "has a field that is neither"),
                ("{title!r}", "has a field that is neither"),
                ("{0}", "has a field that is neither"),
                ("{title", "cannot be filled in"),
            )
        ),
    ],
)
def test_a_broken_curriculum_is_refused(broken, change, message):
    with pytest.raises(StepError, match=message):
        load_curriculum(broken(change))


def test_a_users_file_adds_topics_subjects_and_audiences(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(
        """
audiences:
  cook: {reader: a cook, openings: ["For the kitchen: {title}."]}
subjects:
  - id: daily-life
    title: Daily life
    category: commonsense
    topics:
      - {id: bread, title: baking bread, prerequisites: [clocks], points: [Dough rises., It needs time.]}
  - id: chess
    title: Chess
    category: reasoning
    topics:
      - {id: rooks, title: the rook, prerequisites: [bread], points: [A rook moves along lines.]}
"""
    )
    plain, joined = load_curriculum(), load_curriculum(added=path)
    assert joined.topics[: len(plain.topics)] == plain.topics
    assert [topic.id for topic in joined.topics[len(plain.topics) :]] == ["bread", "rooks"]
    assert set(joined.audiences) - set(plain.audiences) == {"cook"}
    assert joined.formats == plain.formats


def test_a_users_file_may_not_repeat_an_id_or_make_a_cycle(tmp_path):
    path = tmp_path / "own.yaml"
    topic = "{id: %s, title: t, prerequisites: [%s], points: [p]}"
    subject = "subjects:\n  - {id: s, title: S, category: math, topics: [%s]}\n"
    path.write_text(subject % (topic % ("adding", "")))
    with pytest.raises(StepError, match=r"own\.yaml: topic 'adding' stands twice"):
        load_curriculum(added=path)
    path.write_text(subject % ", ".join([topic % ("a", "b"), topic % ("b", "a")]))
    with pytest.raises(StepError, match=r"cycle: a -> b -> a|cycle: b -> a -> b"):
        load_curriculum(added=path)
    path.write_text("subject: []\n")
    with pytest.raises(StepError, match="unknown field 'subject'"):
        load_curriculum(added=path)


def test_a_topic_without_generator_is_prose_alone():
    curriculum = load_curriculum()
    topic = replace(curriculum.topics[0], id="own", tasks=())
    curriculum = replace(curriculum, topics=(topic,))
    jobs = plan_chapters(curriculum, 6)
    assert questions_needed(jobs, curriculum) == {}
    (document, *_) = write_chapters(jobs, {}, curriculum, seed=1)
    assert any(point in document.text for point in topic.points)
