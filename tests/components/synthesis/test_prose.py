"""Checks of a model's prose: what is not a chapter is turned away, an honest chapter is not."""

import pytest

from components.params import SynthesisParams
from components.synthesis.curriculum import load_curriculum
from components.synthesis.generators import all_tasks
from components.synthesis.plan import plan_chapters
from components.synthesis.prose import clean, code_faults, code_programs, format_fault, prose_fault, wrong_sum
from components.synthesis.questions import Collector
from components.synthesis.teachers.procedural import ProceduralTeacher

BODY = (
    "A bridge carries people from one side of a river to the other. It must hold its own weight and the weight of "
    "all who cross, and so its parts push and pull on each other. In an arch each stone leans on the next one, and "
    "the last one leans on the ground. That is why an old bridge of stone can stand for a thousand years with no "
    "mortar at all. A bridge of rope works the other way round: every part of it is pulled, and nothing leans.\n\n"
    "When you want to know which kind a bridge is, look at what would happen if you cut it in the middle. The arch "
    "falls in, because nothing leans any more, and the rope hangs down on both sides of the river."
)


def chapter(body: str = BODY) -> str:
    return f"# Bridges\n\n{body}\n"


def test_an_honest_chapter_passes():
    assert prose_fault(chapter(), "Write a tutorial about bridges.") is None


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (chapter("I'm sorry, but I cannot help with that. " + BODY), "refusal"),
        (chapter("As an AI language model I have no bridge. " + BODY), "refusal"),
        ("Sure! Here is the chapter.\n" + chapter(), "prompt_leak"),
        (chapter(BODY + "\n\nLet me know if you want more."), "prompt_leak"),
        (
            chapter(BODY + " The text is unlike others on the topic and does not mention the extract at all."),
            "prompt_leak",
        ),
        (chapter("A bridge."), "too_short"),
        (chapter(BODY * 40), "too_long"),
        (chapter("Eine Brücke führt über einen Fluss, und wer sie baut, muss viel rechnen können. " * 12), "language"),
        (chapter(BODY.translate(str.maketrans("aeiou", "\u0430\u0435\u0456\u043e\u0443"))), "language"),
        (chapter(BODY + " It is 12 metres long and 3 metres wide, and 12 x 3 = 38."), "wrong_sum"),
    ],
)
def test_what_is_not_a_chapter_is_turned_away(text, rule):
    prompt = "Take care that the text is unlike others on the topic and does not mention the extract at all."
    found = prose_fault(text, prompt)
    assert found is not None
    assert found.rule == rule


def test_copying_the_seed_is_not_a_leak_of_the_prompt():
    excerpt = BODY.partition("\n")[0]
    found = prose_fault(chapter(), f"Write about this: {excerpt}", excerpt)
    assert found.rule == "copied_seed"


@pytest.mark.parametrize(
    "text",
    [
        "3 + 4 = 7 and 3+4+5 = 12 and 3 + 4 + 5 = 12",
        "10 / 4 = 2.5, 10 / 3 = 3.33, 7 / 2 = 3",
        "2 \u00d7 3 = 6, 5 - 9 = -4, 2 * 3 = 6 * 1, x = 3 * 4 = 12",
        "1,200 + 300 = 1,500 and 50% + 1 = 2",
    ],
)
def test_right_and_unclear_sums_pass(text):
    assert wrong_sum(text) == ""


@pytest.mark.parametrize("text", ["3 + 4 = 8", "so 12 \u00d7 12 = 140.", "10 / 4 = 4", "9 - 3 = 5", "4 / 0 = 0"])
def test_wrong_sums_are_found(text):
    assert wrong_sum(text)


def test_formats_of_our_own_chapters_are_recognised(lexicon):
    """What the procedural teacher writes has each format, but for its own names of problem and solution."""
    curriculum, tasks = load_curriculum(), all_tasks()
    teacher = ProceduralTeacher(curriculum, 1)
    jobs = [job for job in plan_chapters(curriculum, 90) if job.format in ("faq", "table", "dialogue")]
    needs = teacher.needs(jobs)
    pool = Collector(tasks, lexicon, 1, SynthesisParams(exam_examples=10)).collect(1500)
    given = {task: [pool.training[task].pop() for _ in range(count)] for task, count in needs.items()}
    for job, document in zip(jobs, teacher.write(jobs, given, set()), strict=True):
        assert format_fault(job.format, document.text) == "", document.text


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("tutorial", "no heading\n\na\n\nb\n\nc"),
        ("tutorial", "# T\n\none paragraph"),
        ("faq", "# T\n\nQ: a\nA: b\n\nQ: c\n"),
        ("table", "# T\n\n| a | b |\n| - | - |\n| 1 | 2 |"),
        ("worked", "# T\n\nProblem: a\nSolution: b\nAnswer: c\n"),
        ("dialogue", "# T\n\n" + "Mia: I am alone.\n\n" * 9),
    ],
)
def test_another_format_is_asked_for_again(form, text):
    assert format_fault(form, text)


def test_thoughts_and_fences_are_not_part_of_a_text():
    assert clean("<think>hm\n\nhm</think>\n\n# T\r\n\r\nx") == "# T\n\nx\n"
    assert clean("```markdown\n# T\n\nx\n```\n") == "# T\n\nx\n"


SESSION = """# T

```python
>>> x = 3
>>> x + 1
4
>>> for i in range(2):
...     x += i
>>> print(x, 'a')
4 a
>>> int('q')
Traceback (most recent call last):
ValueError: invalid literal
```

```python
def twice(n):
    return 2 * n
assert twice(2) == 4
```

```text
not Python at all
```
"""


def test_sessions_and_programs_are_run(programs):
    found, wrong = code_programs(SESSION)
    assert (len(found), wrong) == (4, "")
    assert code_faults([SESSION], programs) == [("", 4)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("\n4\n", "\n5\n"), "'x + 1' gives 4, the text says 5"),
        (("4 a", "3 a"), "gives '4 a', the text says '3 a'"),
        (("ValueError", "KeyError"), "the text says it raises"),
        (("== 4", "== 5"), "fails: AssertionError"),
        (("    return 2 * n", "    import os"), "not executable here: Import"),
        ((">>> x = 3", ">>>x = 3"), "a session that cannot be read"),
        ((">>> x + 1", f">>> print(x{' + 1' * 400})"), "not executable here: more than 100 levels"),
    ],
)
def test_code_that_does_not_do_what_the_text_says_is_found(change, words, programs):
    ((found, run),) = code_faults([SESSION.replace(*change)], programs)
    assert words in found
    assert run == 0 or "not executable" in found
