"""What may be compared, and the words that say what differs."""

import json
from dataclasses import replace
from typing import Any

import pytest

from components.results.comparability import (
    BITS,
    NATS,
    SCORE,
    TAG,
    Basis,
    compare_losses,
    compare_scores,
    of_scores,
)

ONE = Basis(tokenizer="t", documents="d", targets="m", questions="q", protocol="p")


@pytest.mark.parametrize(
    ("changes", "measure", "said"),
    [
        ({}, NATS, ""),
        ({"documents": "x"}, "", "Losses are not compared: b has another held-out text than a."),
        ({"documents": ""}, "", "Losses are not compared: the held-out text of b is not recorded; run it again."),
        ({"tokenizer": "x"}, BITS, "in bits per byte, without a winner: b has another tokenizer than a."),
        ({"tokenizer": ""}, BITS, "the tokenizer of b is not recorded"),
        ({"tokenizer": "x", "targets": "y"}, BITS, "the measured samples of the held-out text differ too"),
        ({"targets": "y"}, BITS, "b has another sample of the held-out text than a"),
        ({"questions": "x"}, NATS, ""),  # an exam does not decide about losses
    ],
)
def test_losses(changes: dict[str, str], measure: str, said: str) -> None:
    found = compare_losses({"a": ONE, "b": replace(ONE, **changes)})
    assert found.measure == measure
    assert said in found.reason
    assert found.fair == (not said)


def test_whole_documents_do_not_depend_on_where_sequences_begin() -> None:
    whole = replace(ONE, whole=True)
    assert compare_losses({"a": whole, "b": replace(whole, targets="y")}).fair
    other = compare_losses({"a": whole, "b": replace(whole, tokenizer="x", targets="y")})
    assert (other.measure, other.fair) == (BITS, False)
    assert "sample" not in other.reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"tokenizer": "x", "documents": "y"}, ""),
        ({"questions": "x"}, "Exam scores are not compared: b has another set of questions than a."),
        ({"protocol": "x"}, "b has another protocol (prompt, shots, metric or limit) than a"),
        ({"questions": ""}, "the set of questions of b is not recorded"),
    ],
)
def test_scores(changes: dict[str, str], said: str) -> None:
    found = compare_scores({"a": ONE, "b": replace(ONE, **changes)}, "Exam scores")
    assert found.measure == ("" if said else SCORE)
    assert said in found.reason


def test_all_that_differ_are_named() -> None:
    other = replace(ONE, questions="x")
    assert (
        "b, c and d have another set of questions than a"
        in compare_scores({"a": ONE, "b": other, "c": other, "d": other}).reason
    )
    assert compare_scores({"a": Basis()}).fair  # one alone is not compared
    assert compare_losses({}).fair


SCORES: dict[str, Any] = {
    "suite": "exam",
    "limit": 0,
    "prompt": "Question: {{question}}",
    "data": {"a": "rows of a", "b": "rows of b"},
    "protocols": {"a": {"benchmark": "a", "metric": "acc", "shots": 0, "form": "", "truncated_prompts": 3}},
}


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"scorer_version": 9, "protocols": {"a": SCORES["protocols"]["a"] | {"truncated_prompts": 0}}}, True),
        ({"data": {"a": "rows of a", "b": "other rows"}}, False),
        ({"data": {"a": "rows of a"}}, False),
        ({"limit": 20}, False),
        ({"prompt": "{{question}}"}, False),
        ({"protocols": {"a": SCORES["protocols"]["a"] | {"shots": 5}}}, False),
    ],
)
def test_the_rows_and_the_protocol_decide_what_an_exam_is(changes: dict[str, Any], same: bool) -> None:
    assert compare_scores({"a": of_scores(SCORES), "b": of_scores(SCORES | changes)}).fair == same


@pytest.mark.parametrize("broken", [None, "", "{", "[]", 3, {"tokenizer": 5, "whole": "yes"}])
def test_a_broken_tag_is_unknown(broken: Any) -> None:
    assert Basis.of(broken) == Basis()


def test_a_tag_is_read_as_it_was_written() -> None:
    assert Basis.of(replace(ONE, whole=True).tag()[TAG]) == replace(ONE, whole=True)
    assert Basis.of(json.loads(json.dumps(ONE.record()))) == ONE
