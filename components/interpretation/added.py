"""What growth added carries of the gain on the exam, by place and by family.

The gain is that of the trained large model over the grown one, which computes the small model's function. New entries of one
place are set back to their values at the end of growth; what is lost then, over the gain, is their share. Training measures
the same on held-out text (`growth` in its summary), and the report on the whole exam for all new entries together.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from components.inside.switches import set_back, with_parameters
from components.interpretation.material import Material
from components.phi.checkpoint import load
from components.phi.model import Phi
from components.phi.new_entries import NEW, NewEntries, groups_of
from components.phi.weights import NEW_PARAMETERS, our_names
from components.results.statistics import CONFIDENCE, Estimate, interval, macro, mean


@torch.no_grad()
def added_by_growth(model: Phi, grown: Path, entries: NewEntries, material: Material) -> dict[str, Any]:
    """Gain and damage in bits per byte of the right answers, for each group of `new_entries.groups_of`.

    Returns:
        `gain`; `groups`, each with its number of `entries`, its `damage` and its `share` of the gain, which is None unless
        the 95% interval of the gain lies above 0; and `families`, with the same of each family for all new entries.
    """
    after, _ = material.answer(model)
    before, _ = material.answer(load(grown).to(model.embed.weight.device))
    families = material.families
    gain = before - after
    groups, damages = {}, {}
    for name, masks in groups_of(load_file(grown / NEW_PARAMETERS)):
        chosen = our_names(model.config, masks)
        with with_parameters(model, set_back(model, entries, chosen)):
            damages[name] = material.answer(model)[0] - after
        counted = sum(int(mask.sum()) for mask in masks.values())
        groups[name] = {"entries": counted} | _part(gain, damages[name], families)
    return {
        "gain": _estimate(_over(gain, families)),
        "groups": groups,
        "families": {
            str(name): {"gain": _estimate(mean(gain[families == name]))}
            | _part(gain[families == name], damages[NEW][families == name], families[families == name])
            for name in np.unique(families)
        },
    }


def _part(gain: np.ndarray, damage: np.ndarray, families: np.ndarray) -> dict[str, Any]:
    whole, lost = _over(gain, families), _over(damage, families)
    low, _ = interval(whole, CONFIDENCE)
    return {"damage": _estimate(lost), "share": lost.value / whole.value if low is not None and low > 0 else None}


def _over(values: np.ndarray, families: np.ndarray) -> Estimate:
    return macro([mean(values[families == name]) for name in np.unique(families)])


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    low, high = interval(estimate, CONFIDENCE)
    return {"value": estimate.value, "stderr": estimate.stderr, "low": low, "high": high}
