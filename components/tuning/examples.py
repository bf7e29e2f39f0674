"""Rows as tokens: rendered by the chat template, with the tokens of the answers marked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from components.errors import StepError
from components.foreign.templates import render_chat
from components.phi import checkpoint
from components.phi.model import IGNORE
from components.phi.template import QUESTIONS, read_template, special_tokens
from components.tuning.rows import Messages, Part, Row

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOGETHER = 1_000  # texts that are encoded at once
Piece = tuple[str, bool]  # text, and whether it is learned


@dataclass(frozen=True)
class Example:
    """One row as tokens.

    Attributes:
        where: file and line.
        tokens: of each side, int64 (T,): one for an answer, two for a chosen and a rejected one.
        targets: the token after each, IGNORE where it is not of an answer.
    """

    where: str
    tokens: tuple[np.ndarray, ...]
    targets: tuple[np.ndarray, ...]

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(map(len, self.tokens))


@dataclass(frozen=True)
class Writer:
    """Turns rows into tokens for a checkpoint.

    Attributes:
        tokenizer: that of the checkpoint.
        end: the end-of-text token.
        template: the checkpoint's chat template, or QUESTIONS.
        special: special tokens by role, for the template.
        plain: prompts given as text are not rendered.
    """

    tokenizer: "Tokenizer"
    end: int
    template: str
    special: dict[str, str]
    plain: bool

    @classmethod
    def open(cls, folder: Path, plain: bool) -> "Writer":
        """For a checkpoint.

        Raises:
            StepError: it has no tokenizer, or one that doesn't fit.
        """
        config, tokenizer = checkpoint.read_config(folder), checkpoint.load_tokenizer(folder)
        checkpoint.check_tokenizer(config, tokenizer, folder)
        end = tokenizer.id_to_token(config.eos_token_id)
        if end is None:
            raise StepError(f"{folder}: the tokenizer lacks the end-of-text token {config.eos_token_id}; copy it again")
        special = {"eos_token": end} | special_tokens(folder)
        return cls(tokenizer, config.eos_token_id, read_template(folder) or QUESTIONS, special, plain)

    def examples(self, rows: Iterable[Row]) -> list[Example]:
        """All rows as tokens.

        Raises:
            StepError: a row has the text of a special token, or the template refuses it.
        """
        written = [(row.where, [self._pieces(row, answer) for answer in row.answers]) for row in rows]
        texts = [text for _, sides in written for pieces in sides for text, _ in pieces]
        encoded = chain.from_iterable(
            self.tokenizer.encode_batch(texts[i : i + TOGETHER], add_special_tokens=False)
            for i in range(0, len(texts), TOGETHER)
        )
        found = []
        for where, sides in written:
            pairs = [_side([(next(encoded).ids, learned) for _, learned in pieces]) for pieces in sides]
            found.append(Example(where, tuple(tokens for tokens, _ in pairs), tuple(targets for _, targets in pairs)))
        return found

    def _pieces(self, row: Row, answer: Part) -> list[Piece]:
        self._check(row.where, *([answer] if row.prompt is None else [row.prompt, answer]))
        if isinstance(answer, str) and isinstance(row.prompt, str):
            if self.plain:
                return [(row.prompt, False), (answer + self.special["eos_token"], True)]
            prompt: Messages = [{"role": "user", "content": row.prompt}]
            return self._conversation(row.where, [*prompt, {"role": "assistant", "content": answer}], len(prompt))
        given = row.prompt if isinstance(row.prompt, list) else []
        assert isinstance(answer, list)  # the rows are checked
        return self._conversation(row.where, [*given, *answer], len(given))

    def _conversation(self, where: str, messages: Messages, given: int) -> list[Piece]:
        """The rendered conversation; the assistant's messages after the first `given` are learned."""
        pieces: list[Piece] = []
        done = ""
        for place, message in enumerate(messages):
            if message["role"] != "assistant" or place < given:
                continue
            asked = self._render(where, messages[:place], False)
            answered = self._render(where, messages[: place + 1], True)
            if not (asked.startswith(done) and answered.startswith(asked)):
                raise StepError(
                    f"{where}: the chat template changes earlier text when an answer follows, so the answer's place is unknown; "
                    "use another template, or prompt and completion as text with tuning.template plain"
                )
            pieces += [(asked[len(done) :], False), (answered[len(asked) :], True)]
            done = answered
        return [piece for piece in pieces if piece[0]]

    def _render(self, where: str, messages: Sequence[dict[str, str]], answered: bool) -> str:
        from jinja2 import TemplateError

        try:
            return render_chat(self.template, messages, self.special, answered)
        except (TemplateError, StepError) as error:
            raise StepError(
                f"{where}: the chat template refuses the row: {str(error)[:300]}; correct one of them"
            ) from error

    def _check(self, where: str, *parts: Part) -> None:
        texts = [part if isinstance(part, str) else "\n".join(m["content"] for m in part) for part in parts]
        for token in self.tokenizer.get_added_tokens_decoder().values():
            if token.special and any(token.content in text for text in texts):
                raise StepError(
                    f"{where}: contains {token.content!r}, a special token; expected plain text, since the template adds such "
                    "tokens; remove it"
                )


def _side(pieces: list[tuple[list[int], bool]]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and targets of a side. Each piece is encoded alone, as a prompt is when it is asked."""
    ids = np.array([token for some, _ in pieces for token in some], dtype=np.int64)
    learned = np.array([flag for some, flag in pieces for _ in some], dtype=bool)
    return ids[:-1], np.where(learned[1:], ids[1:], IGNORE)


def separate(examples: Sequence[Example], length: int) -> tuple[list[Example], list[Example]]:
    """Examples that fit into a sequence of this length, and those that don't."""
    return (
        [one for one in examples if max(one.lengths) <= length],
        [one for one in examples if max(one.lengths) > length],
    )


def hold_out(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Examples for training, at least one, and held-out ones, drawn by the seed."""
    count = min(len(examples) - 1, max(1, round(len(examples) * share))) if share else 0
    chosen = set(np.random.default_rng(seed).permutation(len(examples))[:count].tolist())
    return (
        [one for i, one in enumerate(examples) if i not in chosen],
        [one for i, one in enumerate(examples) if i in chosen],
    )
