"""Decontamination: planted items are found by the rule that is meant, clean text is not, and nothing to compare with is
said.
"""

import gzip
import json
import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from components.benchmarks.items import Item, read_items
from components.curation.decontamination import BenchmarkIndex, Hit, shown
from components.documents import KINDS
from components.errors import StepError
from components.params.decontamination import DecontaminationParams

DEFAULT = DecontaminationParams()
WORDS = [f"w{i}" for i in range(2_000)]
CODE = '''
def running_totals(numbers: list[int], start: int = 0) -> list[int]:
    """Totals so far.

    >>> running_totals([1, 2])
    [1, 3]
    """
    totals = []
    for number in numbers:
        start += number
        if number > 0:
            totals.append(start)
    return totals
'''
OTHER_NAMES = """
import sys

def f(a, b=0):
    # another note
    out: list = []
    for x in a:
        b += x
        if x > 0:
            out.append(b)
    return out
"""


def words(count: int, seed: int) -> str:
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(count))


def index(*texts: str, params: DecontaminationParams = DEFAULT, code: str = "") -> BenchmarkIndex:
    items = [Item("bench", str(i), text) for i, text in enumerate(texts)]
    if code:
        items.append(Item("programs", "p", code, code, "running_totals"))
    return BenchmarkIndex(items, params)


def hits(found: BenchmarkIndex, texts: list[str], kinds: list[str]) -> list[Hit | None]:
    """The first hit of each document."""
    return [of[0] if of else None for of in found.find(texts, kinds)]


def one(found: BenchmarkIndex, text: str, kind: str = "prose") -> Hit | None:
    return hits(found, [text], [kind])[0]


def test_thirteen_words_in_a_row_are_a_hit_and_twelve_are_not() -> None:
    item = words(40, 1).split()
    found = index(" ".join(item))
    hit = one(found, f"{words(50, 2)} {' '.join(item[5:18])} {words(50, 3)}")
    assert (hit.benchmark, hit.item, hit.rule, hit.value, hit.threshold) == ("bench", "0", "ngram_13", 13, 13)
    assert hit.excerpt == " ".join(item[5:18])
    assert one(found, f"{words(50, 2)} {' '.join(item[5:17])} {words(50, 3)}") is None


@pytest.mark.parametrize(
    "dress",
    [
        lambda text: text.replace(" ", "\xa0"),
        lambda text: text.replace("i", "i\xad").replace("a", "\u200ba"),
        lambda text: text.translate({point: point + 0xFEE0 for point in range(0x21, 0x7F)}),
        lambda text: text.replace("fi", "\ufb01"),
        lambda text: text.replace("er", "e-\nr"),
        lambda text: f"\u202e{text}\u202c",
    ],
    ids=["no-break", "invisible", "wide", "ligature", "hyphenated", "bidi"],
)
@pytest.mark.parametrize("dressed", ["item", "document"])
def test_an_item_is_found_in_any_typography(dress: Callable[[str], str], dressed: str) -> None:
    item = "a student mixes water and fine sand, then pours it all through a filter paper into another beaker"
    text = f"{words(50, 2)} {item} {words(50, 3)}"
    found, text = (index(dress(item)), text) if dressed == "item" else (index(item), dress(text))
    assert one(found, text).rule == "ngram_13"


def test_case_and_punctuation_do_not_count() -> None:
    item = words(20, 1)
    assert one(index(item), "- " + item.upper().replace(" ", ", ") + "!").rule == "ngram_13"


def test_ten_words_are_a_hit_if_more_than_half_of_the_item_stands_around_them() -> None:
    item = words(24, 1).split()
    copied = [*item[:10], "other", *item[11:14], "other", *item[15:18]]  # 16 of 24, no 13 in a row
    hit = one(index(" ".join(item)), f"{words(30, 2)} {' '.join(copied)} {words(30, 3)}")
    assert (hit.rule, hit.threshold) == ("ngram_10_ratio", 0.5)
    assert hit.value == pytest.approx(16 / 24)
    assert one(index(" ".join(item)), f"{words(30, 2)} {' '.join(item[:12])} {words(30, 3)}") is None  # exactly half


