"""Depth maps as data: for each block of the target, its source block and its gain.

The gain scales a block's output to the residual stream. 1 is a copy; 0 is the identity, which preserves the function and
leaves the block free to learn.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from components.errors import StepError


@dataclass(frozen=True)
class Layer:
    """One block of the target: a copy of block `source`, its output times `gain`. `new`: an inserted block, or a copy
    after the first."""

    source: int
    gain: float
    new: bool


def identity(source: int, target: int) -> list[Layer]:
    """Every source block once, and new blocks that add nothing at even distances: 24 -> 32 has one after every third.

    Each new block is made from the block before it (LLaMA-Pro, arXiv 2401.02415).
    """
    new = target - source
    layers = []
    for layer in range(source):
        layers.append(Layer(layer, 1.0, False))
        inserted = (layer + 1) * new // source - layer * new // source
        layers += [Layer(layer, 0.0, True)] * inserted
    return layers


def round_map(source: int, target: int) -> list[Layer]:
    """Block i from block round(i * source / target), halves to even, at most the last (Gopher, arXiv 2112.11446; Phi-2).

    Without the limit it would exceed the last block, for instance at 12 -> 24.
    """
    return copies(min(round(layer * source / target), source - 1) for layer in range(target))


def interpose(source: int, target: int) -> list[Layer]:
    """Copies beside their originals: 0 0 1 1 2 2 (arXiv 2510.08008 finds this better for converged models)."""
    return copies(layer * source // target for layer in range(target))


def stack(source: int, target: int) -> list[Layer]:
    """The source repeated: 0 1 2 0 1 2 (bert2BERT, arXiv 2110.07143; G_stack, arXiv 2405.15319)."""
    return copies(layer % source for layer in range(target))


def solar(source: int, target: int) -> list[Layer]:
    """The first half of the target from the source's beginning, the second from its end (SOLAR, arXiv 2312.15166).

    Raises:
        StepError: the target is more than twice as deep.
    """
    if target > 2 * source:
        raise StepError(
            f"the depth map solar joins two copies of the source's {source} blocks, so the target has {2 * source} blocks at "
            f"most; this target has {target}: use interpose or stack"
        )
    first, second = (target + 1) // 2, target // 2
    return copies([*range(first), *range(source - second, source)])


def half(source: int, target: int) -> list[Layer]:
    """Like `interpose`, with each copy's output divided by the number of copies: close to the source's function."""
    layers = interpose(source, target)
    count = Counter(layer.source for layer in layers)
    return [Layer(layer.source, 1 / count[layer.source], layer.new) for layer in layers]


def copies(sources: Iterable[int]) -> list[Layer]:
    """Full copies of these blocks; the first copy of each counts as old."""
    chosen = list(sources)
    return [Layer(source, 1.0, source in chosen[:place]) for place, source in enumerate(chosen)]


DEPTH_MAPS: dict[str, Callable[[int, int], list[Layer]]] = {
    "identity": identity,
    "round": round_map,
    "interpose": interpose,
    "stack": stack,
    "solar": solar,
    "half": half,
}
