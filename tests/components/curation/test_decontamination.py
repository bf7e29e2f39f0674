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

from bench.planted import formats, items, planted, questions
from components.benchmarks.items import Item, read_items
from components.curation.decontamination import BenchmarkIndex, Hit, shown
from components.documents import KINDS
from components.errors import StepError
from components.params.decontamination import DecontaminationParams
from components.text.ngrams import words_in

DEFAULT = DecontaminationParams()
WORDS_ALONE = DecontaminationParams(min_paraphrase=0)
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


def test_a_long_question_needs_ten_words_in_a_row_and_thirteen_and_half_of_it_in_order() -> None:
    item = words(24, 1).split()
    copied = [*item[:10], "other", *item[11:14], "other", *item[15:18]]  # 16 of 24
    hit = one(index(" ".join(item)), f"{words(30, 2)} {' '.join(copied)} {words(30, 3)}")
    assert (hit.benchmark, hit.item, hit.rule) == ("bench", "0", "ngram_10_ratio")
    assert (hit.value, hit.threshold) == (pytest.approx(16 / 24), pytest.approx(13 / 24))
    assert hit.excerpt == " ".join(item[:10])
    assert one(index(" ".join(item)), f"{words(30, 2)} {' '.join(item[:13])} {words(30, 3)}") is None
    broken = " ".join(word if n % 10 else "other" for n, word in enumerate(item))
    assert one(index(" ".join(item), params=WORDS_ALONE), f"{words(30, 2)} {broken} {words(30, 3)}") is None
    long = words(60, 4)
    assert one(index(long), " ".join(long.split()[:30])) is None  # exactly half
    assert one(index(long), " ".join(long.split()[:31])).rule == "ngram_10_ratio"


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
    assert one(found, text).rule == "ngram_10_ratio"


def test_case_and_punctuation_do_not_count() -> None:
    item = words(20, 1)
    assert one(index(item), "- " + item.upper().replace(" ", ", ") + "!").rule == "ngram_10_ratio"


def test_the_share_of_an_item_is_looked_for_around_the_run_alone() -> None:
    item = words(24, 1).split()
    far = f"{' '.join(item[:10])} {words(300, 2)} {' '.join(item[11:20])}"
    assert one(index(" ".join(item)), far) is None


def test_a_short_question_is_a_hit_if_the_whole_of_it_stands_there() -> None:
    item = words(6, 1).split()
    hit = one(index(" ".join(item)), f"{words(30, 2)} {' '.join(item)} {words(30, 3)}")
    assert (hit.rule, hit.value, hit.threshold) == ("whole_item", 6, 6)
    part = f"{words(30, 2)} {' '.join(item[:5])} {words(30, 3)}"
    assert one(index(" ".join(item), params=WORDS_ALONE), part) is None


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("How do plants reproduce?", "whole_line"),
        ("  how do **plants** reproduce", "whole_line"),
        ("Q: How do plants reproduce?\nBy seeds.", "whole_line"),
        ("3) How do plants reproduce?", "whole_line"),
        ("Exercise 3b. How do plants reproduce ?", "whole_line"),
        ("Plants are alive. How do plants reproduce? By seeds and by spores.", None),
        ("How do plants reproduce? Nobody asked.", None),
        ("This chapter tells how do plants reproduce, and why.", None),
        ("Here is how: how do plants reproduce in the desert?", None),
        ("How do plants reproduce in water?", None),
        ("They know how do plants reproduce", None),
        ("How do plants grow and reproduce?", None),
    ],
)
def test_a_very_short_question_is_found_as_a_line_of_its_own(text: str, rule: str | None) -> None:
    found = index("How do plants reproduce?", params=WORDS_ALONE)
    hit = one(found, f"{words(30, 2)}.\n{text}\n{words(30, 3)}")
    assert hit == (rule and Hit("bench", "0", rule, 4, 3, "how do plants reproduce"))


def test_a_question_of_two_words_or_in_a_program_is_not_found_alone() -> None:
    items = [Item("b", "0", "Total spending"), Item("b", "1", "x", CODE, "f", "Add two numbers.")]
    assert one(BenchmarkIndex(items, DEFAULT), "Total spending\nAdd two numbers.\n") is None


