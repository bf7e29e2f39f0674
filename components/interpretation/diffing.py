"""Model diffing between the small model and the large one, scored against what growth copied.

Methods of model diffing look for what two models share and what only one has; elsewhere nobody knows the truth. Growth gives
it: the map of the stream is known, and so is which units of the feed-forward layers are copies, and of which unit.
"""

from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from components.inside.lens import RIDGE, AffineSums
from components.inside.looking import residuals
from components.inside.patching import KnownMap
from components.interpretation.material import Material, Text
from components.phi.model import Block, Phi

SAME = 0.999  # correlation from which a grown unit is a copy: growth adds rounding only


@torch.no_grad()
def compare_streams(
    small: Phi, large: Phi, known: KnownMap, material: Material, control: Phi | None
) -> list[dict[str, float]]:
    """How much of the large model's stream follows linearly from the small model's, at each place.

    Returns:
        shares of the variance of held-out text explained by growth's own map (`known`), by the best affine map of other
        text (`linear`), and, for the control, by the best affine map from the small model (`control`); and `agreement`,
        1 - |x (W - M)|^2 / |x M|^2 over centred streams x of the small model, for the best map W and growth's map M.
    """
    others = {"linear": large} | ({} if control is None else {"control": control})
    fitted: dict[str, AffineSums] = {}
    for tokens, _ in material.fit.batches():
        x = _flat(small, tokens)[list(known.layers)]
        for name, model in others.items():
            y = _flat(model, tokens)
            fitted.setdefault(name, AffineSums(*_sizes(x, y), x.device)).add(x, y)
    maps = {name: sums.solve(RIDGE) for name, sums in fitted.items()}
    x = torch.cat([_flat(small, tokens)[list(known.layers)] for tokens, _ in material.test.batches()], dim=1)
    reached = {
        name: torch.cat([_flat(model, tokens) for tokens, _ in material.test.batches()], dim=1)
        for name, model in others.items()
    }
    explained = {name: _explained(reached[name], torch.baddbmm(b[:, None], x, w)) for name, (w, b) in maps.items()}
    explained["known"] = _explained(reached["linear"], x @ known.matrix)
    centred = x - x.mean(1, keepdim=True)
    true = centred @ known.matrix
    apart = (centred @ maps["linear"][0] - true).square().sum((1, 2)) / true.square().sum((1, 2))
    explained["agreement"] = (1 - apart).tolist()
    return [{name: values[place] for name, values in sorted(explained.items())} for place in range(len(x))]


def _flat(model: Phi, tokens: Tensor) -> Tensor:
    return residuals(model, tokens).flatten(1, 2)


def _sizes(x: Tensor, y: Tensor) -> tuple[int, int, int]:
    return len(x), x.shape[-1], y.shape[-1]


def _explained(y: Tensor, predicted: Tensor) -> list[float]:
    """Share of the variance of y (places, n, D) that a prediction explains, up to a constant."""
    rest = y - predicted
    left = (rest - rest.mean(1, keepdim=True)).square().sum((1, 2))
    return (1 - left / (y - y.mean(1, keepdim=True)).square().sum((1, 2))).tolist()


class Matched(NamedTuple):
    """For each unit of a model, over all its blocks: the highest correlation with a unit of the small model, and which."""

    correlation: np.ndarray
    unit: np.ndarray


@torch.no_grad()
def compare_units(small: Phi, grown: Phi, large: Phi, text: Text, control: Phi | None) -> dict[str, Any]:
    """Match each feed-forward unit with the small model's unit whose activations correlate most, and judge the matches.

    The truth is that of the grown model before training: a unit is a copy of the small model's unit that it equals.

    Returns:
        number of `copied` and `new` units; `auc`, how well the correlation tells copies from new units; `matched`, the share
        of the copies that are matched with their original; and the median highest correlation of `copied`, `new` and
        `control` units. Without a copied or a new unit, None in place of what needs one.
    """
    truth, found = _matches(small, grown, text), _matches(small, large, text)
    copied = truth.correlation > SAME
    median = {"copied": found.correlation[copied], "new": found.correlation[~copied]}
    if control is not None:
        median["control"] = _matches(small, control, text).correlation
    return {
        "copied": int(copied.sum()),
        "new": int((~copied).sum()),
        "auc": _auc(found.correlation[copied], found.correlation[~copied]),
        "matched": float((found.unit == truth.unit)[copied].mean()) if copied.any() else None,
        "correlation": {name: float(np.median(values)) for name, values in median.items() if len(values)},
    }


def _matches(small: Phi, model: Phi, text: Text) -> Matched:
    pairs = [(_activations(small, tokens), _activations(model, tokens)) for tokens, _ in text.batches()]
    ours, theirs = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    best = (_standard(ours).T @ _standard(theirs)).max(0)
    return Matched(best.values.cpu().numpy(), best.indices.cpu().numpy())


def _activations(model: Phi, tokens: Tensor) -> Tensor:
    """What all feed-forward units write, (tokens, units of all blocks)."""
    found: list[Tensor] = []
    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, Block):
                hook = module.fc2.register_forward_pre_hook(lambda _, given: found.append(given[0]))
                stack.callback(hook.remove)
        model.hidden(tokens)
    return torch.cat([x.flatten(0, 1) for x in found], dim=1)


def _standard(x: Tensor) -> Tensor:
    """Each unit's activations (n, units), centred and of norm 1; those of a constant unit are 0."""
    centred = x - x.mean(0)
    return centred / centred.norm(dim=0).clamp(min=1e-12)


def _auc(positive: np.ndarray, negative: np.ndarray) -> float | None:
    """The probability that a positive value is above a negative one."""
    if not len(positive) or not len(negative):
        return None
    below = np.searchsorted(np.sort(negative), positive, side="left") + np.searchsorted(
        np.sort(negative), positive, side="right"
    )
    return float(below.mean() / 2 / len(negative))
