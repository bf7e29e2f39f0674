"""The loss of what each layer would predict, read by the logit lens and by the tuned lens."""

from typing import Any

import numpy as np
import torch

from components.inside.lens import fit_tuned_lens
from components.inside.looking import residuals
from components.interpretation.material import Material, nats
from components.phi.model import Phi
from components.results.statistics import mean


@torch.no_grad()
def lens_losses(model: Phi, material: Material) -> list[dict[str, Any]]:
    """For the stream before the first block and after each: nats per token of both lenses, with standard errors over
    sequences."""
    lens = fit_tuned_lens(model, (tokens for tokens, _ in material.fit.batches()))
    found: list[list[list[np.ndarray]]] = []  # batch, lens, place
    for tokens, targets in material.test.batches():
        streams = residuals(model, tokens)
        both = (streams, lens(streams))
        found.append([[nats(model, model.final_norm(stream), targets) for stream in of] for of in both])
    places = [[np.concatenate(parts) for parts in zip(*of, strict=True)] for of in zip(*found, strict=True)]
    rows = []
    for place, (plain, tuned) in enumerate(zip(*places, strict=True)):
        logit, fitted = mean(plain), mean(tuned)
        rows.append(
            {
                "blocks": place,
                "logit_lens": logit.value,
                "logit_lens_stderr": logit.stderr,
                "tuned_lens": fitted.value,
                "tuned_lens_stderr": fitted.stderr,
            }
        )
    return rows
