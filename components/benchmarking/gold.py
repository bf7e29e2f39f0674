"""Bits per byte of the correct answer, also for tasks whose answers are generated.

A small model solves nothing in GSM8K or HumanEval, so exact match and pass@1 stay at 0 however much it learns. Its loss
on the correct answer, after the prompt, changes long before that (OLMES, arXiv 2406.08446, uses it for choices). The
correct answer is lm-eval's target, or a program's reference solution. If it is longer than half the model's context, only
its beginning is scored.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.benchmarking.programs import reference
from components.benchmarking.records import first_samples
from components.results.statistics import bits_per_byte

if TYPE_CHECKING:
    from components.benchmarking.scorer import ChoiceScorer


def gold_bits(built: Any, samples: Sequence[Mapping[str, Any]], scorer: "ChoiceScorer") -> list[float] | None:
    """Bits per byte of each example's correct answer, in the order of their numbers; None if one of them has no text.

    Args:
        built: lm-eval's task.
        samples: the samples that lm-eval logs.
    """
    asked = first_samples(samples)
    answers = [_beginning(_answer(sample), scorer) for sample in asked]
    if not all(answers):
        return None
    pairs = []
    for sample, answer in zip(asked, answers, strict=True):
        prompt = sample["arguments"][0][0]
        pairs.append((prompt, answer if prompt[-1:].isspace() or _is_program(sample) else _delimiter(built) + answer))
    found = scorer.score_pairs(pairs)
    return bits_per_byte([logprob for logprob, _ in found], answers).tolist()


def _answer(sample: Mapping[str, Any]) -> str:
    if _is_program(sample):
        return reference(sample["doc"]).rstrip()
    return str(sample["target"]).strip()


def _is_program(sample: Mapping[str, Any]) -> bool:
    doc = sample["doc"]
    return "canonical_solution" in doc or ("test_list" in doc and "code" in doc)


def _delimiter(built: Any) -> str:
    """The text between prompt and answer in the worked examples."""
    given = getattr(built.config, "target_delimiter", None)
    return " " if given is None else given


def _beginning(answer: str, scorer: "ChoiceScorer") -> str:
    most = max(1, scorer.max_length // 2)
    tokens = scorer.tokenizer.encode(answer, add_special_tokens=False).ids
    if len(tokens) <= most:
        return answer
    # A cut within a character leaves a replacement character.
    return scorer.tokenizer.decode(tokens[:most]).rstrip("\ufffd")
