"""The value of growth: the grown model compared with the control.

The comparison follows "G_stack" (arXiv 2405.15319) and "When is Warmstarting Effective" (arXiv 2605.13405): cost is
stated twice, *sunk* (the small model is free) and *inclusive* (its training counts too), and losses are compared at the
ends of equal schedules. A loss within a schedule is measured before the learning rate decays, so tokens and FLOPs to the
control's loss are upper bounds: with a schedule that ends there, the same model is better.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from components.reporting.evidence import Case, Curve, Evidence

SMALL, LARGE, CONTROL = "small", "large", "control"
PROOF = (
    "operator",
    "max_absolute_logit_difference",
    "max_relative_logit_difference",
    "max_relative_logit_difference_float64",
    "kl",
    "source_loss",
    "target_loss",
    "loss_delta",
    "proof_tokens",
    "proof_on",
)


def compare(case: Case) -> dict[str, Any] | None:
    """The proof of the growth and its savings; None without both a proof and a pair to compare. Unknown metrics are None,
    and so are comparisons of losses that may not be compared. Losses are in nats per token.
    """
    large, control, small = (case.model(name) for name in (LARGE, CONTROL, SMALL))
    if case.transfer is None and (large is None or control is None):
        return None
    result: dict[str, Any] = {key: (case.transfer or {}).get(key) for key in PROOF}
    result["grown_start_loss"] = large.curve.loss[0] if large and large.curve else None
    result["growth"] = (large.training or {}).get("growth") if large else None
    if large and control and not case.losses(control, large).fair:
        large, control = replace(large, training=None, curve=None), replace(control, training=None, curve=None)
    large_loss, control_loss = _loss(large), _loss(control)
    result["loss_advantage_over_control"] = (
        None if large_loss is None or control_loss is None else control_loss - large_loss
    )
    return result | _savings(large, control, small)


def first_crossing(x: Sequence[float], loss: Sequence[float], target: float) -> tuple[float | None, str]:
    """Where a curve first reaches `target`, and the method.

    Returns:
        (x, method): method is `start` (the first point is already at the target), `interpolated` (linearly between the two
        recorded points around the crossing) or `not reached` (x is None).
    """
    if loss[0] <= target:
        return x[0], "start"
    for i in range(1, len(loss)):
        if loss[i] <= target:
            return float(np.interp(target, [loss[i], loss[i - 1]], [x[i], x[i - 1]])), "interpolated"
    return None, "not reached"


def interpolate(x: Sequence[float], y: Sequence[float], at: float) -> float | None:
    """Linear interpolation of y at `at`; None outside the range of x, which is ascending."""
    return float(np.interp(at, x, y)) if x[0] <= at <= x[-1] else None


def total_flops(model: Evidence | None) -> float | None:
    """Training FLOPs of a model, from its summary or else the last row of its curve."""
    if model is None:
        return None
    if model.training and model.training.get("flops") is not None:
        return model.training["flops"]
    return model.curve.flops[-1] if model.curve else None


def _savings(large: Evidence | None, control: Evidence | None, small: Evidence | None) -> dict[str, Any]:
    """Tokens and FLOPs until the grown model reached the control's final loss, as shares of the control's."""
    small_flops, control_flops = total_flops(small), total_flops(control)
    grown = large.curve if large else None
    scratch = control.curve if control else None
    result: dict[str, Any] = {"tokens_to_control_loss": None, "tokens_to_control_loss_method": None}
    result["share_of_control_tokens"] = None
    to_loss = None
    if grown and scratch:
        target = scratch.loss[-1]
        tokens, method = first_crossing(grown.tokens, grown.loss, target)
        to_loss, _ = first_crossing(grown.flops, grown.loss, target)
        result["tokens_to_control_loss"] = tokens
        result["tokens_to_control_loss_method"] = method
        result["share_of_control_tokens"] = _share(tokens, scratch.tokens[-1])
    accounts = {"sunk": 0.0, "inclusive": small_flops}
    result["flops"] = {"small": small_flops, "control": control_flops} | {
        name: _account(large, control_flops, to_loss, sunk) for name, sunk in accounts.items()
    }
    if grown and scratch:
        for name, sunk in accounts.items():
            result["flops"][name]["loss_advantage_at_control_flops"] = _advantage(grown, scratch, sunk)
    return result


def _account(
    large: Evidence | None, control_flops: float | None, to_loss: float | None, sunk: float | None
) -> dict[str, Any]:
    """One way to count the grown model's FLOPs: its own plus `sunk`, which is None if unknown."""
    own = total_flops(large)
    reached = None if to_loss is None or sunk is None else to_loss + sunk
    return {
        "total": None if own is None or sunk is None else own + sunk,
        "to_control_loss": reached,
        "share_of_control_flops": _share(reached, control_flops),
        "loss_advantage_at_control_flops": None,
    }


def _advantage(large: Curve, control: Curve, sunk: float | None) -> float | None:
    """Control's final loss minus the grown model's at equally many FLOPs; None if it never spends as many."""
    if sunk is None:
        return None
    loss = interpolate(large.flops, large.loss, control.flops[-1] - sunk)
    return None if loss is None else control.loss[-1] - loss


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _loss(model: Evidence | None) -> float | None:
    return model.training["validation_loss"] if model and model.training else None