def test_the_share_of_an_item_is_looked_for_around_the_run_alone() -> None:
    item = words(24, 1).split()
    far = f"{' '.join(item[:10])} {words(300, 2)} {' '.join(item[11:20])}"
    assert one(index(" ".join(item)), far) is None


def test_a_short_item_is_a_hit_if_the_whole_of_it_stands_there() -> None:
    item = words(8, 1).split()
    hit = one(index(" ".join(item)), f"{words(30, 2)} {' '.join(item)} {words(30, 3)}")
    assert (hit.rule, hit.value, hit.threshold) == ("whole_item", 8, 8)
    assert one(index(" ".join(item)), f"{words(30, 2)} {' '.join(item[:7])} {words(30, 3)}") is None


def test_a_shorter_item_is_not_looked_for_and_counted() -> None:
    found = index(words(7, 1))
    assert one(found, words(7, 1)) is None
    assert found.report(1, [])["benchmarks"]["bench"]["too_short"] == 1


@pytest.mark.parametrize("length", [8, 9, 10, 11, 12, 13, 14, 40, 300])
def test_a_whole_item_is_found_whatever_its_length(length: int) -> None:
    item = words(length, length)
    assert one(index(words(60, 900), item), f"{words(30, 2)}\n\n{item}\n\n{words(30, 3)}").item == "1"


def test_a_program_is_found_under_other_names() -> None:
    hit = one(index(code=CODE), OTHER_NAMES, "code")
    assert (hit.benchmark, hit.item, hit.rule, hit.excerpt) == ("programs", "p", "code_ast", "f")
    assert hit.value >= hit.threshold == DEFAULT.min_code_nodes
    assert one(index(code=CODE), "class A:\n" + re.sub("(?m)^", "    ", OTHER_NAMES), "code").rule == "code_ast"
    assert one(index(code=CODE), re.sub("(?m)^", "    ", OTHER_NAMES), "code").rule == "code_ast"
    assert one(index(code=CODE), "print 'Python 2'\n" + OTHER_NAMES, "code").rule == "code_ast"
    assert one(index(code=CODE), f"A solution:\n\n```python{OTHER_NAMES}```\n", "web").rule == "code_ast"


@pytest.mark.parametrize(
    ("old", "new"), [("x > 0", "x >= 0"), ("b += x", "b -= x"), ("out.append", "out.insert"), ("b=0", "b=1")]
)
def test_another_program_is_none(old: str, new: str) -> None:
    assert one(index(code=CODE), OTHER_NAMES.replace(old, new), "code") is None


def test_of_a_solution_the_functions_within_others_are_not_looked_for() -> None:
    inner = re.sub("(?m)^", "    ", CODE.replace("running_totals", "helper"))
    found = index(code=f"def running_totals(a):\n{inner}\n    return helper(a, 7) + [b for b in helper(a) if b > 3]\n")
    assert one(found, OTHER_NAMES, "code") is None


def test_a_solution_or_a_document_may_nest_as_deeply_as_the_parser_bears() -> None:
    deep = f"def running_totals(a):\n    return ({' + '.join(['a'] * 900)})\n"
    other = deep.replace("running_totals", "f").replace("a", "x")
    assert one(index(code=deep), other, "code").rule == "code_ast"
    assert one(index(code=deep), other.replace("+", "-", 1), "code") is None
    short = f"def running_totals(a):\n    return ({' + '.join(['a'] * 20)})\n"
    assert one(index(code=short), other, "code") is None


def test_a_function_that_is_everybodys_is_not_looked_for() -> None:
    small = "def running_totals(a, b):\n    return a + b\n"
    assert one(index(code=small), small.replace("a", "x"), "code") is None
    assert one(
        index(code=small, params=DecontaminationParams(min_code_nodes=1)), "def f(x, y):\n    return x + y\n", "code"
    )


