"""Line charts in one style, with units, and names at the ends of the lines."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

# Okabe and Ito's colours: different to people with colour blindness; markers make lines different in print.
BLUE, RUST, GREY = ("#0072B2", "o"), ("#D55E00", "s"), ("#595959", "^")
SPARE = (("#009E73", "D"), ("#CC79A7", "v"), ("#56B4E9", "P"), ("#E69F00", "X"))
TOKEN_UNITS = ((1e12, "trillions"), (1e9, "billions"), (1e6, "millions"), (1e3, "thousands"))
Style = tuple[str, str]  # colour and marker
SIZE, DPI = (11.0, 4.6), 150
LABEL_GAP = 0.06  # minimum distance of two labels, as a share of the panel's height


@dataclass(frozen=True)
class Line:
    """One line of a panel, x in the panel's unit."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    colour: str
    marker: str
    dashed: bool = False


def save(path: Path, panels: int, draw: Callable[[Any], None], shared: bool = True) -> None:
    """Write a row of panels as PNG; equal drawings give equal bytes.

    Args:
        path: of the PNG.
        panels: number of panels.
        draw: draws on matplotlib's axes.
        shared: whether the panels share their y axis.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    # From matplotlib's own defaults, so that a user's matplotlibrc changes nothing.
    with matplotlib.rc_context(dict(matplotlib.rcParamsDefault) | _settings()):
        figure, axes = plt.subplots(1, panels, figsize=SIZE, sharey=shared, layout="constrained")
        try:
            draw(axes)
            figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})
        finally:
            plt.close(figure)


def styles(names: Iterable[str], known: Mapping[str, Style]) -> dict[str, Style]:
    """Colour and marker by name: the known ones, and the spare ones in turn for other names."""
    spare = cycle(SPARE)
    return {name: known.get(name) or next(spare) for name in names}


def visible_range(lines: Sequence[Line], hidden: float) -> tuple[float, float]:
    """Limits of an axis of losses.

    A random start has the logarithm of the vocabulary as its loss; an axis that includes it would leave little room for
    the differences of the lines.

    Args:
        hidden: share of each line, from its start, that may lie above the limits. A start that is not far above them is
            included nevertheless.
    """
    shown = [
        y
        for line in lines
        for x, y in zip(line.x, line.y, strict=True)
        if x >= line.x[0] + hidden * (line.x[-1] - line.x[0])
    ]
    low, high = min(shown), max(shown)
    high = max([high, *(line.y[0] for line in lines if line.y[0] <= high + (high - low))])
    margin = 0.06 * (high - low) or 0.1
    return low - margin, high + margin


def tokens_unit(largest: float) -> tuple[float, str]:
    """A readable unit for a token axis up to `largest`, and its name."""
    return next((unit for unit in TOKEN_UNITS if largest >= unit[0]), (1.0, ""))


def flops_unit(largest: float) -> tuple[float, str]:
    """A power of ten for a FLOPs axis up to `largest`, and its name in mathtext."""
    exponent = max(0, math.floor(math.log10(largest))) if largest > 0 else 0
    return 10.0**exponent, f"$10^{{{exponent}}}$"


def spaced(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions moved as little as possible to have at least `gap` between them within [low, high], in their order.

    If there is not enough room, the gaps are equal.
    """
    count = len(positions)
    if count > 1 and gap * (count - 1) > high - low:
        gap = (high - low) / (count - 1)
    order = sorted(range(count), key=lambda i: positions[i])
    placed = [0.0] * count
    floor = low
    for i in order:
        placed[i] = max(positions[i], floor)
        floor = placed[i] + gap
    ceiling = high
    for i in reversed(order):
        placed[i] = min(placed[i], ceiling)
        ceiling = placed[i] - gap
    return placed


def _settings() -> dict[str, Any]:
    return {
        "font.family": "DejaVu Sans",  # part of matplotlib, so it is the same on every machine
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e3e3e3",
        "grid.linewidth": 0.8,
        "axes.axisbelow": True,
    }


def panel(axes: Any, lines: Sequence[Line], limits: tuple[float, float], x_label: str, unit_of: Any) -> None:
    """Draw lines over an x axis that begins at 0, each with its name at its end."""
    right = max(line.x[-1] for line in lines)
    unit, name = unit_of(right)
    for line in lines:
        axes.plot(
            [x / unit for x in line.x],
            line.y,
            color=line.colour,
            marker=line.marker,
            markersize=4,
            linewidth=1.8,
            linestyle="--" if line.dashed else "-",
            markerfacecolor="white" if line.dashed else line.colour,
        )
    axes.set_ylim(*limits)
    axes.set_xlim(0, (right / unit or 1) * 1.02)
    axes.set_xlabel(f"{x_label} ({name})" if name else x_label)
    above = [line.y[0] for line in lines if line.y[0] > limits[1]]
    if above:
        text = f"random starts come from {max(above):.2f}"
        axes.text(0.98, 0.98, text, transform=axes.transAxes, ha="right", va="top", fontsize=8.5, color="#595959")
    _label_ends(axes, lines, limits, right)


def draw_losses(
    path: Path, by_tokens: Sequence[Line], by_flops: Sequence[Line], flops_label: str, hidden: float
) -> None:
    """Write a chart of validation losses against training tokens (left) and FLOPs (right).

    Args:
        hidden: see `visible_range`.
    """
    limits = visible_range(by_tokens, hidden)

    def panels(axes: Any) -> None:
        panel(axes[0], by_tokens, limits, "training tokens", tokens_unit)
        panel(axes[1], by_flops, limits, flops_label, flops_unit)
        axes[0].set_ylabel("validation loss (nats per token)")
        axes[1].tick_params(labelleft=True)

    save(path, 2, panels)


def _label_ends(axes: Any, lines: Sequence[Line], limits: tuple[float, float], right: float) -> None:
    """Write each line's name beside the panel at the height of its end, joined to it by a thin line."""
    low, high = limits
    lines = sorted(lines, key=lambda line: -line.x[-1])  # among equal ends, the one beside the label keeps its height
    heights = [(line.y[-1] - low) / (high - low) for line in lines]
    for line, height, place in zip(lines, heights, spaced(heights, LABEL_GAP, 0.02, 0.98), strict=True):
        axes.annotate(
            line.label,
            xy=(line.x[-1] / ((right or 1) * 1.02), height),
            xytext=(1.02, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=line.colour,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": line.colour,
                "linewidth": 0.6,
                "alpha": 0.6,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
        )
