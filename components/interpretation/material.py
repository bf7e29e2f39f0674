"""What a model is opened with: held-out text to fit and to measure, and questions of the exam."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from components.errors import StepError
from components.inside.questions import Question, answers, log_probabilities, read_questions
from components.params import InterpretationParams
from components.phi.checkpoint import check_tokenizer, load_tokenizer
from components.phi.model import Phi
from components.tokens import Tokens

TOKENS = 2048  # of one forward pass
SHORTEST = 8  # tokens of a sequence
FITTED = 2  # sequences to fit maps on for each that is measured


@dataclass(frozen=True)
class Text:
    """Sequences of held-out tokens, each with the token that follows its last, int64 (n, T + 1)."""

    rows: Tensor

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Tokens and their targets, each (B, T)."""
        for rows in self.rows.split(max(1, TOKENS // self.rows.shape[1])):
            yield rows[:, :-1], rows[:, 1:]


@dataclass(frozen=True)
class Material:
    """What is measured on.

    Attributes:
        fit: text that maps are fitted on.
        test: other text, to measure on.
        questions: of the exam, in the order of their families.
    """

    fit: Text
    test: Text
    questions: list[Question]

    @property
    def families(self) -> np.ndarray:
        """The family of each question."""
        return np.array([question.family for question in self.questions])

    def answer(self, model: Phi) -> tuple[np.ndarray, np.ndarray]:
        """Bits per byte and probability of the right answer, of each question."""
        return answers(self.questions, log_probabilities(model, self.questions))


def read_material(
    model: Phi, checkpoint: Path, tokens: Path, scores: Path, settings: InterpretationParams, device: torch.device
) -> Material:
    """Held-out text and questions for a model.

    Raises:
        StepError: the tokens were made for another vocabulary, there is too little text, or an input cannot be read.
    """
    tokenizer = load_tokenizer(checkpoint)
    check_tokenizer(model.config, tokenizer, checkpoint)
    corpus = Tokens.open(tokens)
    if corpus.manifest.vocab_size != model.config.vocab_size:
        raise StepError(
            f"{tokens} has a vocabulary of {corpus.manifest.vocab_size:,}, {checkpoint} one of {model.config.vocab_size:,}; "
            "name the tokens that the model was trained on"
        )
    split = corpus.split("validation")
    parts = FITTED + 1
    length = min(model.config.max_position_embeddings, (len(split) - 1) // parts)
    if length < SHORTEST:
        raise StepError(
            f"{tokens} has {len(split)} held-out tokens, too few to measure on; raise tokenization.validation_kilobytes"
        )
    numbers = split.spread(length, max(parts * settings.held_out_tokens, parts * length))
    rows = torch.from_numpy(np.stack([split.read(int(number) * length, length + 1) for number in numbers])).to(device)
    measured = torch.arange(len(rows)) % parts == 0
    questions = read_questions(scores, tokenizer, settings.questions)
    return Material(Text(rows[~measured]), Text(rows[measured]), questions)


def nats(model: Phi, hidden_BTD: Tensor, targets_BT: Tensor) -> np.ndarray:
    """Mean cross-entropy of each sequence, float64 (B,)."""
    logits = model.head(hidden_BTD).float()
    losses = F.cross_entropy(logits.flatten(0, 1), targets_BT.flatten(), reduction="none")
    return losses.view_as(targets_BT).double().mean(-1).cpu().numpy()
