"""PyTorch's Muon, with matrices of equal shape orthogonalised together: a small model has many small matrices, and one
batched product costs a third of single products. PyTorch always orthogonalises in bfloat16; this uses float32 on a
machine without bfloat16, which is more exact and 20 to 40 times faster there."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim._muon import _adjust_lr

from components.phi.machine import computes_bfloat16
from components.phi.memory import AT_ONCE


class BatchedMuon(torch.optim.Muon):
    """Muon (Jordan et al., 2024) with the state, the groups and, if the machine has bfloat16, the arithmetic of
    `torch.optim.Muon`."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights: list[Tensor] = []
            gradients: list[Tensor] = []
            momenta: list[Tensor] = []
            self._init_group(group, weights, gradients, momenta)
            if not weights:
                continue
            dtype = torch.bfloat16 if computes_bfloat16(weights[0].device.type) else torch.float32
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            for places in batches([weight.shape for weight in weights]):
                updates = [momenta[place] for place in places]
                if group["nesterov"]:
                    chosen = [gradients[place] for place in places]
                    updates = list(torch._foreach_lerp(chosen, updates, group["momentum"]))
                    del chosen
                together = torch.stack([update.to(dtype) for update in updates])
                del updates  # frees their memory
                together = orthogonalise(together, group["ns_coefficients"], group["ns_steps"], group["eps"])
                rate = _adjust_lr(group["lr"], group["adjust_lr_fn"], together.shape[1:])
                changed = [weights[place] for place in places]
                torch._foreach_add_(changed, list(together.to(changed[0].dtype)), alpha=-rate)
        return loss


def batches(shapes: list[torch.Size]) -> list[list[int]]:
    """Groups of indices of equal shapes, with at most AT_ONCE entries each, in the order of the shapes' first indices."""
    by_shape: dict[torch.Size, list[int]] = {}
    for place, shape in enumerate(shapes):
        by_shape.setdefault(shape, []).append(place)
    groups = []
    for shape, places in by_shape.items():
        count = max(1, AT_ONCE // shape.numel())
        groups += [places[start : start + count] for start in range(0, len(places), count)]
    return groups


def orthogonalise(x_BMN: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Each matrix with its singular values brought near 1, by Newton and Schulz's iteration with Muon's quintic."""
    a, b, c = coefficients
    tall = x_BMN.shape[1] > x_BMN.shape[2]
    x = x_BMN.mT if tall else x_BMN
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        gram = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, gram, x, beta=a)
    return x.mT if tall else x
