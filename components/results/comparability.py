"""Decides how figures of different models or runs may be compared, and says in words what differs.

Losses in nats per token depend on the tokenizer, so models with different tokenizers are shown in bits per byte, and only
for the same documents. Scores are compared on the same questions by the same protocol. What is not recorded is not assumed
to be equal. Nobody is called better if anything differs.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

TAG = "measured_on"  # key in the summaries of training, and tag of a run in MLflow
NATS, BITS, SCORE = "validation_loss", "bits_per_byte", "score"


@dataclass(frozen=True)
class Basis:
    """What a model's figures were measured on, as hashes; an empty one is unknown.

    Attributes:
        tokenizer: of the tokenizer.
        documents: of the ids of the held-out documents, which are hashes of their text.
        targets: of the held-out tokens that were measured.
        whole: whether all held-out documents were measured, and not a sample of their tokens.
        questions: of the rows of all tasks.
        protocol: of metrics, numbers of worked examples, forms, prompt and limit.
    """

    tokenizer: str = ""
    documents: str = ""
    targets: str = ""
    whole: bool = False
    questions: str = ""
    protocol: str = ""

    def record(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value}

    def tag(self) -> dict[str, str]:
        """The tag of a run in MLflow."""
        return {TAG: json.dumps(self.record(), sort_keys=True)}

    @classmethod
    def of(cls, found: Any) -> "Basis":
        """From `record` or the text of `tag`; unknown for anything else."""
        if isinstance(found, str):
            try:
                found = json.loads(found)
            except ValueError:
                found = None
        known = found if isinstance(found, dict) else {}
        texts = {name: known[name] for name in cls.__dataclass_fields__ if isinstance(known.get(name), str)}
        return cls(**texts | {"whole": known.get("whole") is True})


@dataclass(frozen=True)
class Comparison:
    """How some models' figures may be compared.

    Attributes:
        measure: NATS, BITS or SCORE, in which they may be shown side by side; empty if they may not.
        reason: what differs, as a sentence for people; empty if nothing does.
    """

    measure: str
    reason: str = ""

    @property
    def fair(self) -> bool:
        """Whether one of them may be called the better one."""
        return not self.reason


def digest(content: Any) -> str:
    """Hex SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def of_scores(scores: Mapping[str, Any]) -> Basis:
    """The basis of the content of scores.json; unknown parts stay empty."""
    data, protocols = scores.get("data"), scores.get("protocols")
    if not isinstance(data, dict) or not data:
        return Basis()
    names = ("benchmark", "metric", "shots", "form")
    stated = {task: [(one or {}).get(name) for name in names] for task, one in (protocols or {}).items()}
    protocol = [scores.get("suite"), scores.get("prompt"), scores.get("limit"), stated]
    return Basis(questions=digest(data), protocol=digest(protocol))


def compare_losses(bases: Mapping[str, Basis]) -> Comparison:
    """How the losses of these models or runs, by name, may be compared.

    Losses on other documents are not shown side by side. On the same documents, another tokenizer or another sample of their
    tokens leaves bits per byte, without a winner.
    """
    if len(bases) < 2:
        return Comparison(NATS)
    if text := _differ(bases, lambda b: b.documents, "held-out text"):
        return Comparison("", f"Losses are not compared: {text}.")
    tokenizer = _differ(bases, lambda b: b.tokenizer, "tokenizer")
    whole = all(basis.whole for basis in bases.values())
    sample = "" if whole else _differ(bases, lambda b: b.targets, "sample of the held-out text")
    if tokenizer and sample:
        sample = "the measured samples of the held-out text differ too"
    if why := "; ".join(filter(None, (tokenizer, sample))):
        return Comparison(BITS, f"Losses are shown in bits per byte, without a winner: {why}.")
    return Comparison(NATS)


def compare_scores(bases: Mapping[str, Basis], what: str = "Scores") -> Comparison:
    """How the scores of these models or runs, by name, may be compared.

    Args:
        what: the scores in words, such as `Exam scores`.
    """
    if len(bases) < 2:
        return Comparison(SCORE)
    found = _differ(bases, lambda b: b.questions, "set of questions")
    found = found or _differ(bases, lambda b: b.protocol, "protocol (prompt, shots, metric or limit)")
    return Comparison("", f"{what} are not compared: {found}.") if found else Comparison(SCORE)


def _differ(bases: Mapping[str, Basis], value: Callable[[Basis], str], what: str) -> str:
    """`b has another tokenizer than a`, or which one is not recorded; empty if all are equal."""
    first = next(iter(bases))
    if unknown := [name for name, basis in bases.items() if not value(basis)]:
        return f"the {what} of {_join(unknown)} is not recorded; run it again"
    others = [name for name in bases if value(bases[name]) != value(bases[first])]
    if not others:
        return ""
    return f"{_join(others)} {'has' if len(others) == 1 else 'have'} another {what} than {first}"


def _join(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
