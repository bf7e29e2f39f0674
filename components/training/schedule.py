"""Learning rate as a pure function of the step: warm-up, stable, decay (WSD; MiniCPM, arXiv 2404.06395)."""

from components.params import TrainingParams


def learning_rate_factor(step: int, steps: int, settings: TrainingParams) -> float:
    """Share of the peak learning rate at a step.

    Rises linearly over the first `warmup_fraction` of the steps, stays at 1, then falls linearly over the last
    `decay_fraction`, so that the last step has exactly `final_lr_fraction`.

    Args:
        step: 0 for the first optimizer step, up to steps - 1; a later one counts as the last.
        steps: optimizer steps of the whole run.
    """
    step = min(step, steps - 1)
    warmup = round(settings.warmup_fraction * steps)
    decay = round(settings.decay_fraction * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if step < steps - decay:
        return 1.0
    fallen = (step - (steps - decay) + 1) / decay
    return 1.0 + fallen * (settings.final_lr_fraction - 1.0)


def validation_steps(steps: int, validations: int) -> list[int]:
    """Steps after which the held-out loss is measured: 0, then `validations` evenly spaced ones, the last = steps."""
    return sorted({0} | {round(i * steps / validations) for i in range(1, validations + 1)})
