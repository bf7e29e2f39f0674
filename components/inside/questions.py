"""Questions of an exam with what a model, some of whose parts may be off, makes of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from components.errors import StepError
from components.files import read_json
from components.phi.model import Phi
from components.results.statistics import bits_per_byte

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BATCH = 64  # rows of one forward pass


@dataclass(frozen=True)
class Question:
    """A multiple-choice question, ready for a model.

    Attributes:
        family: the exam's task.
        id: hash of its content.
        prompt: what the model reads.
        choices: answers to choose from, as text.
        answer: index of the right one.
        tokens: for each choice, the prompt's and its own tokens.
        context: number of the prompt's tokens.
    """

    family: str
    id: str
    prompt: str
    choices: tuple[str, ...]
    answer: int
    tokens: tuple[tuple[int, ...], ...]
    context: int


def read_questions(scores: Path, tokenizer: "Tokenizer", per_family: int | None = None) -> list[Question]:
    """The exam's questions, as the benchmark asked them, the first `per_family` of each family.

    Args:
        scores: a scores folder of the exam: scores.json and examples.parquet.

    Raises:
        StepError: the folder is not one of an exam, or a file cannot be read.
    """
    about = read_json(scores / "scores.json", "expected scores of components.benchmarking")
    prompt = about.get("prompt")
    if not isinstance(prompt, str) or "{{question}}" not in prompt:
        raise StepError(f"{scores}: the scores are not of an exam; score the checkpoint with --suite exam")
    try:
        columns = ["task", "id", "question", "choices", "answer"]
        rows = pq.read_table(scores / "examples.parquet", columns=columns).to_pylist()
    except (OSError, ValueError, KeyError) as error:
        raise StepError(f"{scores / 'examples.parquet'} cannot be read: {error}; score the exam again") from error
    return [
        _question(row, prompt, tokenizer)
        for _, family in groupby(rows, key=lambda row: row["task"])
        for row in list(family)[:per_family]
    ]


def _question(row: Mapping[str, Any], prompt: str, tokenizer: "Tokenizer") -> Question:
    text = prompt.replace("{{question}}", row["question"])
    context = tokenizer.encode(text).ids
    whole = tokenizer.encode_batch([f"{text} {choice}" for choice in row["choices"]])
    tokens = tuple(tuple(encoding.ids) for encoding in whole)
    return Question(row["task"], row["id"], text, tuple(row["choices"]), row["answer"], tokens, len(context))


def log_probabilities(model: Phi, questions: Sequence[Question], size: int = BATCH) -> list[list[float]]:
    """Log-probability in nats of each choice of each question, given its prompt; `size` as for `batches_of`."""
    found: dict[int, list[float]] = {}
    with torch.no_grad():
        for batch in batches_of(questions, model, size):
            found |= zip(batch.numbers, batch.scores(model.hidden(batch.tokens), model), strict=True)
    return [found[number] for number in range(len(questions))]


def answers(
    questions: Sequence[Question], log_probabilities: Sequence[Sequence[float]]
) -> tuple[np.ndarray, np.ndarray]:
    """For each question: bits per byte of the right answer, and its probability among the choices; float64 each."""
    right = [row[question.answer] for question, row in zip(questions, log_probabilities, strict=True)]
    totals = [np.logaddexp.reduce(row) for row in log_probabilities]
    bits = bits_per_byte(right, [question.choices[question.answer] for question in questions])
    return bits, np.exp(np.array(right) - np.array(totals))


@dataclass(frozen=True)
class QuestionBatch:
    """Distinct inputs of some questions, padded on the right, and where each choice's tokens are predicted.

    Attributes:
        numbers: of the questions, as they were given.
        tokens: int64 (B, T).
        choices: for each question and choice: its row, first position, and tokens to predict.
    """

    numbers: tuple[int, ...]
    tokens: Tensor
    choices: tuple[tuple[tuple[int, int, tuple[int, ...]], ...], ...]

    def scores(self, hidden_BTD: Tensor, model: Phi) -> list[list[float]]:
        """Log-probability of each choice, from the final hidden states."""
        parts = [part for question in self.choices for part in question]
        rows = torch.tensor([row for row, _, ids in parts for _ in ids])
        places = torch.tensor([first + i for _, first, ids in parts for i in range(len(ids))])
        targets = torch.tensor([token for _, _, ids in parts for token in ids])
        distinct, index = torch.unique(torch.stack((rows, places)), dim=1, return_inverse=True)
        logits = (
            model.head(hidden_BTD[distinct[0].to(hidden_BTD.device), distinct[1].to(hidden_BTD.device)]).float().cpu()
        )
        chosen = logits[index, targets] - logits.logsumexp(-1)[index]
        owner = torch.tensor([number for number, (_, _, ids) in enumerate(parts) for _ in ids])
        sums = torch.zeros(len(parts)).index_add_(0, owner, chosen).tolist()
        found = iter(sums)
        return [[next(found) for _ in question] for question in self.choices]


def batches_of(questions: Sequence[Question], model: Phi, size: int = BATCH) -> Iterator[QuestionBatch]:
    """Batches of about `size` distinct inputs for a model, those of similar length together.

    An input that is longer than the model's positions is cut on the left, as the benchmark does.
    """
    waiting: list[int] = []
    inputs = 0
    for number in sorted(range(len(questions)), key=lambda n: max(map(len, questions[n].tokens))):
        waiting.append(number)
        inputs += len({ids[:-1] for ids in questions[number].tokens})
        if inputs >= size:
            yield _batch(questions, waiting, model)
            waiting, inputs = [], 0
    if waiting:
        yield _batch(questions, waiting, model)


def _batch(questions: Sequence[Question], numbers: list[int], model: Phi) -> QuestionBatch:
    rows: dict[tuple[int, ...], int] = {}
    kept = model.config.max_position_embeddings + 1  # the last token is predicted only

    def place(ids: tuple[int, ...], context: int) -> tuple[int, int, tuple[int, ...]]:
        row = ids[-kept:][:-1]
        return rows.setdefault(row, len(rows)), len(row) - (len(ids) - context), ids[context:]

    choices = tuple(tuple(place(ids, questions[n].context) for ids in questions[n].tokens) for n in numbers)
    tokens = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
    for ids, row in rows.items():
        tokens[row, : len(ids)] = torch.tensor(ids)
    return QuestionBatch(tuple(numbers), tokens.to(model.embed.weight.device), choices)
