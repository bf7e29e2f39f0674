"""Activation patching between the small model and the large one: in which blocks the gain arises.

The small model's stream, widened by growth's map, is put in the place of the large one's before each block. What the large
model's later blocks make of it tells how much of the gain the earlier ones had made. The other way round, the large model's
stream is narrowed and put into the small one: how much of it the small model's blocks can read.
"""

from typing import Any

import numpy as np
import torch

from components.inside.looking import continued, record
from components.inside.patching import KnownMap
from components.interpretation.material import Material, nats
from components.phi.model import Phi
from components.results.statistics import mean


@torch.no_grad()
def patch_between(small: Phi, large: Phi, known: KnownMap, material: Material) -> dict[str, Any]:
    """Held-out loss of both models, and of each with the other's stream before each block or after the last.

    Returns:
        `small` and `large`, nats per token; and `places`, each with the number of `blocks` before it, `small_in_large` and
        `large_in_small`, and the relative `map_error` of growth's map there.
    """
    found: list[np.ndarray] = []
    for tokens, targets in material.test.batches():
        ours, theirs = record(small, tokens), record(large, tokens)
        widened = known.widen(ours.streams)
        runs = [(small, small.final_norm(ours.streams[-1])), (large, large.final_norm(theirs.streams[-1]))]
        for place, there in enumerate(known.layers):
            runs.append((large, continued(large, theirs, place, widened[place])))
            runs.append((small, continued(small, ours, there, known.narrow(theirs.streams[place]))))
        found.append(np.stack([nats(model, final, targets) for model, final in runs]))
    losses = [mean(values).value for values in np.concatenate(found, axis=1)]
    return {
        "small": losses[0],
        "large": losses[1],
        "places": [
            {"blocks": place, "small_blocks": there, "map_error": error, "small_in_large": into, "large_in_small": out}
            for place, (there, error, into, out) in enumerate(
                zip(known.layers, known.errors, losses[2::2], losses[3::2], strict=True)
            )
        ],
    }
