"""One optimizer for the whole model: AdamW, or Muon for the blocks' matrices with AdamW for the rest.

Two optimizers would force Lightning into manual optimization, without its clipping and accumulation. So one optimizer
contains both, and the learning-rate schedule sees the union of their parameter groups.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from components.params import TrainingParams
from components.training.muon import BatchedMuon
from components.training.sharding import placed, whole

BLOCK = re.compile(r"blocks\.\d+\.")
FUSED = "qkv.weight"  # queries, keys and values, stacked
Tensors = dict[str, Tensor]


class PhiOptimizer(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101) and optionally Muon (Jordan et al., 2024), both PyTorch's own.

    Muon orthogonalises the update of each matrix of the blocks; queries, keys and values count as three matrices, though
    the model stores them as one. Its updates are scaled to the root mean square of AdamW's (arXiv 2502.16982), so one
    learning rate serves both. Weight decay applies to matrices, including the embedding, but not to gains and biases.

    Attributes:
        skip: if set within the closure of a step, that step does not change the weights or the optimizer's state.
            Cleared by every step.
    """

    def __init__(self, model: nn.Module, settings: TrainingParams, learning_rate: float) -> None:
        named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        muon = [n for n, p in named.items() if settings.optimizer == "muon" and p.ndim == 2 and BLOCK.match(n)]
        matrices = [n for n, p in named.items() if p.ndim >= 2 and n not in muon]
        vectors = [n for n, p in named.items() if p.ndim < 2]
        decay = settings.weight_decay
        others = learning_rate * (settings.adamw_lr_ratio if muon else 1.0)
        groups = [(muon, learning_rate, decay), (matrices, others, decay), (vectors, others, 0.0)]
        groups = [group for group in groups if group[0]]
        super().__init__(
            [{"params": [named[n] for n in names], "lr": lr, "weight_decay": wd} for names, lr, wd in groups], {}
        )
        self.skip = False
        self._named = named
        adamw = [group for group in self.param_groups if not muon or group is not self.param_groups[0]]
        self._adamw = torch.optim.AdamW(
            [dict(group) for group in adamw], betas=(settings.beta1, settings.beta2), eps=settings.adam_eps, fused=True
        )
        self._inner: list[tuple[torch.optim.Optimizer, list[dict[str, Any]]]] = [(self._adamw, adamw)]
        self._parts = {name: _Parts(named[name], 3 if name.endswith(FUSED) else 1) for name in muon}
        if muon:
            self._muon = BatchedMuon(
                [part for parts in self._parts.values() for part in parts.parts],
                lr=learning_rate,
                weight_decay=decay,
                momentum=settings.muon_momentum,
                adjust_lr_fn="match_rms_adamw",
            )
            self._inner.append((self._muon, self.param_groups[:1]))

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Run `closure`, which computes gradients, then update the weights, unless it has set `skip`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if not self.skip:
            for parts in self._parts.values():
                parts.take()
            for optimizer, groups in self._inner:
                for mine, theirs in zip(groups, optimizer.param_groups, strict=True):
                    theirs["lr"] = mine["lr"]
                optimizer.step()
            for parts in self._parts.values():
                parts.give_back()
        self.skip = False
        return loss

    def tensors(self) -> Tensors:
        """The state by `NAME.KEY`, on the CPU and whole; if it is sharded, all ranks must call.

        NAME is the parameter's name; the parts of a fused matrix are NAME/0, NAME/1, ...
        """
        return {name: whole(value) for name, value in self.stored().items()}

    def stored(self) -> Tensors:
        """The state's own tensors, by the same names."""
        return {
            f"{name}.{key}": value
            for name, optimizer, parameter in self._members()
            for key, value in sorted(optimizer.state[parameter].items())
        }

    def misfit(self, tensors: Mapping[str, Tensor]) -> str | None:
        """The reason why a state cannot be loaded: a missing, unknown or misshapen tensor. None if it can."""
        expected = {
            f"{name}.{kind}": torch.Size() if kind == "step" else parameter.shape
            for name, optimizer, parameter in self._members()
            for kind in (("exp_avg", "exp_avg_sq", "step") if optimizer is self._adamw else ("momentum_buffer",))
        }
        for key, shape in expected.items():
            if key not in tensors:
                return f"it has no {key}"
            if tensors[key].shape != shape:
                return f"{key} has shape {tuple(tensors[key].shape)}, expected {tuple(shape)}"
            if not tensors[key].is_floating_point():
                return f"{key} has dtype {tensors[key].dtype}, expected a floating-point type"
        unknown = sorted(tensors.keys() - expected.keys())
        return f"it has {unknown[0]}, which this optimizer doesn't have" if unknown else None

    @torch.no_grad()
    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Load a state from `tensors`, of the same model and settings (`misfit` checks a foreign one)."""
        for name, optimizer, parameter in self._members():
            keys = [key.removeprefix(f"{name}.") for key in tensors if key.rpartition(".")[0] == name]
            optimizer.state[parameter] = {key: _placed_state(tensors[f"{name}.{key}"], key, parameter) for key in keys}

    def _members(self) -> Iterable[tuple[str, torch.optim.Optimizer, Tensor]]:
        for name, parameter in self._named.items():
            if name not in self._parts:
                yield name, self._adamw, parameter
                continue
            for number, part in enumerate(self._parts[name].parts):
                yield f"{name}/{number}", self._muon, part


class _Parts:
    """The matrices of one parameter that Muon sees: views of it. For a sharded parameter they are whole copies on each
    rank that exist only during a step: so Muon sees every other change of the weights (`carried.py`), and between steps
    they take no memory."""

    def __init__(self, parameter: Tensor, count: int) -> None:
        self.parameter = parameter
        data = parameter.detach()
        self.sharded = isinstance(data, DTensor)
        rows = _placeholder(data) if self.sharded else data
        self.parts = [nn.Parameter(part) for part in rows.chunk(count)]
        self._copy: Tensor | None = None

    def take(self) -> None:
        """Call before a step: takes the gradients, and the values of a sharded parameter."""
        gradient, count = self.parameter.grad, len(self.parts)
        if isinstance(gradient, DTensor):
            gradient = gradient.full_tensor()
        for part, slice_ in zip(self.parts, [None] * count if gradient is None else gradient.chunk(count), strict=True):
            part.grad = slice_
        if self.sharded:
            whole = self.parameter.detach()
            assert isinstance(whole, DTensor)
            self._copy = whole.full_tensor()
            for part, rows in zip(self.parts, self._copy.chunk(count), strict=True):
                part.data = rows

    def give_back(self) -> None:
        """Call after a step: writes the values of a sharded parameter back, and drops the gradients."""
        if self._copy is not None:
            self.parameter.detach().copy_(placed(self._copy, self.parameter))
            self._copy = None
            for part in self.parts:
                part.data = _placeholder(part)
        for part in self.parts:
            part.grad = None


def _placeholder(part: Tensor) -> Tensor:
    """A tensor of a matrix's shape and device that needs the memory of one number."""
    return torch.zeros((), dtype=part.dtype, device=part.device).expand(part.shape)


def _placed_state(value: Tensor, key: str, parameter: Tensor) -> Tensor:
    """A loaded state tensor, on its parameter's device and sharded like it."""
    return value.clone().to(parameter.device) if key == "step" else placed(value, parameter)
