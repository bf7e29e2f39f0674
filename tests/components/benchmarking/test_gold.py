"""Bits a byte of right answers that are written: against the model's own log-probabilities, one by one."""

import math
from types import SimpleNamespace

import pytest

from components.benchmarking.checkpoint import open_scorer
from components.benchmarking.gold import gold_bits

BUILT = SimpleNamespace(config=SimpleNamespace(target_delimiter=" "))


def sample(number, prompt, target, /, **doc):
    return {"doc_id": number, "doc": doc, "target": target, "arguments": [(prompt, {"until": ["\n"]})]}


def by_hand(checkpoint, prompt, answer, text):
    ((logprob, _),) = open_scorer(checkpoint, 1).score_pairs([(prompt, answer)])
    return -logprob / math.log(2) / len(text.encode())


def test_they_are_the_model_s_own(checkpoint):
    samples = [
        sample(1, "Question: What is 3 + 7?\nAnswer:", "10"),
        sample(0, "Sort 3, 2, 1.\n", "[1, 2, 3]"),
        sample(1, "the second filter's", "never read"),
    ]
    samples[2]["doc_id"] = 1
    found = gold_bits(BUILT, samples, open_scorer(checkpoint, 4))
    assert found == pytest.approx(
        [
            by_hand(checkpoint, "Sort 3, 2, 1.\n", "[1, 2, 3]", "[1, 2, 3]"),
            by_hand(checkpoint, "Question: What is 3 + 7?\nAnswer:", " 10", "10"),
        ],
        rel=1e-5,
    )


def test_of_a_program_it_is_the_reference_solution(checkpoint):
    prompt, solution = "def f(x):\n", "    return x\n"
    found = gold_bits(
        BUILT,
        [sample(0, prompt, "check(f)", prompt=prompt, canonical_solution=solution, entry_point="f")],
        open_scorer(checkpoint, 1),
    )
    assert found == pytest.approx([by_hand(checkpoint, prompt, solution.rstrip(), solution.rstrip())], rel=1e-5)


def test_of_a_long_answer_it_is_the_beginning_and_prompts_are_counted_once(checkpoint):
    """64 positions: half of them are the answer's. A longer prompt was counted already if an answer was generated."""
    scorer = open_scorer(checkpoint, 1)
    answer = "what is the sum " * 40
    samples = [sample(0, "Sort 3, 2, 1. " * 30, answer)]
    with scorer.counting_no_truncation():
        found = gold_bits(BUILT, samples, scorer)
    assert scorer.truncated == 0
    assert gold_bits(BUILT, samples, scorer) == found
    assert scorer.truncated == 1
    assert len(found) == 1
    assert math.isfinite(found[0])


def test_an_example_without_an_answer_has_none(checkpoint):
    samples = [sample(0, "Who?", "Ann"), sample(1, "Who?", "  ")]
    assert gold_bits(BUILT, samples, open_scorer(checkpoint, 1)) is None
