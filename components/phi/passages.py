"""Passages of held-out text: the beginning of a document that was not trained on, and its actual continuation."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from components.documents import GENERATED, KINDS
from components.phi.checkpoint import load_tokenizer
from components.tokens import Tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SHOWN, HIDDEN = 40, 40  # tokens of a prompt, and of its true continuation
BROKEN = "\ufffd"  # decoded bytes of an incomplete character


@dataclass(frozen=True)
class Passage:
    """A prompt from a held-out document, and the document's own continuation of it."""

    prompt: str
    truth: str
    kind: str
    source: str


def held_out_passages(tokens: Tokens, count: int) -> list[Passage]:
    """The beginnings of up to `count` different held-out documents, each followed by at least as much text; always the
    same ones for the same tokens. Text by people comes before generated text."""
    tokenizer = load_tokenizer(tokens.tokenizer_dir)
    passages = (_passage(tokens, tokenizer, row) for row in _rows(tokens))
    return list(islice(filter(None, passages), count))


def _rows(tokens: Tokens) -> Iterator[dict[str, Any]]:
    """Held-out documents that are long enough, in stream order, which follows from the hashes of their ids."""
    rows = tokens.split("validation").documents.to_pylist()
    for kinds in (set(KINDS) - GENERATED, GENERATED):
        yield from (row for row in rows if row["kind"] in kinds and row["length"] > SHOWN + HIDDEN)


def _passage(tokens: Tokens, tokenizer: "Tokenizer", row: dict[str, Any]) -> Passage | None:
    ids = tokens.split("validation").read(row["start"], SHOWN + HIDDEN).tolist()
    text = tokenizer.decode(ids).rstrip(BROKEN)
    prompt = tokenizer.decode(ids[:SHOWN]).rstrip(BROKEN)
    if not text.startswith(prompt):  # the decoded text of some tokenizers depends on later tokens
        return None
    prompt = whole_words(prompt, text[len(prompt) :])
    truth = text[len(prompt) :]
    return Passage(prompt, truth, row["kind"], row["source"]) if prompt.strip() and truth.strip() else None


def whole_words(text: str, following: str) -> str:
    """`text` without the word that continues in `following`, if spaces separate words."""
    if not (text[-1:].isalnum() and following[:1].isalnum()):
        return text.rstrip(" ")  # a token begins with its space
    return re.sub(r"\S+$", "", text).rstrip(" ") or text
