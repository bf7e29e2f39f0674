"""Knowledge distillation: at the beginning, training follows a smaller trained model as well as the text."""

import math
from pathlib import Path

from components.errors import StepError
from components.params import TrainingParams
from components.phi import checkpoint
from components.phi.model import Phi


def teacher_weight(step: int, steps: int, settings: TrainingParams) -> float:
    """Weight of the divergence from the teacher at a step (the first step is 0): falls linearly from
    `distillation_weight` to 0 over `distillation_fraction` of the steps."""
    falling = settings.distillation_fraction * steps
    return settings.distillation_weight * max(0.0, 1.0 - step / falling)


def taught_steps(steps: int, settings: TrainingParams) -> int:
    """The number of steps at the beginning that use the teacher."""
    return math.ceil(settings.distillation_fraction * steps) if settings.distillation_weight else 0


def read_teacher(directory: Path | None, model: Phi, settings: TrainingParams) -> Phi | None:
    """The teacher, without gradients; None if the settings do not ask for one.

    Raises:
        StepError: settings and command disagree, or the teacher has another vocabulary or fewer positions.
    """
    if directory is not None and not settings.distillation_weight:
        raise StepError(
            f"--teacher {directory} is given, but training.distillation_weight is 0, so nothing would be learned from it; set "
            "the weight, for instance to 0.5, or leave out --teacher"
        )
    if not settings.distillation_weight:
        return None
    if directory is None:
        raise StepError(
            "training.distillation_weight needs a teacher; name its checkpoint with --teacher or set it to 0"
        )
    teacher = checkpoint.load(directory, model.dtype).requires_grad_(False)
    for key in ("vocab_size", "max_position_embeddings"):
        theirs, ours = getattr(teacher.config, key), getattr(model.config, key)
        if theirs < ours or (key == "vocab_size" and theirs != ours):
            raise StepError(
                f"--teacher {directory} has {key} {theirs:,}, the model has {ours:,}; expected "
                f"{'the same' if key == 'vocab_size' else 'at least as many'}; name another teacher"
            )
    return teacher


def forward_flops(teacher: Phi | None) -> int:
    """FLOPs per token of the teacher: a forward pass is a third of a training step (PaLM, appendix B)."""
    return 0 if teacher is None else teacher.config.flops_per_token() // 3
