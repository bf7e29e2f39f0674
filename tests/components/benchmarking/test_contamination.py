"""Contamination: planted overlap is found, and nothing else, whatever the order, the case and the cutting."""

import json
import random
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.benchmarking import contamination
from components.benchmarking.__main__ import COMMAND
from components.benchmarking.contamination import Example, RunIndex, find_overlap, summarise
from components.documents import Document, DocumentWriter, document_id
from components.errors import StepError
from components.running.cli import _parser as parser
from components.running.cli import execute
from components.text import ngrams
from components.tokens import DOCUMENTS, Manifest

WORDS = [f"w{i}" for i in range(400)]


def words(count, seed):
    draw = random.Random(seed)
    return [draw.choice(WORDS) for _ in range(count)]


def put(folder, texts):
    with DocumentWriter(folder) as writer:
        for i, text in enumerate(texts):
            writer.write(Document(text, "prose", f"doc {i}", "CC0-1.0", "test"))
    return folder


def write_tokens(folder, checkpoint, tokenizer, texts):
    """A tokens directory whose training split is these texts, one shard, each ended by end of text."""
    splits = {}
    for name, some in (("train", texts), ("validation", texts[:1])):
        rows = [[*tokenizer.encode(text).ids, 0] for text in some]
        lengths = [len(row) for row in rows]
        starts = np.cumsum([0, *lengths])[:-1]
        (folder / name).mkdir(parents=True)
        np.concatenate(rows).astype("<u2").tofile(folder / name / "shard-00000.bin")
        ids = [document_id(text) for text in some]
        columns = [ids, ["prose"] * len(rows), ids, starts, lengths, [len(text) for text in some]]
        pq.write_table(pa.table(columns, schema=DOCUMENTS), folder / name / "documents.parquet")
        shard = {"file": "shard-00000.bin", "tokens": sum(lengths), "sha256": ""}
        splits[name] = {"tokens": sum(lengths), "documents": len(rows), "bytes": 1, "shards": [shard], "by_kind": {}}
    (folder / "tokenizer").mkdir()
    shutil.copy(checkpoint / "tokenizer.json", folder / "tokenizer")
    unsigned = Manifest(1, "uint16", 384, 0, "", splits)
    Manifest(1, "uint16", 384, 0, "", splits, unsigned.compute_fingerprint()).write(folder)
    return folder


def look(examples, texts):
    index = RunIndex([Example("t", str(i), text) for i, text in enumerate(examples)])
    index.see([f"d{i}" for i in range(len(texts))], texts)
    return index.overlaps()


def by_hand(example, texts, n):
    """Brute force over strings: (dirty, coverage)."""
    own = re.findall(r"[^\W_]+", example.lower())
    length = min(n, len(own))
    runs = set()
    for text in texts:
        there = re.findall(r"[^\W_]+", text.lower())
        runs |= {tuple(there[i : i + length]) for i in range(len(there) - length + 1)}
    covered = set()
    for i in range(len(own) - length + 1):
        if tuple(own[i : i + length]) in runs:
            covered |= set(range(i, i + length))
    return bool(covered), len(covered) / len(own)


def test_a_planted_run_of_thirteen_words_makes_an_example_dirty_and_twelve_do_not():
    example = words(40, 1)
    thirteen, twelve = " ".join(example[5:18]), " ".join(example[5:17])
    around = " ".join(words(30, 2)), " ".join(words(30, 3))
    (found,) = look([" ".join(example)], [f"{around[0]} {thirteen} {around[1]}"])
    assert (found.dirty, found.coverage, found.document, found.run) == (True, 13 / 40, "d0", thirteen)
    (found,) = look([" ".join(example)], [f"{around[0]} {twelve} {around[1]}"])
    assert (found.dirty, found.coverage, found.document) == (False, 0.0, None)


def test_case_punctuation_and_line_ends_do_not_hide_a_run():
    (found,) = look(
        ["What is the name of the largest city on the northern coast of Elbonia?"],
        ["WHAT IS: the name -- of\nthe 'largest' city (on the) northern... coast, of\tElbonia"],
    )
    assert found.dirty
    assert found.run == "what is the name of the largest city on the northern coast of"


