"""Near-duplicates against exact Jaccard, and each gate with what it says."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.documents import Document, DocumentWriter
from components.errors import StepError
from components.params import SynthesisParams
from components.synthesis.diversity import Diversity, check_gates, near_curated, template_shares
from components.synthesis.drafts import Draft
from components.synthesis.near_duplicates import PERMUTATIONS, NearDuplicates
from components.text.shingles import SHINGLE, sketch

WORDS = [f"word{n}" for n in range(500)]


def text(rng: random.Random, length: int = 200) -> str:
    return " ".join(rng.choices(WORDS, k=length))


def changed(rng: random.Random, original: str, edits: int) -> str:
    words = original.split()
    for place in rng.sample(range(len(words)), edits):
        words[place] = rng.choice(WORDS)
    return " ".join(words)


def jaccard(a: str, b: str) -> float:
    first, second = ({*zip(*(t.split()[i:] for i in range(SHINGLE)), strict=False)} for t in (a, b))
    return len(first & second) / len(first | second)


def test_sketches_estimate_jaccard():
    rng, errors = random.Random(1), []
    for edits in range(0, 40):
        a = text(rng)
        b = changed(rng, a, edits)
        one, other = sketch([a, b], PERMUTATIONS)
        errors.append(float((one == other).mean()) - jaccard(a, b))
    assert np.sqrt(np.mean(np.square(errors))) < 0.06  # the standard error is 0.04
    assert abs(np.mean(errors)) < 0.02


def test_near_duplicates_are_found_and_others_are_not():
    rng, index = random.Random(2), NearDuplicates()
    originals = [text(rng) for _ in range(200)]
    assert all(index.add(original) is None for original in originals)
    near = [changed(rng, original, 3) for original in originals]  # similarity about 0.86
    found = index.find(near)
    assert sum(hit is not None and hit[0] == number for number, hit in enumerate(found)) >= 198
    far = [changed(rng, original, 20) for original in originals]  # about 0.4
    assert sum(found is not None for found in index.find(far)) <= 2
    assert len(index) == 200


@given(st.text(max_size=300))
def test_any_text_has_a_sketch_and_resembles_itself(content):
    index = NearDuplicates()
    assert index.add(content) is None
    number, similarity = index.add(content.upper() if content.upper().lower() == content.lower() else content)
    assert (number, similarity) == (0, 1.0)


def test_order_of_words_matters_and_case_does_not():
    index = NearDuplicates()
    index.add("One two three four five six seven eight nine ten")
    assert index.find(["one TWO, three four five six seven eight nine ten!"])[0]
    assert not index.find(["ten nine eight seven six five four three two one"])[0]


def test_curated_documents_that_resemble_ours_are_counted(tmp_path):
    rng = random.Random(3)
    ours, other = text(rng), text(rng)
    with DocumentWriter(tmp_path) as writer:
        for content in (other, changed(rng, ours, 1)):
            writer.write(Document(content, "prose", "s", "MIT", "test"))
    index = NearDuplicates()
    index.add(ours)
    assert near_curated(index, tmp_path) == 1


def test_templates_are_counted_by_task():
    drafts = [Draft("q", "a", ("b",), "r", template="same")] * 3
    shares = template_shares({"x": drafts, "y": drafts[:1]})
    assert shares == {"distinct": 2, "largest_share": 0.75, "largest": "x: same"}
    assert template_shares({})["largest_share"] == 0.0


GOOD = {
    "gzip_ratio": 3.0,
    "near_duplicates": {"share": 0.0},
    "templates": {"largest": "parity: Is {n} even or odd?", "largest_share": 0.01},
    "textbook": {"distinct_3": 0.5},
    "exercise": {"distinct_3": 0.0},  # there is none
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gzip_ratio": 7.0}, "compress by a factor of 7.00, more than synthesis.max_gzip_ratio 6"),
        ({"near_duplicates": {"share": 0.03}}, "3.00% of the documents resemble .*max_near_duplicates 0.01"),
        ({"templates": {"largest": "parity: x", "largest_share": 0.2}}, "'parity: x' has 20.0% of the exercises"),
        ({"textbook": {"distinct_3": 0.05}}, "only 5.0% of the runs of three words of kind textbook"),
    ],
)
def test_each_gate_says_what_is_too_alike(change, words):
    check_gates(GOOD, SynthesisParams())
    with pytest.raises(StepError, match=words):
        check_gates(GOOD | change, SynthesisParams())


def test_compression_sees_templates():
    templated = [f"What is {a} and {b} together? It is {a + b}." for a in range(30) for b in range(30)]
    rng = random.Random(4)
    measured, other = Diversity(), Diversity()
    for line in templated:
        measured.add(line)
    for _ in range(400):
        other.add(text(rng, 20))
    assert measured.gzip_ratio() > 2 * other.gzip_ratio()
    assert measured.distinct(3) < 0.6