QUESTION = Item(
    "bench", "q", "Magma is what? melted rock", question="Magma is what?", choices=("hot water", "melted rock", "old sand"),
    answer="melted rock",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Magma is what? melted rock and", False),  # five words, which anybody may say
        ("Magma is what? A) hot water B) melted rock C) old sand Answer: B", True),
        ("Question: Magma is what?\n(a) hot water\n(b) melted rock\n(c) old sand", True),
        ("Magma is what?\n1. melted rock\n2. old sand\n3. hot water", True),
        ("Magma is what?\n- hot water\n- melted rock\n- old sand", True),
        ("Choose. Magma is what? Choices: A. hot water, B. melted rock, C. old sand.", True),
        ("Magma is what? A good question, for which one digs.", False),
        ("hot water, melted rock and old sand", False),
        ("Magma is what? It was asked on a trip to the hot springs, where rock is old and sand is rare.", False),
    ],
)
def test_a_very_short_question_is_found_by_its_choices(text: str, found: bool) -> None:
    hit = one(BenchmarkIndex([QUESTION], DEFAULT), f"{words(30, 2)}\n{text}\n{words(30, 3)}")
    assert (hit is not None) == found


def test_no_print_of_choices_hides_a_question() -> None:
    """Each planted question is found, whatever is between question and answer."""
    draw = random.Random(1)
    for benchmark, asked in questions(None, 60):
        made = [formats(benchmark, one) for one in asked]
        found = BenchmarkIndex(items("b", asked), DEFAULT)
        for way in made[0]:
            some = [planted(row[way], way, draw, ["Nothing of it is here.", *WORDS]) for row in made]
            hit = found.find(*map(list, zip(*some, strict=True)))
            missed = [n for n, hits in enumerate(hit) if str(n) not in {h.item for h in hits}]
            assert len(missed) <= (0 if benchmark == "generated" else 3), (
                benchmark,
                way,
            )  # three small ones of one word


CLEAN = {
    "counting": "zero one two three four five six seven eight nine ten, and 1 2 3 4 5 6 7 8 9 10 11 12 13",
    "ones": "1 1 1 1 0 0 1 1 1 1 0 1 1 1 1 1 1 1 0 0 0 1",
    "definition": "The Fretz sequence is defined in books as follows: start with any number n. If it is even, the next one is half of "
    "it; if it is odd, the next one is three times as large and one more. Nobody knows whether it always ends at one.",
    "law": "Books of physics say that the laws of nature are the same in all frames that move evenly, whoever looks.",
    "loop": "def sort_list(arr):\n    n = len(arr)\n    for i in range(n):\n        for j in range(0, n - i - 1):\n"
    "            if arr[j] > arr[j + 1]:\n                arr[j], arr[j + 1] = arr[j + 1], arr[j]\n    return arr\n",
    "passage": "The Normans gave their name to a region in the north of France, and they were led by Rollo for many years there.",
}  # fmt: skip
ASKING = [
    Item("b", "counting", "", question="Valid choices are zero, one, two, three, four, five, six, seven, eight and nine. Sort them."),
    Item("b", "ones", "", question="What is the rank of [[1, 1, 1], [1, 1, 1], [1, 1, 1], [0, 1, 1]]?"),
    Item("b", "definition", "x", "def get_odd_fretz(n):\n    pass\n", "get_odd_fretz",
         "Give back a sorted list with all uneven values that a positive integer meets before its row is over. " + CLEAN["definition"].split(" Nobody")[0]),
    Item("b", "law", "", question="In his theory, Nemo stated that the laws of nature are the same in", answer="all frames that move evenly"),
    Item("b", "loop", "x", "def kth(arr, n, k):\n    for i in range(n):\n        for j in range(0, n - i - 1):\n"
         "            if arr[j] > arr[j + 1]:\n                arr[j], arr[j + 1] == arr[j + 1], arr[j]\n    return arr[k - 1]\n",
         "kth", "Write a function to find the kth element of an array that is not sorted."),
]  # fmt: skip


@pytest.mark.parametrize("name", CLEAN)
@pytest.mark.parametrize("kind", ["web", "code"])
def test_what_anybody_may_write_is_not_an_item(name: str, kind: str) -> None:
    assert BenchmarkIndex(ASKING, DEFAULT).find([CLEAN[name]], [kind]) == [[]]


def test_those_items_themselves_are_found() -> None:
    texts = [item.asked for item in ASKING if item.id not in ("ones", "counting")]
    texts[0] = f"def get_odd_fretz(n): {texts[0]}"
    hits = BenchmarkIndex(ASKING, DEFAULT).find(texts, ["web"] * len(texts))
    assert [row[0].item for row in hits] == ["definition", "law", "loop"]