def test_a_kind_that_is_not_checked_has_no_hits() -> None:
    item = words(40, 1)
    found = index(item, params=DecontaminationParams(kinds=["web"]))
    assert hits(found, [item, item], ["textbook", "web"])[0] is None
    assert hits(found, [item, item], ["textbook", "web"])[1] is not None
    assert set(DEFAULT.kinds) == set(KINDS)


def test_all_items_of_a_document_are_found_the_first_first() -> None:
    first, second = words(30, 1), words(9, 2)
    found = index(second, first).find([f"{words(20, 3)} {first} {words(20, 4)} {second}"], ["web"])[0]
    assert {hit.item: hit.rule for hit in found} == {"1": "ngram_13", "0": "whole_item"}
    assert found[0].rule == "ngram_13"


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(8, 120), st.integers(0, 60), st.integers(0, 60), st.sampled_from(["web", "code"])
)
def test_plants_are_always_found_and_clean_text_never(
    seed: int, length: int, before: int, after: int, kind: str
) -> None:
    """Recall on plants without paraphrase is 1; a text of other words has no hit."""
    draw = random.Random(seed)
    item = " ".join(draw.choice(WORDS[:1000]) for _ in range(length))
    clean = [" ".join(draw.choice(WORDS[1000:]) for _ in range(n)) for n in (before, after)]
    found = index(item)
    assert one(found, f"{clean[0]}\n{item}\n{clean[1]}", kind) is not None
    assert one(found, " ".join(clean), kind) is None


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_no_verdict_depends_on_the_batch(seed: int, cut: int) -> None:
    draw = random.Random(seed)
    items = [words(draw.randint(8, 60), draw.random()) for _ in range(20)]
    texts = [f"{words(40, draw.random())} {draw.choice([*items, ''])} {words(9, draw.random())}" for _ in range(40)]
    found, kinds = index(*items), ["web"] * 40
    whole = found.find(texts, kinds)
    assert whole == found.find(texts[:cut], kinds[:cut]) + found.find(texts[cut:], kinds[cut:])


def test_an_index_is_the_same_from_its_files(tmp_path) -> None:
    texts = [words(n, n) for n in (8, 9, 12, 30, 200)]
    built = index(*texts, code=CODE)
    for folder in ("a", "b"):
        built.save(tmp_path / folder)
    loaded = BenchmarkIndex.load(tmp_path / "a")
    documents = [*texts, OTHER_NAMES, words(50, 99)]
    kinds = [*["web"] * 5, "code", "web"]
    assert loaded.find(documents, kinds) == built.find(documents, kinds)
    assert loaded.report(7, []) == built.report(7, [])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    (tmp_path / "a" / "index.json").write_text("{}")
    with pytest.raises(StepError, match="build it again"):
        BenchmarkIndex.load(tmp_path / "a")


def test_the_report_says_what_was_found_where() -> None:
    items = [words(30, 1), words(30, 2), words(30, 3)]
    found = index(*items)
    documents = [items[0]] * 5 + [items[1], f"{items[0]} {items[1]}", words(40, 7)]
    rows = list(zip("abcdefgh", found.find(documents, ["web"] * 8), strict=True))
    report = found.report(8, rows)
    assert json.loads(json.dumps(report)) == report
    assert (report["state"], report["documents"], report["documents_hit"]) == ("checked", 8, 7)
    bench = report["benchmarks"]["bench"]
    assert (bench["items"], bench["items_hit"], bench["documents_hit"]) == (3, 2, 7)
    assert bench["by_rule"] == {"ngram_13": 8}
    assert bench["frequent"] == [{"item": "0", "documents": 6}]
    assert bench["examples"][0]["document"] == "a"


def test_an_excerpt_of_which_something_was_redacted_is_left_out() -> None:
    hits = [Hit("b", "0", "ngram_13", 13, 13, excerpt) for excerpt in ("one two jane roe firm com", "two three", "f")]
    found = shown(hits, "One, two <EMAIL>! Two-three: def f()")
    assert [hit.excerpt for hit in found] == ["(redacted)", "two three", "f"]
    assert {(hit.benchmark, hit.item, hit.value) for hit in found} == {("b", "0", 13)}