def test_a_run_does_not_go_over_the_end_of_a_document():
    example = words(20, 4)
    (found,) = look([" ".join(example)], [" ".join(example[:10]), " ".join(example[10:])])
    assert not found.dirty


def test_a_short_example_is_dirty_only_as_a_whole():
    whole, cut = look(["alpha beta gamma", "alpha beta delta"], ["so alpha, beta; gamma it was", "beta delta"])
    assert (whole.dirty, whole.coverage) == (True, 1.0)
    assert not cut.dirty


def test_an_example_without_words_cannot_be_told():
    (nothing, some) = look(["?!", "one two three"], ["?! and more"])
    assert nothing.dirty is None
    assert some.dirty is False


@pytest.mark.parametrize(("lengths", "n"), [([30] * 20, 13), ([10] * 20, 10), ([3] * 20, 8), ([3] + [30] * 40, 13)])
def test_n_is_the_fifth_percentile_of_the_lengths_between_8_and_13(lengths, n):
    index = RunIndex([Example("t", str(i), " ".join(words(size, i))) for i, size in enumerate(lengths)])
    assert index.n == {"t": n}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 12))
def test_every_verdict_is_that_of_comparing_strings(seed, count, documents):
    draw = random.Random(seed)
    vocabulary = ["a", "B", "c", "é", "ß", "日本", "x1", "İ", "Σας", "don't", "a_b", "-"]
    text = lambda most: " ".join(draw.choice(vocabulary) for _ in range(draw.randint(0, most)))  # noqa: E731
    examples = [text(20) for _ in range(count)]
    texts = [text(60) for _ in range(documents)] + [f"x {draw.choice(examples)} y"]
    index = RunIndex([Example("t", str(i), example) for i, example in enumerate(examples)])
    index.see([str(i) for i in range(len(texts))], texts)
    for example, found in zip(examples, index.overlaps(), strict=True):
        if not re.findall(r"[^\W_]+", example.lower()):
            assert found.dirty is None
            continue
        assert (found.dirty, pytest.approx(found.coverage)) == by_hand(example, texts, index.n["t"])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 200), st.integers(14, 90))
def test_the_cutting_into_pieces_and_slices_changes_nothing(seed, piece, some):
    """Long documents are hashed in pieces: with tiny ones the verdicts stay what they were."""
    draw = random.Random(seed)
    long = words(400, seed)
    at = draw.randrange(0, 380)
    examples = [" ".join(long[at : at + 20]), " ".join(words(20, seed + 1)), "x" * 300 + " " + " ".join(words(14, 5))]
    texts = [" ".join(long), examples[2] + " end", " ".join(words(50, seed + 2))]
    whole = look(examples, texts)
    before = ngrams.PIECE, ngrams.SLICE
    ngrams.PIECE, ngrams.SLICE = piece, some
    ngrams._powers.cache_clear()
    try:
        assert look(examples, texts)[:2] == whole[:2]
    finally:
        ngrams.PIECE, ngrams.SLICE = before
        ngrams._powers.cache_clear()
    assert whole[0].dirty
    assert whole[2].dirty


def test_two_folders_are_one_corpus_and_the_order_of_documents_changes_no_verdict(tmp_path):
    texts = [" ".join(words(80, seed)) for seed in range(30)]
    examples = [Example("t", str(i), " ".join(text.split()[10:30])) for i, text in enumerate(texts[:5])]
    examples += [Example("t", f"new {i}", " ".join(words(20, 1000 + i))) for i in range(5)]
    one = find_overlap(examples, [put(tmp_path / "a", texts[:3]), put(tmp_path / "b", texts[3:])])
    other = find_overlap(examples, [put(tmp_path / "c", texts[::-1])])
    assert [o.dirty for o in one.overlaps] == [True] * 5 + [False] * 5
    assert [(o.dirty, o.coverage) for o in one.overlaps] == [(o.dirty, o.coverage) for o in other.overlaps]
    assert (one.corpus["documents"], one.corpus["words"]) == (30, 2400)
    assert find_overlap(examples, [tmp_path / "a", tmp_path / "b"]) == one


