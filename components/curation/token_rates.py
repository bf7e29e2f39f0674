"""Tokens per byte of text, by kind and stage, counted on a sample, since counting all would take longer than judging them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components.text import bpe

KEPT = "kept"  # the stage of kept documents
CHARACTERS = 4_000  # maximum read per document
COUNTED, TRAINED = 200, 300  # kept documents whose tokens are counted, and from which the tokenizer learns

Sampled = Mapping[tuple[str, str], Sequence[str]]  # texts by kind and stage


@dataclass(frozen=True)
class Rates:
    """Tokens per byte.

    Attributes:
        vocab_size: entries of the tokenizer; the requested number, or fewer for few texts.
        documents: number of documents that were counted.
        found: by kind and stage.
        of_kinds: by kind, for stages without a sample.
        of_all: for kinds without a sample.
    """

    vocab_size: int
    documents: int
    found: dict[tuple[str, str], float]
    of_kinds: dict[str, float]
    of_all: float

    def tokens(self, kind: str, stage: str, size: float) -> float:
        """The approximate number of tokens in `size` bytes."""
        return size * self.found.get((kind, stage), self.of_kinds.get(kind, self.of_all))

    def as_json(self) -> dict[str, Any]:
        """The rates as JSON values, for `from_json`."""
        return asdict(self) | {"found": [[*key, rate] for key, rate in self.found.items()]}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> "Rates":
        return cls(**dict(facts) | {"found": {(kind, stage): rate for kind, stage, rate in facts["found"]}})

    def report(self) -> dict[str, Any]:
        """Bytes per token, by kind and stage, for `curation.json`."""
        table: dict[str, dict[str, float]] = {}
        for (kind, stage), rate in sorted(self.found.items()):
            table.setdefault(kind, {})[stage] = round(1 / rate, 3)
        return {"vocab_size": self.vocab_size, "documents": self.documents, "bytes_per_token": table}


def measure(texts: Sequence[str], sampled: Sampled, vocab_size: int) -> Rates:
    """Count the tokens of sampled texts with a tokenizer that learned from other texts, which stayed.

    Args:
        texts: texts from which the tokenizer learns.
        sampled: texts to count; empty texts are ignored.
        vocab_size: maximum entries of the tokenizer.
    """
    tokenizer = bpe.train((text[:CHARACTERS] for text in texts), vocab_size)
    counts = {key: _count(tokenizer, own) for key, own in sampled.items()}
    counts = {key: count for key, count in counts.items() if count[0]}
    return Rates(
        tokenizer.get_vocab_size(),
        sum(map(len, sampled.values())),
        {key: _rate([count]) for key, count in counts.items()},
        {kind: _rate([count for key, count in counts.items() if key[0] == kind]) for kind, _ in counts},
        _rate(list(counts.values())),
    )


def _count(tokenizer: Any, texts: Sequence[str]) -> tuple[int, int]:
    """The numbers of tokens and bytes."""
    starts = [text[:CHARACTERS] for text in texts]
    return sum(map(len, tokenizer.encode_batch_fast(starts))), sum(len(start.encode()) for start in starts)


def _rate(counts: Sequence[tuple[int, int]]) -> float:
    return sum(tokens for tokens, _ in counts) / max(1, sum(size for _, size in counts))
