"""Every generator: well-formed, reproducible, confirmed by its solver; the solver refuses a wrong answer."""

import re
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.synthesis import generators
from components.synthesis.drafts import Draft, form_fault, is_held_out, normalise, question_hash
from components.synthesis.execution import evaluate
from components.synthesis.generators import CATEGORIES, all_tasks
from components.synthesis.questions import confirms

TASKS = all_tasks()
SAMPLE = 300


def solved(task, drafts, lexicon):
    answers = [task.solve(draft.question, lexicon) for draft in drafts]
    return [value for _, value in evaluate([(e, ()) for e in answers])] if task.executed else answers


@pytest.mark.parametrize("name", TASKS)
def test_answers_are_confirmed_by_the_independent_route(name, lexicon):
    task = TASKS[name]
    drafts = list(islice(task.generate(Random(7), lexicon), SAMPLE))
    wrong = [d for d, value in zip(drafts, solved(task, drafts, lexicon), strict=True) if not confirms(value, d)]
    assert len(drafts) >= 150
    assert len(wrong) <= SAMPLE // 100  # an invented verb may happen to be a real irregular one
    assert sum(bool(form_fault(draft)) for draft in drafts) <= SAMPLE // 100


@pytest.mark.parametrize("name", TASKS)
def test_the_solver_never_confirms_a_distractor(name, lexicon):
    task = TASKS[name]
    drafts = list(islice(task.generate(Random(8), lexicon), 60))
    pairs = list(zip(drafts, solved(task, drafts, lexicon), strict=True))
    assert not [draft for draft, value in pairs if {value, value.strip("'")} & {*draft.distractors} - {draft.answer}]


@pytest.mark.parametrize("name", TASKS)
def test_equal_seeds_give_equal_drafts(name, lexicon):
    first, second = (list(islice(TASKS[name].generate(Random(3), lexicon), 40)) for _ in range(2))
    assert first == second
    assert first != list(islice(TASKS[name].generate(Random(4), lexicon), 40))


def test_there_are_three_hundred_templates_without_counting_the_wordings_of_code(lexicon):
    counted, plain = 0, 0
    for task in TASKS.values():
        templates = {draft.template for draft in islice(task.generate(Random(5), lexicon), SAMPLE)}
        assert "" not in templates, task.id
        counted += len(templates)
        plain += len({template.rpartition("[")[2] for template in templates}) if task.executed else len(templates)
    assert counted >= 800
    assert plain >= 500


@pytest.mark.parametrize("name", TASKS)
def test_questions_read_well(name, lexicon):
    """No slot is left open, no article is wrong, no blank is doubled, every question has its reason."""
    for draft in islice(TASKS[name].generate(Random(6), lexicon), 200):
        assert draft.reason
        assert "{" not in draft.question or TASKS[name].executed, draft.question
        assert "  " not in draft.question or TASKS[name].executed, draft.question
        if name not in ("letter_count", "article", "backward"):  # these ask about the letter a
            assert not re.search(r"\ba (?!one|use|uni|eu)[aeiou]\w+\b", draft.question), draft.question


def test_every_pair_of_functions_has_its_entry():
    """A family that is written and forgotten in families.yaml would never be asked."""
    folder = Path(generators.__file__).parent
    solvers = {name for path in folder.glob("*.py") for name in re.findall(r"^def solve_(\w+)", path.read_text(), re.M)}
    assert solvers == {name for name, task in TASKS.items() if not task.executed}


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.forms])
def test_every_wording_is_asked(name, lexicon):
    templates = {
        draft.template.partition(" [")[0] for draft in islice(TASKS[name].generate(Random(2), lexicon), SAMPLE)
    }
    stories = {name for name in templates if name.startswith("story ")}  # a number stands for the wording
    assert stories or {form.text for form in TASKS[name].forms} == templates


def test_every_category_has_a_task():
    assert {task.category for task in TASKS.values()} == set(CATEGORIES)


@pytest.mark.parametrize("name", ["parity", "fits", "knowledge", "syllogism", "false_belief"])
def test_answers_are_balanced(name, lexicon):
    counts = Counter(draft.answer for draft in islice(TASKS[name].generate(Random(1), lexicon), 600))
    (_, most), *_ = counts.most_common(1)
    assert most < 0.7 * 600


def test_enumerated_spaces_hold_no_question_twice(lexicon):
    for name in ("addition", "parity", "weekday", "object_use", "planets"):
        questions = [draft.question for draft in TASKS[name].generate(Random(1), lexicon)]
        assert len(set(questions)) == len(questions), name


def test_reworded_instances_stay_on_one_side_of_the_split(lexicon):
    sides: dict[frozenset, set[bool]] = {}
    for draft in TASKS["addition"].generate(Random(1), lexicon):
        instance = frozenset(Counter(re.findall(r"\d+", draft.question)).items())
        sides.setdefault(instance, set()).add(is_held_out("addition", draft, 0.1))
    assert all(len(side) == 1 for side in sides.values())
    assert 0.05 < sum(side == {True} for side in sides.values()) / len(sides) < 0.15


@given(st.floats(0.01, 0.5), st.text(min_size=1))
def test_a_larger_fraction_only_adds_to_the_exam(fraction, question):
    draft = Draft(question, "a", ("b",), "")
    assert is_held_out("t", draft, fraction) <= is_held_out("t", draft, min(1.0, 2 * fraction))


@given(st.text())
def test_hash_ignores_spacing_only(question):
    assert question_hash(f"  {question}\n") == question_hash(question)
    assert normalise(normalise(question)) == normalise(question)


@pytest.mark.parametrize(
    ("draft", "fault"),
    [
        (Draft("q", "a", (), ""), "no distractor"),
        (Draft("q", "a", ("a",), ""), "two equal choices"),
        (Draft("q", "a", ("b", "b"), ""), "two equal choices"),
        (Draft("q", "a ", ("b",), ""), "an empty choice or one with spaces around it"),
        (Draft("q\n\nr", "a", ("b",), ""), "the question is empty or holds a blank line"),
        (Draft("q", "a", ("b",), ""), ""),
    ],
)
def test_form_faults(draft, fault):
    assert form_fault(draft) == fault


def test_beliefs_follow_what_was_seen(lexicon):
    solve = TASKS["false_belief"].solve
    story = "Ana puts the key in the box. Ana {}. Ben moves the key to the jar. Where will {} look for the key?"
    assert solve(story.format("leaves", "Ana"), lexicon) == "box"
    assert solve(story.format("leaves", "Ben"), lexicon) == "jar"
    assert solve(story.format("stays and watches", "Ana"), lexicon) == "jar"