def test_clean_scores_leave_out_what_is_dirty(tmp_path):
    texts = [" ".join(words(60, seed)) for seed in range(4)]
    examples = [Example("seen", str(i), " ".join(t.split()[:20])) for i, t in enumerate(texts[:2])]
    examples += [Example("seen", "2", " ".join(words(20, 77))), Example("seen", "3", " ".join(words(20, 78)))]
    examples += [Example("gone", "0", texts[3])]
    report = find_overlap(examples, [put(tmp_path / "d", texts)])
    figures = {"seen": {"acc": [1.0, 1.0, 0.0, 1.0], "f1": [None, 0.5, None, 0.25]}, "gone": {"acc": [1.0]}}
    found = summarise(examples, report, figures)["tasks"]
    assert (found["seen"]["n"], found["seen"]["examples"], found["seen"]["dirty"]) == (13, 4, 2)
    assert (found["seen"]["overlap"], found["seen"]["coverage"]) == (0.5, 0.5)
    assert found["seen"]["clean"]["acc"] == {"value": 0.5, "stderr": 0.5, "n": 2}
    assert found["seen"]["clean"]["f1"] == {"value": 0.25, "stderr": None, "n": 1}
    assert [row["id"] for row in found["seen"]["evidence"]] == ["0", "1"]
    assert found["seen"]["evidence"][0]["words"] == " ".join(examples[0].text.split()[:13])
    assert (found["gone"]["overlap"], found["gone"]["clean"]) == (1.0, {})


def test_an_example_in_other_words_is_counted_beside_the_verdict(tmp_path):
    asked = "Omar reads 28 pages of a novel on Monday, twice as many on Tuesday and 15 fewer on Wednesday. How many pages are left of 200?"
    again = "A novel has 200 pages. On Monday Omar is reading 28 pages of it, on Tuesday twice that, on Wednesday 15 less. How many are left?"
    examples = [
        Example("t", "asked", asked),
        Example("t", "other", "Which river runs through the old town of Brandvold before it meets the northern fjord?"),
        Example("t", "short", "Which one?"),
    ]
    texts = [" ".join(words(60, 1)), f"{' '.join(words(30, 2))} {again} {' '.join(words(30, 3))}", again]
    report = find_overlap(examples, [put(tmp_path / "d", texts)])
    assert [overlap.dirty for overlap in report.overlaps] == [False] * 3
    assert report.rewordable == [True, True, False]
    found = summarise(examples, report, {})["tasks"]["t"]
    assert found["reworded"] == {
        "examples": 1,
        "checked": 2,
        "evidence": [{"id": "asked", "document": document_id(texts[1])}],
    }
    verbatim = find_overlap(examples, [put(tmp_path / "e", [asked])])
    assert summarise(examples, verbatim, {})["tasks"]["t"]["reworded"]["examples"] == 0  # dirty already


def test_a_folder_that_is_not_a_corpus_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(StepError, match=r"empty has no part-\*\.parquet"):
        find_overlap([Example("t", "0", "a b c")], [tmp_path / "empty"])
    with pytest.raises(StepError, match="does not exist"):
        find_overlap([Example("t", "0", "a b c")], [tmp_path / "nowhere"])


class Built:
    """What is asked of one of lm-eval's tasks."""

    OUTPUT_TYPE, multiple_input = "multiple_choice", False

    def __init__(self, text, choices=(), **changes):
        self.text, self.choices = text, list(choices)
        self.__dict__.update(changes)

    def doc_to_text(self, doc):
        return self.text

    def doc_to_choice(self, doc):
        return self.choices


LETTERS = ("A", "B")


