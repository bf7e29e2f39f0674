"""Chapters about real functions: executed calls are right, read source is right, and nothing of a corpus runs."""

import textwrap

from components.documents import Document, DocumentWriter
from components.synthesis.library import APIS, LibraryChapters, find_seeds, parse_function

CLAMP = '''def clamp(value, low=0, *, high=9):
    """Return value, or the nearer of low and high if it lies outside them."""
    if low > high:
        raise ValueError("low is over high")
    return max(low, min(value, high))
'''


def test_seeds_are_chosen_by_id_whatever_their_order(seeds):
    apis, others = find_seeds(seeds, 3)
    assert [seed.name for seed in apis] == ["calendar.isleap", "textwrap.shorten"]
    assert [seed.id for seed in others] == sorted(seed.id for seed in others)
    assert len(others) == 3


def test_executed_examples_show_what_the_function_gives(seeds):
    writer = LibraryChapters(seed=1)
    documents = list(writer.write(writer.plan(seeds, 8)))
    chapter = next(d for d in documents if "Using textwrap.shorten" in d.text)
    call, _, value = chapter.text.partition(">>> textwrap.shorten")[2].partition("\n")
    assert value.split("\n")[0] == repr(eval(f"shorten{call}", {"shorten": textwrap.shorten}))  # noqa: S307
    assert chapter.license == "PSF-2.0"
    assert chapter.metadata["verification"] == {"method": "executed twice", "passed": 5}
    assert writer.drawn == writer.passed + len(writer.drops)


def test_functions_of_one_name_are_jobs_of_their_own(tmp_path):
    with DocumentWriter(tmp_path / "seeds") as writer:
        for number in range(3):
            text = CLAMP.replace("high=9", f"high={number}").replace("nearer", "nearest bound, that is the nearer one")
            writer.write(Document(text=text, kind="code", source="own.clamp", license="MIT", created_by="test"))
    chapters = LibraryChapters(seed=1)
    jobs = chapters.plan(tmp_path / "seeds", 10)
    assert len({job.id for job in jobs}) == len(jobs) == 3
    assert [d.metadata["seed_document"] for d in chapters.write(jobs)] == [job.seed_document for job in jobs]


def test_a_function_is_read_by_tree_and_by_compiled_code():
    function = parse_function(CLAMP)
    assert function.parameters() == ["value", "low", "high"]
    assert function.defaults() == {"low": "0", "high": "9"}
    assert function.exceptions() == ["ValueError"]
    questions = list(function.questions("clamp"))
    assert ("Which exception does clamp raise?", "ValueError", "ValueError") in questions
    assert all(answer == check for _, answer, check in questions)


def test_what_is_not_a_documented_function_is_passed_over():
    assert parse_function("def broken(:") is None
    assert parse_function("def f():\n    return 1\n") is None
    assert parse_function("x = 1\n") is None


def test_nothing_of_the_corpus_is_executed(tmp_path):
    mark = tmp_path / "executed"
    text = (
        f'@open({str(mark)!r}, "w").write\ndef trap(value=open({str(mark)!r}, "w")):\n'
        '    """Documentation that is long enough for a chapter about this function, or so it seems to a reader."""\n'
        "    return value\n"
    )
    with DocumentWriter(tmp_path / "seeds") as writer:
        for source, code in (("evil.trap", text), ("python:textwrap.shorten", text.replace("trap", "shorten"))):
            writer.write(Document(text=code, kind="code", source=source, license="MIT", created_by="test"))
    writer = LibraryChapters(seed=1)
    assert list(writer.write(writer.plan(tmp_path / "seeds", 10)))
    assert not mark.exists()


def test_a_wrong_verdict_goes_to_the_ledger(seeds, monkeypatch):
    monkeypatch.setitem(APIS, "calendar.isleap", lambda rng: "'no year'")
    writer = LibraryChapters(seed=1)
    documents = list(writer.write(writer.plan(seeds, 8)))
    assert not any("calendar.isleap" in document.text for document in documents)
    assert any(drop.rule == "verification" and "isleap" in drop.detail for drop in writer.drops)
    given_up = [drop for drop in writer.drops if drop.rule == "no_question_left"]
    assert len(given_up) == 2
    assert writer.drawn == writer.passed + len(writer.drops) - len(given_up)
