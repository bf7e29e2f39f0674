"""Text from a checkpoint: prompts in, pieces of text out as they are generated.

Bytes of a character that is not complete yet are held back, and so is the beginning of what may become a stop string.
Weights come from safetensors only, and no code of a checkpoint is ever run; its chat template is rendered in a sandbox
(template.py).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

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
        sampling: how each is chosen; greedy by default.
        stop: the answer ends before the first of these strings.
    """

    max_tokens: int = 128
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises StepError for an impossible value."""
        if self.max_tokens < 1:
            raise StepError(f"max_tokens is {self.max_tokens}; expected at least 1")
        if "" in self.stop:
            raise StepError("a stop string is empty; expected at least one character, or leave it out")


class Answer:
    """The continuation of one prompt, generated while it is iterated over.

    Attributes:
        text: the text so far.
        tokens: number of generated tokens.
        forgotten: tokens of the prompt's beginning (and then of the answer's) that the model no longer saw at the end,
            since prompt and answer are longer than its positions.
    """

    def __init__(self, model: "TextModel", prompt: str, wish: Wish) -> None:
        self.text, self.tokens = "", 0
        self._model, self._wish, self._ids = model, wish, model.encode(prompt)

    @property
    def forgotten(self) -> int:
        seen = len(self._ids) + max(0, self.tokens - 1)  # the last token was written, not read
        return max(0, seen - self._model.positions)

    def __iter__(self) -> Iterator[str]:
        for piece in until_stop(self._pieces(), self._wish.stop):
            self.text += piece
            yield piece

    def _pieces(self) -> Iterator[str]:
        from tokenizers.decoders import DecodeStream

        tokenizer, ends = self._model.tokenizer, self._model.end_tokens
        # It knows the prompt's last tokens, since some tokenizers write a blank between two words and none before the first.
        decoder = DecodeStream(ids=self._ids, skip_special_tokens=True)
        wish, prompt = self._wish, torch.tensor([self._ids])
        for token in stream(self._model.phi, prompt, wish.max_tokens, wish.sampling, end_tokens=ends):
            self.tokens += 1
            if int(token) in ends:
                return
            if piece := decoder.step(tokenizer, int(token)):
                yield piece


@dataclass(frozen=True)
class TextModel:
    """A checkpoint that continues text.

    Attributes:
        folder: where it lies.
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
            StepError: it is not a Phi with its tokenizer, or a file of it is damaged.
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
        """Tokens of a prompt; of an empty one the end-of-text token, after which texts begin in training."""
        try:
            prompt.encode()  # what cannot be encoded came from bytes that are not UTF-8
        except UnicodeEncodeError:
            raise StepError("the prompt holds bytes that are not UTF-8; convert it to UTF-8") from None
        return self.tokenizer.encode(prompt, add_special_tokens=False).ids or [self.phi.config.eos_token_id]

    def answer(self, prompt: str, wish: Wish) -> Answer:
        """The continuation of a prompt; iterate over it to generate it."""
        return Answer(self, prompt, wish)

    def complete(self, prompt: str, wish: Wish) -> str:
        """The whole continuation of a prompt."""
        return "".join(self.answer(prompt, wish))


def until_stop(pieces: Iterable[str], stops: tuple[str, ...]) -> Iterator[str]:
    """Pieces of a text up to the first completed stop string, however the text is cut into pieces."""
    held = ""
    for piece in pieces:
        for character in piece:
            held += character
            if found := [stop for stop in stops if held.endswith(stop)]:
                if before := held[: -max(map(len, found))]:
                    yield before
                return
        safe = len(held) - _begun(held, stops)
        if safe:
            yield held[:safe]
        held = held[safe:]
    if held:
        yield held


def _begun(text: str, stops: tuple[str, ...]) -> int:
    """Characters at the end of a text that may become a stop string."""
    return max((n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)
