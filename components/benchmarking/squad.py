"""SQuAD 2.0's exact match and F1, by the normalisation of its official script (Rajpurkar et al., arXiv 1806.03822).

A question without an answer is correct if the model says `unanswerable`, or nothing: both count as no answer. The two
worked examples are the first question with an answer and the first without; they are not scored themselves, since only
the development set is available.
"""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from components.errors import StepError

NO_ANSWER = "unanswerable"
METRICS = ("exact_match", "f1")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """The text in lower case, without punctuation, articles and repeated blanks."""
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(_PUNCTUATION)).split())


def score(answers: Sequence[str], said: str) -> dict[str, float]:
    """Exact match and F1 against the best of the answers; an empty list means that the question has no answer."""
    given = "" if normalise(said) == NO_ANSWER else normalise(said)
    golds = [gold for gold in map(normalise, answers) if gold] or [""]
    return {
        "exact_match": max(float(gold == given) for gold in golds),
        "f1": max(_f1(gold.split(), given.split()) for gold in golds),
    }


def _f1(gold: Sequence[str], given: Sequence[str]) -> float:
    if not gold or not given:
        return float(gold == given)  # without an answer F1 is 0 or 1
    common = sum((Counter(gold) & Counter(given)).values())
    if not common:
        return 0.0
    precision, recall = common / len(given), common / len(gold)
    return 2 * precision * recall / (precision + recall)


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    return score(doc["answers"]["text"], results[0])


def split_examples(rows: Sequence[dict[str, Any]], shots: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(worked examples, the rest): questions with and without an answer in turn.

    Raises:
        StepError: there are too few questions of one kind.
    """
    kinds: list[list[int]] = [[], []]
    for index, row in enumerate(rows):
        kinds[not row["answers"]["text"]].append(index)
    try:
        chosen = [kinds[turn % 2][turn // 2] for turn in range(shots)]
    except IndexError:
        raise StepError(
            f"SQuAD 2.0: {len(rows)} questions are too few for {shots} worked examples; put the whole file into the data folder (--data-dir)"
        ) from None
    return [rows[i] for i in chosen], [row for i, row in enumerate(rows) if i not in set(chosen)]
