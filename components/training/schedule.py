"""The learning rate as a pure function of the step: warm-up, then stable and decay (WSD; MiniCPM, arXiv 2404.06395), or
cosine (SGDR without restarts, arXiv 1608.03983)."""

import math

from components.params import TrainingParams


def learning_rate_factor(step: int, steps: int, settings: TrainingParams) -> float:
    """Share of the peak learning rate at a step.

    It rises linearly over the first `warmup_fraction` of the steps, and is `final_lr_fraction` at the last (1 for `wsd`
    without decay). In between, `wsd` stays at 1 and falls linearly over the last `decay_fraction`; `cosine` falls along
    half a cosine from the end of the warm-up.

    Args:
        step: number of the optimizer step, from 0 to steps - 1; a later one counts as the last.
        steps: optimizer steps of the whole run.
    """
    step = min(step, steps - 1)
    warmup = round(settings.warmup_fraction * steps)
    decay = steps - warmup if settings.schedule == "cosine" else round(settings.decay_fraction * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if step < steps - decay:
        return 1.0
    fallen = (step - (steps - decay) + 1) / decay
    if settings.schedule == "cosine":
        fallen = (1 - math.cos(math.pi * fallen)) / 2
    return 1.0 + fallen * (settings.final_lr_fraction - 1.0)


def validation_steps(steps: int, validations: int) -> list[int]:
    """The steps after which the held-out loss is measured: 0, then `validations` evenly spaced ones up to `steps`."""
    return sorted({0} | {round(i * steps / validations) for i in range(1, validations + 1)})
