"""`random`: the control, which copies nothing: Phi's own initialization in the target's shape."""

from dataclasses import replace

from components.phi.model import PhiConfig
from components.transfer.depth import Layer
from components.transfer.maps import CONSTANT, FREE, ZERO, Axis, Plan, TensorMap, axis
from components.transfer.options import Options
from components.transfer.plan import Axes, build


def plan(source: PhiConfig, target: PhiConfig, layers: list[Layer], options: Options) -> Plan:
    """Maps of all tensors of `target`, which read no tensor of the source."""
    width, inner, vocab = target.hidden_size, target.intermediate_size, target.vocab_size
    free, tokens = _all(FREE, width), _all(FREE, vocab)
    rows = {"embedded": tokens, "predicted": tokens, "prior": _all(ZERO, vocab)}
    axes = replace(
        Axes.uniform(free, free, _all(FREE, inner), **rows), gain=_all(CONSTANT, width), shift=_all(ZERO, width)
    )
    new = [Layer(0, 1.0, True)] * target.num_hidden_layers
    return {name: TensorMap((), how.rows, how.columns, new=True) for name, how in build(axes, new).items()}


def _all(code: int, size: int) -> Axis:
    return axis([code] * size, 1)