PARAPHRASED = "Omar reads 28 pages of a novel on Monday, twice as many on Tuesday and 15 fewer on Wednesday. How many are left of 200?"
IN_OTHER_WORDS = "A novel has 200 pages. On Monday Omar is reading 28 pages of it, on Tuesday twice that, on Wednesday 15 less. How many are left?"


def test_a_question_in_other_words_is_found() -> None:
    hit = one(index(words(30, 1), PARAPHRASED), f"{words(50, 2)} {IN_OTHER_WORDS} {words(50, 3)}")
    assert (hit.item, hit.rule, hit.threshold) == ("1", "paraphrase", DEFAULT.min_paraphrase)
    assert DEFAULT.min_paraphrase <= hit.value <= 1
    assert hit.excerpt.startswith("novel has 200 pages on monday")
    assert one(index(PARAPHRASED, params=WORDS_ALONE), IN_OTHER_WORDS) is None
    assert one(index(PARAPHRASED), IN_OTHER_WORDS.replace("?", ".")) is None
    assert one(index(PARAPHRASED), "Omar read a novel on Monday. It has 28 pages. Who are you?") is None


def test_what_is_not_looked_for_is_counted_with_its_reason() -> None:
    items = [
        Item("b", "0", words(2, 1)),
        Item("b", "1", "1 2 3 4 5 6 7 8"),
        Item("b", "2", words(40, 2)),
        Item("b", "3", "x", "def f(a):\n    return a\n", "f", words(20, 3)),
        Item("b", "4", "x", "print 'Python 2'", "f", words(20, 4)),
        Item("b", "5", "x", "def f(a):\n    return a\n", "f"),
    ]
    counted = BenchmarkIndex(items, DEFAULT).report(1, [])["benchmarks"]["b"]["not_searched"]
    assert counted == {
        "by words: fewer than 3 words, and than min_words with the choices": 1,
        "by words: words that count or repeat": 1,
        "by words: no question in words": 1,
        "as a program: fewer nodes than min_code_nodes, and a name of a single word": 2,
        "as a program: not a Python function": 1,
        "in other words: too few distinctive words": 3,
        "by any rule": 3,
    }
    assert one(BenchmarkIndex(items[:1], DEFAULT), words(2, 1)) is None
    goal = Item("b", "0", "x", "", "", words(2, 1), (words(9, 2), words(9, 3)), words(9, 2))
    found = BenchmarkIndex([goal], DEFAULT)
    assert found.report(1, [])["benchmarks"]["b"]["not_searched"] == {
        "question alone: fewer than 3 words": 1,
        "in other words: too few distinctive words": 1,
    }
    assert one(found, words(2, 1)) is None
    assert one(found, f"{words(2, 1)}\n{words(9, 2)}")


def test_a_small_program_is_known_by_its_name_too() -> None:
    small = "def centered_number(n):\n    return 3 * n * (n - 1) + 1\n"
    found = BenchmarkIndex([Item("b", "0", small, small, "centered_number")], DEFAULT)
    same = "    def centered_number(self_k):\n        return 3 * self_k * (self_k - 1) + 1\n"
    assert one(found, f"class A:\n{same}", "code").rule == "code_ast"
    assert one(found, small.replace("centered", "other"), "code") is None


@pytest.mark.parametrize("length", [6, 7, 8, 9, 10, 11, 12, 13, 14, 40, 300])
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
    assert {hit.item: hit.rule for hit in found} == {"1": "ngram_10_ratio", "0": "whole_item"}
    assert found[0].rule == "ngram_10_ratio"


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(6, 120), st.integers(0, 60), st.integers(0, 60), st.sampled_from(["web", "code"])
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
    assert bench["by_rule"] == {"ngram_10_ratio": 8}
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


@pytest.mark.parametrize(
    "values",
    [{"candidate_ngram": 14}, {"candidate_ngram": 5}, {"suites": ["a", "a"]}, {"ngram": 33}, {"action": "keep"}],
)
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
    long = [item for item in some if len(set(words_in(item.asked))) >= DEFAULT.min_words]
    texts = [f"{words(20, 1)}\n\n{item.asked}\n\n{words(20, 2)}" for item in long]
    firsts = hits(found, texts, ["web"] * len(texts))
    missed = [item.asked for item, hit in zip(long, firsts, strict=True) if hit is None]
    assert [asked for asked in missed if not re.search(r"[0-9()<{\[]", asked)] == []  # numbers or brackets in rows
    assert len(missed) < 0.005 * len(long)
    exact = sum(
        bool(hit) and (hit.benchmark, hit.item) == (item.benchmark, item.id)
        for item, hit in zip(long, firsts, strict=True)
    )
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
