"""Growth of the optimizer's state with the weights.

If the grown weights are w' = M w + (free entries) and the function is preserved, the chain rule gives g = M^T g' for
gradients. The first moment of Adam and the momentum of Muon and SGD are averages of gradients, so their growth must obey
it too: m' = P m with M^T P = 1. P divides each copied entry by its factor, shares it among copies in proportion to their
factors, a / sum(a^2), and leaves new entries at 0. For an entry with one copy this is the grown model's gradient:
queries multiplied by s have gradients divided by s. Adam's second moment, an average of squares, grows by P squared; its
new entries get the mean of the tensor's old ones, since at 0 their first steps would be 1 / sqrt(1 - beta2) times too
long. Tensors of new blocks start as in a fresh optimizer, at step 0. The state is `state/optimizer.safetensors` in a
checkpoint's directory, with the names and parts of `components.training.optimizers.PhiOptimizer.tensors`: NAME.KEY, NAME
one of our parameter names, KEY `exp_avg`, `exp_avg_sq`, `momentum_buffer` or `step`; NAME/0, NAME/1, ... are the parts of
a parameter that is optimized in parts (Muon: q, k, v).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from components.errors import StepError
from components.phi.model import PhiConfig
from components.phi.weights import OPTIMIZER, TensorFiles, TensorSpec, parameter_names, stack, write_file
from components.transfer.maps import ZERO, Axis, Draws, Plan, TensorMap, grown
from components.transfer.new_parameters import is_new

SQUARES = {"exp_avg_sq"}  # averages of squared gradients; all others except the step are averages of gradients
STEP = "step"
NOTHING = Draws(0, 0.0, 0.0)


@dataclass(frozen=True)
class Entry:
    """One tensor of the target's state: its key, its kind, and the maps of the tensors that it is stacked from."""

    key: str
    kind: str
    maps: tuple[TensorMap, ...]

    def grown(self, stored: "Stored") -> Tensor:
        moments = [stored.find(how.sources[0], self.kind) for how in self.maps]
        if self.kind == STEP:
            return torch.zeros_like(moments[0]) if self.maps[0].new else moments[0]
        for how, moment in zip(self.maps, moments, strict=True):
            expected = tuple(axis.size for axis in (how.rows, how.columns) if axis is not None)
            if tuple(moment.shape) != expected:
                raise StepError(
                    f"{OPTIMIZER} has shape {tuple(moment.shape)} for {self.key}; expected {expected}; it belongs to another "
                    "model: remove it"
                )
        squared = self.kind in SQUARES
        return stack([grow_moment(how, moment, squared) for how, moment in zip(self.maps, moments, strict=True)])

    def spec(self, stored: "Stored") -> TensorSpec:
        like = stored.find(self.maps[0].sources[0], self.kind)
        if self.kind == STEP:
            return TensorSpec(tuple(like.shape), like.dtype)
        rows = sum(len(how.rows) for how in self.maps)
        return TensorSpec((rows, *self.maps[0].shape[1:]), like.dtype)


def entries(stored: "Stored", plan: Plan, target: PhiConfig) -> Iterator[Entry]:
    """The entries of the target's state: parameters in parts if the source's are."""
    for ours, names in parameter_names(target).items():
        own = stored.places[plan[names[0]].sources[0]][0]
        parts = {f"{ours}/{i}": [name] for i, name in enumerate(names)} if "/" in own else {ours: names}
        for part, theirs in parts.items():
            for kind in stored.kinds[own]:
                yield Entry(f"{part}.{kind}", kind, tuple(plan[name] for name in theirs))


class Stored:
    """A checkpoint's optimizer state, by tensor.

    Attributes:
        kinds: kinds of state by parameter, or by part of a parameter.
        places: for each of Hugging Face's names, the parameter or part, the number of the piece, and the count of pieces.
    """

    def __init__(self, state: Mapping[str, Tensor], config: PhiConfig) -> None:
        self.state = state
        self.kinds: dict[str, list[str]] = {}
        for key in state:
            name, _, kind = key.rpartition(".")
            self.kinds.setdefault(name, []).append(kind)
        self.places: dict[str, tuple[str, int, int]] = {}
        for ours, names in parameter_names(config).items():
            for number, name in enumerate(names):
                part = f"{ours}/{number}"
                place = (part, 0, 1) if part in self.kinds else (ours, number, len(names))
                if place[0] not in self.kinds:
                    raise StepError(f"{OPTIMIZER} has no state for {ours}; it belongs to another model: remove it")
                self.places[name] = place

    def find(self, name: str, kind: str) -> Tensor:
        own, number, count = self.places[name]
        tensor = self.state[f"{own}.{kind}"]
        return tensor if kind == STEP else tensor.chunk(count)[number]


def grow_moment(how: TensorMap, moment: Tensor, squared: bool = False) -> Tensor:
    """Grow one tensor's moment, in its dtype.

    Args:
        how: the map of the tensor's weights.
        moment: moment of the source's tensor.
        squared: whether it is an average of squares.
    """
    if how.new or not how.gain:
        return torch.zeros(how.shape, dtype=moment.dtype)
    power = 2 if squared else 1
    inverse = replace(
        how,
        rows=_inverse(how.rows, power),
        columns=None if how.columns is None else _inverse(how.columns, power),
        gain=how.gain**-power,
        noise="none",
    )
    wide = grown("", inverse, moment, NOTHING)
    if squared:
        new = is_new(how)
        if not new.all():
            wide[new & (wide == 0)] = wide[~new].mean()
    return wide.to(moment.dtype)


def _inverse(axis: Axis, power: int) -> Axis:
    """The axis of P, to a power: a / sum(a^2) over the copies of a coordinate, and 0 elsewhere."""
    own = axis.copied & (axis.source < axis.size)  # coordinates of another block bring nothing
    where = torch.where(own, axis.source, 0)
    squares = torch.zeros(axis.size, dtype=torch.float64).index_add_(0, where, axis.scale.square() * own)
    scale = torch.where(own, axis.scale / squares[where].clamp(min=torch.finfo(torch.float64).tiny), 0.0)
    return Axis(torch.where(own, axis.source, ZERO), scale**power, axis.size)


def write_grown_state(path: Path, directory: Path, plan: Plan, source: PhiConfig, target: PhiConfig) -> None:
    """Grow an optimizer's state from one file to another, one tensor at a time.

    Raises:
        StepError: there is no such file, it cannot be read, or it belongs to another model.
    """
    if not path.is_file():
        raise StepError(
            f"{path} does not exist, so there is no optimizer state to grow; train the source with training.keep_optimizer true, or set "
            "transfer.grow_optimizer to false"
        )
    stored = Stored(TensorFiles([path]), source)
    state = list(entries(stored, plan, target))
    specs = {entry.key: entry.spec(stored) for entry in state}
    (directory / OPTIMIZER).parent.mkdir(exist_ok=True)
    write_file(directory / OPTIMIZER, specs, ((entry.key, [entry.grown(stored)]) for entry in state))