@pytest.mark.parametrize(
    ("built", "doc", "target", "text"),
    [
        (Built("Goal: Boil an egg.\nAnswer:", ["in water", "in sand"]), {}, 0, "Boil an egg. in water"),
        (Built("", LETTERS), {"question": "Why?", "choices": ["so", "no"]}, 1, "Why? no"),
        (Built("", LETTERS), {"question": "Why?", "choices": {"text": ["so", "no"]}}, 0, "Why? so"),
        (Built("", ["yes", "no"]), {"question": "is it", "passage": "long " * 200}, 0, "is it yes"),
        (Built("", ["yes", "no"]), {"question": "Is it?", "context": "It rains."}, 0, "It rains. Is it? yes"),
        (Built("", ["yes", "no"]), {"question": "Is it?", "context": "rain " * 101}, 0, "Is it? yes"),
        (Built(1, ["Ann ran as Ann", "Ann ran as Bea"], multiple_input=True), {}, "was late.", "Ann ran as Bea was late."),
        (Built("Q: not True is\nA: Let's think step by step.", OUTPUT_TYPE="generate_until"), {}, "False", "not True is False"),
        (Built("", OUTPUT_TYPE="generate_until"), {"prompt": "def f():\n", "canonical_solution": "  return 1", "test": "x"}, "x", "def f():\n  return 1"),
        (Built("You are ...", OUTPUT_TYPE="generate_until"), {"text": "Write f.", "code": "def f(): 1", "test_list": ["x"]}, "x", "Write f. def f(): 1"),
    ],
)  # fmt: skip
def test_what_is_looked_for_is_the_question_and_its_right_answer(built, doc, target, text):
    samples = [{"doc_id": 7, "doc": doc, "target": target}, {"doc_id": 7, "doc": doc, "target": "the second filter's"}]
    assert contamination.texts_of(built, samples) == [text]


def test_the_step_writes_overlap_and_clean_scores(checkpoint, exam, tmp_path):
    """The corpus contains one question of `sorting` with its answer, and another one without its answer."""
    corpus = put(tmp_path / "corpus", ["Sort 3, 2, 1: [1, 2, 3].", "Sort 4, 2, 1. Who knows?", "Nothing else."])
    given = ["--checkpoint", str(checkpoint), "--data-dir", str(exam), "--output", str(tmp_path / "scores")]
    assert execute(COMMAND, parser(COMMAND).parse_args([*given, "--corpus", str(corpus)])) == 0
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    found = scores["contamination"]["tasks"]
    assert scores["contamination"]["corpus"]["documents"] == 3
    assert {task: entry["dirty"] for task, entry in found.items()} == {"addition": 0, "opposite": 0, "sorting": 1}
    rows = [
        row for row in pq.read_table(tmp_path / "scores" / "examples.parquet").to_pylist() if row["task"] == "sorting"
    ]
    (evidence,) = found["sorting"]["evidence"]
    assert (evidence["id"], evidence["words"]) == (rows[0]["id"], "sort 3 2 1 1 2 3")
    assert [row["in_corpus"] for row in rows] == [True] + [False] * (len(rows) - 1)
    rest = [row["acc"] for row in rows[1:]]
    assert found["sorting"]["clean"]["acc"]["value"] == pytest.approx(sum(rest) / len(rest))
    assert found["sorting"]["clean"]["acc"]["n"] == scores["tasks"]["sorting"]["acc"]["n"] - 1
    assert found["addition"]["clean"]["acc"] == scores["tasks"]["addition"]["acc"]
    assert "chance" not in found["addition"]["clean"]


def test_without_a_corpus_nothing_is_claimed(checkpoint, exam, tmp_path):
    given = ["--checkpoint", str(checkpoint), "--data-dir", str(exam), "--output", str(tmp_path / "scores")]
    assert execute(COMMAND, parser(COMMAND).parse_args([*given, "--limit", "1"])) == 0
    assert "contamination" not in json.loads((tmp_path / "scores" / "scores.json").read_text())


def test_the_training_tokens_are_a_corpus_too(tmp_path, checkpoint):
    """The decoded training documents give the verdicts of the documents themselves."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    texts = [" ".join(words(60, seed)) for seed in range(6)]
    folder = write_tokens(tmp_path / "tokens", checkpoint, tokenizer, texts)
    examples = [Example("t", str(i), " ".join(text.split()[20:40])) for i, text in enumerate([*texts[:3], "x " * 30])]
    told = find_overlap(examples, [folder])
    assert [overlap.dirty for overlap in told.overlaps] == [True, True, True, False]
    assert told.overlaps == find_overlap(examples, [put(tmp_path / "documents", texts)]).overlaps
    assert told.corpus["documents"] == 6
