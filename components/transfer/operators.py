"""The operators by name: how each makes its plan, its requirements on the shapes, and whether it preserves the
function."""

from collections.abc import Callable
from dataclasses import dataclass

from components.errors import StepError
from components.phi.model import PhiConfig
from components.transfer import bert2bert, exact, hyperclone, initial, tile
from components.transfer.depth import DEPTH_MAPS, Layer
from components.transfer.maps import Draws, Plan
from components.transfer.options import Options
from components.transfer.shapes import check_growth, check_vocabulary

MakePlan = Callable[[PhiConfig, PhiConfig, list[Layer], Options], Plan]


@dataclass(frozen=True)
class Operator:
    """One way to grow.

    Attributes:
        plan: (source, target, depth map, options) -> maps of all tensors.
        depth_map: the default, for `transfer.depth_map: auto`.
        exact: preserves the function in width, and with the depth map `identity` also in depth.
        reads: reads the source's weights.
        reasons: (source, target) -> unmet requirements on the shapes, besides those of `check_growth`.
    """

    plan: MakePlan
    depth_map: str
    exact: bool = False
    reads: bool = True
    reasons: Callable[[PhiConfig, PhiConfig], list[str]] = lambda source, target: []


OPERATORS = {
    "exact": Operator(exact.plan, "identity", exact=True),
    "hyperclone": Operator(hyperclone.plan, "identity", exact=True, reasons=hyperclone.reasons),
    "tile": Operator(tile.plan, "round"),
    "tile_heads": Operator(tile.plan_heads, "round"),
    "fpi": Operator(bert2bert.plan_fpi, "stack"),
    "aki": Operator(bert2bert.plan_aki, "stack"),
    "random": Operator(initial.plan, "identity", reads=False),
}


@dataclass(frozen=True)
class Growth:
    """A growth as data: everything except the source's values.

    Attributes:
        operator, depth_map: their names.
        layers: the depth map; empty for an operator that reads nothing.
        plan: the map of every tensor of the target.
        draws: parameters of its random values and noise.
        preserves: whether the target computes the source's function.
    """

    operator: str
    depth_map: str
    layers: list[Layer]
    plan: Plan
    draws: Draws
    preserves: bool


def growth(source: PhiConfig, target: PhiConfig, operator: str, depth_map: str, options: Options) -> Growth:
    """Plan a growth; `depth_map` may be `auto`.

    Raises:
        StepError: the operator cannot grow the source into this target; every reason is named.
    """
    chosen = OPERATORS[operator]
    if not chosen.reads:
        check_vocabulary(source, target)
        free = Options(seed=options.seed, free_std=target.initializer_range)
        return Growth(operator, "none", [], chosen.plan(source, target, [], free), free.draws(), False)
    check_growth(source, target)
    if reasons := chosen.reasons(source, target):
        raise StepError(
            f"the operator {operator} cannot grow the source into this target: {'; '.join(reasons)}; set transfer.operator (--operator) to exact"
        )
    name = chosen.depth_map if depth_map == "auto" else depth_map
    layers = DEPTH_MAPS[name](source.num_hidden_layers, target.num_hidden_layers)
    preserves = chosen.exact and not any(layer.new and layer.gain for layer in layers)
    # A map that leaves out or reorders blocks does not preserve the function either.
    preserves = preserves and [layer.source for layer in layers if layer.gain] == list(range(source.num_hidden_layers))
    return Growth(operator, name, layers, chosen.plan(source, target, layers, options), options.draws(), preserves)
