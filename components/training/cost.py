"""The cost of a training run after a number of steps."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Tokens and FLOPs as a function of the step.

    Attributes:
        batch_tokens: tokens per optimizer step.
        flops_per_token: FLOPs of the model per token, forward and backward.
        teacher_flops_per_token: FLOPs of a teacher's forward pass per token.
        taught_steps: number of steps at the beginning that use the teacher.
    """

    batch_tokens: int
    flops_per_token: int
    teacher_flops_per_token: int = 0
    taught_steps: int = 0

    def tokens(self, step: int) -> int:
        return step * self.batch_tokens

    def flops(self, step: int) -> int:
        """All FLOPs, the teacher's included."""
        teacher = min(step, self.taught_steps) * self.teacher_flops_per_token
        return self.batch_tokens * (step * self.flops_per_token + teacher)
