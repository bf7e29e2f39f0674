"""Rewrites of curated documents: which passages, and what a rewrite may not do."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.documents import REWRITE, Document, DocumentWriter
from components.params import SynthesisParams
from components.synthesis.prose import format_fault
from components.synthesis.rephrase import (
    LEAST_CHARS,
    MOST_CHARS,
    plan_rewrites,
    rewrite_fault,
    split,
)

FORMATS = ("faq", "table", "tutorial", "worked")
PASSAGE = """The Elbe rises in the Giant Mountains of the Czech Republic and flows for 1,094 kilometres to the North Sea. At
Hamburg, about 110 km from its mouth, it is wide enough for ships of 400 metres. The port was founded on 7 May 1189 by
Adolf III. In 2019 it handled 9.3 million containers, fewer than Rotterdam with 14.8 million. Each terminal has 25 cranes,
and a crane moves 30 containers per hour. Dredgers keep the channel deep. NASA has no part in it, and nobody says it has.
A pilot comes aboard near Cuxhaven, and the harbour police speak Low German to one another when they think that nobody of
the crew can understand them."""
TUTORIAL = """# From the mountains to the sea

A river that is to carry ships must first be long enough to gather water. The Elbe gathers it over 1094 kilometres, from
the Giant Mountains in the Czech Republic down to the North Sea.

Why does this matter to Hamburg? Although the city lies some 110 km inland, the water there is wide enough for ships that
measure 400 metres. However, somebody has to keep the channel deep, and dredgers do that.

So trade grew at this place. Founded in 1189, the port handled 9.3 million containers in 2019. Every terminal has 25
cranes, each of which moves 30 containers per hour; together: 25 * 30 = 750 containers in that time."""
WORKED = """# Cranes at work

Problem: A terminal has 25 cranes. Each of them moves 30 containers per hour. How many is that in all?

Solution: Step 1: multiply both. 25 * 30 = 750.

Answer: 750

Problem: How far is it from Hamburg to the mouth of the Elbe, and how long may a ship be that comes there?

Solution: The city lies 110 km from the mouth, and ships may be as long as 400 metres.

Answer: 110 km and 400 metres"""
TABLE = """# The Elbe and its port

The table shows what belongs to the river, and what belongs to the port that lies on it.

| What | Size and Unit |
| --- | --- |
| Length of the river | 1,094 km |
| Distance to the mouth | 110 km |
| Longest ship | 400 m |
| Containers in 2019 | 9.3 million |

The distance to the mouth is a small part of the whole length, and yet ships of 400 metres come as far as Hamburg."""
FAQ = """# Questions about the Elbe

Q: Where does the river rise?
A: It rises in the Giant Mountains of the Czech Republic. From there it flows 1,094 kilometres to the sea.

Q: Who founded the port of Hamburg?
A: Adolf III founded it on 7 May 1189. In 2019, its cranes handled 9.3 million containers.

Q: Where does the pilot come aboard?
A: Near Cuxhaven. The police, who know each other's Low German, are already there."""
HONEST = {"tutorial": TUTORIAL, "worked": WORKED, "table": TABLE, "faq": FAQ}
GERMAN = """Die Elbe entspringt im Riesengebirge und fließt 1.094 Kilometer weit bis zur Nordsee. Bei Hamburg, etwa 110
Kilometer vor ihrer Mündung, ist sie breit genug für Schiffe von 400 Metern. Der Hafen wurde am 7. Mai 1189 von Adolf III.
gegründet. Im Jahr 2019 wurden dort 9,3 Millionen Container umgeschlagen, weniger als in Rotterdam mit 14,8 Millionen."""
GERMAN_FAQ = """# Fragen zum Strom

Q: Wie lang ist der Fluss?
A: Seine Länge beträgt 1094 Kilometer, von der Quelle im Gebirge bis zum Meer.

Q: Wann entstand der Hafen?
A: Seine Gründung fällt auf den 7. Mai 1189.

Q: Wie viele Container waren es im Jahr 2019?
A: Es waren 9,3 Millionen, also weniger als die 14,8 Millionen der Niederländer."""
INSTRUCTIONS = "Each question is one line that begins with a sign, and its answer follows on the next line of the text."


def fault(text: str, passage: str = PASSAGE) -> str:
    found = rewrite_fault(text, passage, INSTRUCTIONS, {"police", "founded"})
    return found.rule if found else ""


@pytest.mark.parametrize("form", HONEST)
def test_an_honest_rewrite_stays(form: str) -> None:
    assert not format_fault(form, HONEST[form])
    assert rewrite_fault(HONEST[form], PASSAGE, INSTRUCTIONS, set()) is None