def test_no_data_is_said_and_never_clean(tmp_path) -> None:
    report = BenchmarkIndex.build(None, DEFAULT).report(3, [])
    assert (report["state"], report["reason"]) == ("nothing checked", "no benchmark data found: nothing checked")
    assert {"humaneval", "gsm8k"} <= set(report["missing"])
    assert BenchmarkIndex.build(tmp_path, DEFAULT).find(["some text"], ["web"]) == [[]]
    with pytest.raises(StepError, match="is not there"):
        BenchmarkIndex.build(tmp_path / "nowhere", DEFAULT)
    exam = BenchmarkIndex.build(tmp_path, DecontaminationParams(suites=["exam"])).report(1, [])
    assert exam["state"] == "nothing checked"
    assert "held out" in exam["skipped"]["exam"]


def test_the_runs_own_suite_is_looked_for(tmp_path) -> None:
    suite = tmp_path / "mine.yaml"
    suite.write_text("tasks: {mine: {files: {test: mine/test.jsonl}}}")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "test.jsonl").write_text(json.dumps({"question": words(20, 1), "answer": "4"}) + "\n")
    found = BenchmarkIndex.build(tmp_path, DEFAULT, str(suite))
    assert one(found, f"{words(9, 2)} {words(20, 1)}").benchmark == "mine"
    assert found.report(1, [])["params"]["suites"] == ["phi2", "olmes", str(suite)]
    for other in ("", "exam", "phi2"):
        assert BenchmarkIndex.build(tmp_path, DEFAULT, other).params == DEFAULT


def test_what_is_missing_is_named(tmp_path) -> None:
    (tmp_path / "gsm8k").mkdir()
    with gzip.open(tmp_path / "gsm8k" / "test.jsonl.gz", "wt") as lines:
        lines.write(json.dumps({"question": words(20, 1), "answer": "4"}) + "\n")
    found = BenchmarkIndex.build(tmp_path, DEFAULT)
    assert [item.benchmark for item in found.items] == ["gsm8k"]
    report = found.report(0, [])
    assert report["state"] == "checked in part"
    assert "humaneval" in report["reason"]


@pytest.mark.parametrize("values", [{"candidate_ngram": 14}, {"suites": ["a", "a"]}, {"ngram": 33}, {"action": "keep"}])
def test_parameters_refuse_what_means_nothing(values: dict) -> None:
    with pytest.raises(ValidationError):
        DecontaminationParams(**values)


def test_every_real_item_that_is_long_enough_is_found(shared_data) -> None:
    """One document of each real item, between other words: each has a hit, of the item's own benchmark or of one that
    shares it.
    """
    items, _ = read_items(shared_data / "benchmarks", ["phi2"])
    some = items[:: len(items) // 3_000]
    found = BenchmarkIndex(some, DEFAULT)
    long = [item for item, count in zip(some, found.words.tolist(), strict=True) if count >= DEFAULT.min_words]
    texts = [f"{words(20, 1)}\n\n{item.text}\n\n{words(20, 2)}" for item in long]
    firsts = hits(found, texts, ["web"] * len(texts))
    assert [item for item, hit in zip(long, firsts, strict=True) if hit is None] == []
    exact = sum((hit.benchmark, hit.item) == (item.benchmark, item.id) for item, hit in zip(long, firsts, strict=True))
    assert exact > 0.8 * len(long)


def test_real_solutions_under_other_names_are_found(shared_data) -> None:
    items, _ = read_items(shared_data / "benchmarks", ["phi2"])
    programs = [item for item in items if item.code]
    assert len(programs) == 664
    found = BenchmarkIndex(programs, DEFAULT)
    names = re.compile(r"\b(?:numbers|result|count|lst|arr|nums|string|strs|test_list|test_tup|res|n|s|x|i|j)\b")
    texts = [names.sub(lambda name: f"{name[0]}_own", item.code.replace("\r\n", "\n")) for item in programs]
    rules = [{hit.rule for hit in hits} for hits in found.find(texts, ["code"] * len(texts))]
    assert sum(bool(rule) for rule in rules) > 0.6 * len(rules)
    assert sum("code_ast" in rule for rule in rules) > 100
