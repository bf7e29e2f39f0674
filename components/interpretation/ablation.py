"""What each block and head does: how held-out loss and answers change when it alone is off.

A part is judged by what the others cannot make good at once. Parts that stand in for one another look idle, so changes do
not add up to the whole.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from components.inside.looking import Recorded, continued, record
from components.inside.questions import answers, batches_of
from components.inside.switches import Switches, switched_off
from components.interpretation.material import Material, nats
from components.phi.model import Phi
from components.results.statistics import Estimate, macro, mean
from components.running.progress import Progress


@dataclass(frozen=True)
class Part:
    """A block, or a head of it."""

    block: int
    head: int | None = None

    def final(self, model: Phi, recorded: Recorded) -> torch.Tensor:
        """The final hidden states without this part."""
        if self.head is None:
            return continued(model, recorded, self.block + 1, recorded.streams[self.block])
        with switched_off(model, Switches(heads=frozenset({(self.block, self.head)}))):
            return continued(model, recorded, self.block)


@torch.no_grad()
def ablate(model: Phi, material: Material, heads: bool, inserted: Collection[int] = ()) -> dict[str, Any]:
    """The whole model's figures, and their changes without each block and, if `heads`, without each head.

    Args:
        inserted: numbers of the blocks that growth inserted.

    Returns:
        `loss` in nats per token; `exam`, the mean probability of the right answer among a question's choices, where
        families have equal weight; and `parts`, each with the changes of both.
    """
    shape = model.config
    parts = [Part(block) for block in range(shape.num_hidden_layers)]
    if heads:
        parts += [Part(block, head) for block in range(len(parts)) for head in range(shape.num_attention_heads)]
    loss, losses = _losses(model, material, parts)
    right, rights = _rights(model, material, parts)
    whole = _over_families(right, material.families)
    return {
        "loss": float(loss.mean()),
        "exam": whole.value,
        "exam_stderr": whole.stderr,
        "parts": [
            _record(part, mean(there - loss), answered - right, material.families)
            | ({"inserted": part.block in inserted} if inserted else {})
            for part, there, answered in zip(parts, losses, rights, strict=True)
        ],
    }


def _losses(model: Phi, material: Material, parts: list[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Nats per token of each sequence, (n,), and without each part, (parts, n)."""
    found = []
    batches = list(material.test.batches())
    progress = Progress(len(batches))
    for number, (tokens, targets) in enumerate(batches, 1):
        recorded = record(model, tokens)
        finals = [model.final_norm(recorded.streams[-1]), *(part.final(model, recorded) for part in parts)]
        found.append(np.stack([nats(model, final, targets) for final in finals]))
        progress.update(number)
    both = np.concatenate(found, axis=1)
    return both[0], both[1:]


def _rights(model: Phi, material: Material, parts: list[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Probability of the right answer of each question, (n,), and without each part, (parts, n)."""
    found = np.empty((len(parts) + 1, len(material.questions)))
    batches = list(batches_of(material.questions, model))
    progress = Progress(len(batches))
    for number, batch in enumerate(batches, 1):
        recorded = record(model, batch.tokens)
        questions = [material.questions[n] for n in batch.numbers]
        finals = [model.final_norm(recorded.streams[-1]), *(part.final(model, recorded) for part in parts)]
        for row, final in enumerate(finals):
            found[row, list(batch.numbers)] = answers(questions, batch.scores(final, model))[1]
        progress.update(number)
    return found[0], found[1:]


def _record(part: Part, loss: Estimate, changes: np.ndarray, families: np.ndarray) -> dict[str, Any]:
    exam = _over_families(changes, families)
    return {
        "block": part.block,
        "head": part.head,
        "loss": loss.value,
        "loss_stderr": loss.stderr,
        "exam": exam.value,
        "exam_stderr": exam.stderr,
        "families": {str(family): float(changes[families == family].mean()) for family in np.unique(families)},
    }


def _over_families(values: np.ndarray, families: np.ndarray) -> Estimate:
    return macro([mean(values[families == family]) for family in np.unique(families)])
