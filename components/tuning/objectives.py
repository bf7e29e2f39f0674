"""The objectives of fine-tuning, on packed answers.

- sft: mean cross-entropy of the answers' tokens.
- dpo: prefers the chosen to the rejected answer (Rafailov et al., arXiv 2305.18290, equation 7).
- npo: lowers the probability of answers to forget, less and less the lower it is (Zhang et al., arXiv 2404.05868, equation 3).
- gradient_difference: raises the loss of answers to forget without bound (Liu et al., arXiv 2203.12817).

Both ways to unlearn add the cross-entropy of the answers to retain, if there are any.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from components.params import TuningParams
from components.phi.model import IGNORE, HeadCrossEntropy, Phi
from components.tuning.packing import Texts

SFT, DPO, NPO, GRADIENT_DIFFERENCE = "sft", "dpo", "npo", "gradient_difference"
UNLEARNING, WITH_REFERENCE = (NPO, GRADIENT_DIFFERENCE), (DPO, NPO)
Objective = Callable[[Phi, Texts], Tensor]


def objective_of(settings: TuningParams) -> Objective:
    """The loss of a micro-batch by the parameters."""
    beta, retain = settings.preference_beta, settings.retain_weight
    return {
        SFT: answer_loss,
        DPO: lambda model, batch: dpo(model, batch, beta),
        NPO: lambda model, batch: npo(model, batch, beta, retain),
        GRADIENT_DIFFERENCE: lambda model, batch: gradient_difference(model, batch, retain),
    }[settings.objective]


def answer_loss(model: Phi, batch: Texts) -> Tensor:
    """Mean cross-entropy of the answers' tokens, in nats. Only their logits are computed."""
    learned = batch.targets != IGNORE
    hidden_ND = model.hidden(batch.tokens, batch.documents)[learned]
    head = model.head
    return HeadCrossEntropy.apply(
        hidden_ND, head.weight, head.bias, batch.targets[learned], torch.is_grad_enabled(), 0.0, None, None
    )


def token_log_probs(model: Phi, batch: Texts) -> tuple[Tensor, Tensor]:
    """Log-probability of each token of the answers, and the number of its answer; both (N,)."""
    assert batch.documents is not None
    learned = batch.targets != IGNORE
    logits_NV = model.head(model.hidden(batch.tokens, batch.documents)[learned])
    wide = torch.float64 if logits_NV.dtype == torch.float64 else torch.float32
    return -F.cross_entropy(logits_NV.to(wide), batch.targets[learned], reduction="none"), batch.documents[learned]


def log_probs(model: Phi, batch: Texts) -> Tensor:
    """Log-probability of each answer, (count,)."""
    values, answers = token_log_probs(model, batch)
    return values.new_zeros(batch.count).index_add(0, answers, values)


def margins(model: Phi, batch: Texts) -> Tensor:
    """How much more than at the start each chosen answer is preferred to the rejected one, in nats; (pairs,)."""
    assert batch.reference is not None
    chosen, rejected = (log_probs(model, batch) - batch.reference).view(-1, 2).unbind(1)
    return chosen - rejected


def dpo(model: Phi, batch: Texts, beta: float) -> Tensor:
    return -F.logsigmoid(beta * margins(model, batch)).mean()


def npo(model: Phi, batch: Texts, beta: float, retain: float) -> Tensor:
    assert batch.reference is not None
    values, answers = token_log_probs(model, batch)
    forget = _to_forget(batch)
    ratio = (values.new_zeros(batch.count).index_add(0, answers, values) - batch.reference)[forget]
    return -2 / beta * F.logsigmoid(-beta * ratio).mean() + _retained(values, answers, forget, retain)


def gradient_difference(model: Phi, batch: Texts, retain: float) -> Tensor:
    values, answers = token_log_probs(model, batch)
    forget = _to_forget(batch)
    return values[forget[answers]].mean() + _retained(values, answers, forget, retain)


def _to_forget(batch: Texts) -> Tensor:
    if batch.kept is None:
        return torch.ones(batch.count, dtype=torch.bool, device=batch.tokens.device)
    return ~batch.kept


def _retained(values: Tensor, answers: Tensor, forget: Tensor, weight: float) -> Tensor | float:
    """Weighted cross-entropy of the answers to retain; 0 if there are none."""
    if forget.all():
        return 0.0
    return -weight * values[~forget[answers]].mean()


@torch.no_grad()
def reference_log_probs(model: Phi, batches: list[Texts], order: list[list[int]], examples: int, sides: int) -> Tensor:
    """Log-probabilities of all answers under the model, float32 (examples, sides), on the CPU.

    Args:
        batches: micro-batches, on the model's device.
        order: numbers of the examples in each.
    """
    found = torch.zeros(examples, sides)
    for batch, numbers in zip(batches, order, strict=True):
        found[numbers] = log_probs(model, batch).float().cpu().view(-1, sides)
    return found
