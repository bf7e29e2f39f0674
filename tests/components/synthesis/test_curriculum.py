"""The curriculum's own laws, and what a broken one is told."""

import copy

import pytest
from ruamel.yaml import YAML

from components.errors import StepError
from components.synthesis.chapters import plan, questions_needed
from components.synthesis.curriculum import CURRICULUM, load_curriculum
from components.synthesis.generators import CATEGORIES, all_tasks


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
        (lambda c: first_topic(c).update(prerequisites=["astrology"]), "needs 'astrology', which is no topic"),
        (lambda c: first_topic(c).update(prerequisites=["word-problems"]), "cycle: .*adding"),
        (lambda c: first_topic(c).update(id="comparing"), "'comparing' stands twice"),
        (lambda c: first_topic(c).update(tasks=["alchemy"]), "names task 'alchemy'; known are addition"),
        (lambda c: c["subjects"][0].update(category="magic"), "category 'magic' is none of math"),
        (lambda c: first_topic(c).pop("points"), "'points' is missing"),
        (lambda c: first_topic(c).update(points=[]), "at least one task and one point"),
        (lambda c: c.update(subjects=[]), "has no topic"),
    ],
)
def test_a_broken_curriculum_is_refused(broken, change, message):
    with pytest.raises(StepError, match=message):
        load_curriculum(broken(change))


def test_the_plan_is_a_table_of_distinct_jobs():
    curriculum = load_curriculum()
    jobs = plan(curriculum, 200)
    assert len(jobs) == len({job.id for job in jobs}) == 200
    assert [job.id for job in plan(curriculum, 50)] == [job.id for job in jobs[:50]]
    assert {job.format for job in jobs} == set(curriculum.formats)
    assert sum(questions_needed(jobs).values()) >= 3 * 200