def test_a_rewrite_in_the_passages_language_stays() -> None:
    assert rewrite_fault(GERMAN_FAQ, GERMAN, INSTRUCTIONS, set()) is None
    assert fault(GERMAN_FAQ) == fault(FAQ, GERMAN) == "language"


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("1094", "1095", "invented_number"),
        ("1094", "1.094", ""),
        ("1094", "10.94", "invented_number"),
        ("9.3 million", "9.4 million", "invented_number"),
        ("9.3 million", "93 million", "invented_number"),
        ("9.3 million", "9.3m", ""),
        ("9.3 million", "9.3 billion", "invented_number"),
        ("in the Czech Republic", "in the land of the Czechs", ""),
        ("However, somebody", "However, it doesn't do so by itself: somebody", ""),
        ("in 1189", "in 1198", "invented_number"),
        ("25 * 30 = 750", "25 * 30 = 760", "wrong_sum"),
        ("25 * 30 = 750", "25 * 31 = 775", "invented_number"),
        ("together: 25 * 30 = 750", "together 750", "invented_number"),
        ("A river that", "Of the sixteen rivers, one that", "invented_number"),
        ("A river that", "Of the two hundred rivers, one that", "invented_number"),
        ("A river that", "1. A river that", ""),
        ("to Hamburg?", "to Bremen?", "invented_name"),
        ("to Hamburg?", "to Hamburg's people?", ""),
        ("in the Czech Republic", "in the Czech Republic, as UNESCO says,", "invented_name"),
        ("So trade grew", "Einstein knew that trade grew", "invented_name"),
        ("So trade grew", "Merchants knew, and Marco Polo said, that trade grew", "invented_name"),
        ("So trade grew", "Consequently trade grew", ""),
        ("in that time.", "in that time. Let me know if you need more.", "prompt_leak"),
        ("A river", "According to the original text, a river", "prompt_leak"),
        ("A river", "I cannot help with that, but a river", "refusal"),
        (
            "A river",
            "Each question is one line that begins with a sign, and its answer follows. A river",
            "prompt_leak",
        ),
        ("in that time.", "in that time.<|im_end|>", "markup"),
        ("in that time.", "in that time.</s>", "markup"),
        ("in that time.", "in that time.\n\n```python\nprint('hello')\n```", "code"),
    ],
)
def test_what_a_rewrite_may_not_do(old: str, new: str, rule: str) -> None:
    assert old in TUTORIAL
    assert fault(TUTORIAL.replace(old, new)) == rule


def test_a_copy_is_not_a_rewrite() -> None:
    assert fault(f"# The Elbe\n\n{PASSAGE}") == "copied_seed"


@pytest.mark.parametrize(("size", "rule"), [(0.1, "too_short"), (4, "too_long")])
def test_a_rewrite_has_about_the_length_of_its_passage(size: float, rule: str) -> None:
    assert fault((TUTORIAL * 9)[: int(size * len(PASSAGE))]) == rule


@given(st.lists(st.text("ab .\n", min_size=1, max_size=3_000), max_size=12))
def test_passages_are_whole_paragraphs_within_bounds(parts: list[str]) -> None:
    text = "\n\n".join(parts)
    passages = split(text)
    assert all(LEAST_CHARS <= len(passage) <= MOST_CHARS for passage in passages)
    lines = {line.strip() for line in re.split(r"\n|(?<=\. )", text)}
    assert all(line.strip() in lines for passage in passages for line in re.split(r"\n|(?<=\. )", passage))


def test_one_long_line_is_cut_into_passages() -> None:
    assert [len(passage) for passage in split("x" * 9_500)] == [4_000, 4_000, 1_500]
    assert split("short") == []


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rephrase") / "curated"
    with DocumentWriter(folder) as writer:
        for number in range(6):
            text = f"Page {number}. " + "\n\n".join(f"{PASSAGE} Part {part}." for part in range(9))
            writer.write(Document(text, "prose", f"page/{number}", "MIT", "test"))
        writer.write(Document(PASSAGE * 3, "code", "page/code", "MIT", "test"))
        writer.write(Document("Too short.", "prose", "page/short", "MIT", "test"))
    return folder


def test_passages_are_planned_by_hash_in_each_format_in_turn(seeds: Path) -> None:
    jobs, passages = plan_rewrites(seeds, 8, FORMATS, 1)
    assert [job.format for job in jobs] == [REWRITE + form for form in FORMATS] * 2
    assert len({(passage.document, passage.number) for passage in passages.values()}) == len(jobs) == 8
    assert all(passages[job.id].document == job.seed_document for job in jobs)
    assert {passage.kind for passage in passages.values()} == {"prose"}
    assert plan_rewrites(seeds, 8, FORMATS, 1)[0] == jobs
    assert plan_rewrites(seeds, 8, FORMATS, 2)[0] != jobs


def test_few_passages_are_rewritten_in_several_formats_and_never_twice_in_one(seeds: Path) -> None:
    jobs, passages = plan_rewrites(seeds, 10_000, FORMATS, 1)
    of = {(passages[job.id].document, passages[job.id].number, job.format) for job in jobs}
    assert len(jobs) == len(of) == len({job.id for job in jobs}) == 4 * len({passage[:2] for passage in of})


def test_rewrites_need_a_model() -> None:
    with pytest.raises(ValidationError, match=r"rephrase 5 needs a model as teacher.*set teacher.kind"):
        SynthesisParams(rephrase=5)
    with pytest.raises(ValidationError, match="rephrase_formats"):
        SynthesisParams(rephrase_formats=["faq", "faq"])
