"""Generates text with a checkpoint and yields it in pieces.

Bytes of an incomplete character are kept until it is complete, and so is text that may become a stop string. Weights come
only from safetensors, and code of a checkpoint is never run; its chat template is rendered in a sandbox (template.py).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from components.errors import StepError
from components.phi import checkpoint
from components.phi.generation import Sampling, stream
from components.phi.model import Phi

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Wish:
    """Settings of a continuation.

    Attributes:
        max_tokens: maximum tokens of the answer.
        sampling: how each token is chosen; greedy by default.
        stop: strings that end the answer, without being part of it.
        alternatives: how many of the likeliest tokens each step remembers; 0 = no steps are remembered.
    """

    max_tokens: int = 128
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    alternatives: int = 0

    def __post_init__(self) -> None:
        """Raises StepError for an impossible value."""
        if self.max_tokens < 1:
            raise StepError(f"max_tokens is {self.max_tokens}; expected at least 1")
        if "" in self.stop:
            raise StepError("a stop string is empty; expected at least one character, or leave it out")


@dataclass
class Step:
    """A generated token.

    Attributes:
        text: what it adds to the text; empty for the first bytes of a character, which the last one adds.
        probability: the model's own, at temperature 1.
        likeliest: the likeliest tokens in its place, as text with probability, in descending order.
    """

    text: str
    probability: float
    likeliest: list[tuple[str, float]]


class Answer:
    """The continuation of one prompt, generated while it is iterated over.

    Attributes:
        text: the text so far.
        steps: the tokens so far, with `Wish.alternatives`; a stop string may cut their text.
        tokens: number of generated tokens.
        forgotten: tokens at the beginning that the model no longer saw at the end, since prompt and answer are longer
            than its positions.
    """

    def __init__(self, model: "TextModel", prompt: str, wish: Wish) -> None:
        self.text, self.tokens = "", 0
        self.steps: list[Step] = []
        self._model, self._wish, self._ids = model, wish, model.encode(prompt)

    @property
    def forgotten(self) -> int:
        read = len(self._ids) + max(0, self.tokens - 1)  # the model did not read the last token
        return max(0, read - self._model.positions)

    def __iter__(self) -> Iterator[str]:
        for piece in until_stop(self._pieces(), self._wish.stop):
            self.text += piece
            yield piece

    def _pieces(self) -> Iterator[str]:
        from tokenizers.decoders import DecodeStream

        tokenizer, ends = self._model.tokenizer, self._model.end_tokens
        # It needs the prompt's tokens, since some tokenizers write a blank between two words but not before the first.
        decoder = DecodeStream(ids=self._ids, skip_special_tokens=True)
        wish, prompt = self._wish, torch.tensor([self._ids])
        logits = torch.empty(0)

        def look(logits_BV: Tensor) -> None:
            nonlocal logits
            logits = logits_BV[0]

        for token in stream(self._model.phi, prompt, wish.max_tokens, wish.sampling, end_tokens=ends, seen=look):
            self.tokens += 1
            if int(token) in ends:
                return
            piece = decoder.step(tokenizer, int(token)) or ""
            if wish.alternatives:
                self.steps.append(self._step(piece, int(token), logits))
            if piece:
                yield piece

    def _step(self, piece: str, token: int, logits_V: Tensor) -> Step:
        probabilities = logits_V.float().softmax(-1)
        likeliest = probabilities.topk(min(self._wish.alternatives, len(probabilities)))
        texts = (self._model.tokenizer.decode([int(number)], skip_special_tokens=False) for number in likeliest.indices)
        named = list(zip(texts, map(float, likeliest.values), strict=True))
        return Step(piece, float(probabilities[token]), named)


@dataclass(frozen=True)
class TextModel:
    """A checkpoint that continues text.

    Attributes:
        folder: the checkpoint's folder.
        end_tokens: tokens that end an answer.
    """

    folder: Path
    phi: Phi
    tokenizer: "Tokenizer"
    end_tokens: tuple[int, ...]

    @classmethod
    def load(cls, folder: Path) -> "TextModel":
        """Read a checkpoint.

        Raises:
            StepError: the folder is not a Phi with its tokenizer, or a file is damaged.
        """
        config = checkpoint.read_config(folder)
        tokenizer = checkpoint.load_tokenizer(folder)
        checkpoint.check_tokenizer(config, tokenizer, folder)
        return cls(folder, checkpoint.load(folder), tokenizer, checkpoint.read_end_tokens(folder, config))

    @property
    def positions(self) -> int:
        """Tokens that the model can see at once."""
        return self.phi.config.max_position_embeddings

    def encode(self, prompt: str) -> list[int]:
        """The tokens of a prompt; for an empty prompt the end-of-text token, which precedes every text in training."""
        try:
            prompt.encode()  # fails for text that was decoded from bytes that are not UTF-8
        except UnicodeEncodeError:
            raise StepError("the prompt has bytes that are not UTF-8; convert it to UTF-8") from None
        return self.tokenizer.encode(prompt, add_special_tokens=False).ids or [self.phi.config.eos_token_id]

    def answer(self, prompt: str, wish: Wish) -> Answer:
        """The continuation of a prompt; iterate over it to generate it."""
        return Answer(self, prompt, wish)

    def complete(self, prompt: str, wish: Wish) -> str:
        """The whole continuation of a prompt."""
        return "".join(self.answer(prompt, wish))


def until_stop(pieces: Iterable[str], stops: tuple[str, ...]) -> Iterator[str]:
    """Pieces of a text up to the first complete stop string, wherever the borders of the pieces are."""
    kept = ""
    for piece in pieces:
        for character in piece:
            kept += character
            if ended := [stop for stop in stops if kept.endswith(stop)]:
                if before := kept[: -max(map(len, ended))]:
                    yield before
                return
        safe = len(kept) - _possible_stop(kept, stops)
        if safe:
            yield kept[:safe]
        kept = kept[safe:]
    if kept:
        yield kept


def _possible_stop(text: str, stops: tuple[str, ...]) -> int:
    """The number of characters at the end of a text that may become a stop string."""
    return max((n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)
