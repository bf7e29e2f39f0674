"""The convergence figure: validation loss against training tokens and against training FLOPs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.reporting.comparison import CONTROL, LARGE, SMALL, total_flops
from components.reporting.evidence import Case, Curve

# Okabe and Ito's colours: told apart with every common colour vision, and by their line and marker in print.
STYLES = {
    LARGE: ("#0072B2", "o"),
    CONTROL: ("#D55E00", "s"),
    SMALL: ("#595959", "^"),
}
SPARE = (("#009E73", "D"), ("#CC79A7", "v"), ("#56B4E9", "P"), ("#E69F00", "X"))
LABELS = {LARGE: "large, grown", CONTROL: "control", SMALL: "small"}
TOKEN_UNITS = ((1e12, "trillions"), (1e9, "billions"), (1e6, "millions"), (1e3, "thousands"))
SIZE, DPI = (11.0, 4.6), 150
LABEL_GAP = 0.06  # least distance of two labels, as a share of the panel's height


@dataclass(frozen=True)
class Line:
    """One line of a panel, x in the panel's unit."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    colour: str
    marker: str
    dashed: bool = False


def draw(case: Case, path: Path) -> bool:
    """Write the figure as PNG; equal evidence gives equal bytes. False, and no file, where there is no curve."""
    curves = [(m.name, m.curve) for m in case.models if m.curve]
    if not curves:
        return False
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    # Start from matplotlib's own defaults, so that a user's matplotlibrc changes nothing.
    with matplotlib.rc_context(dict(matplotlib.rcParamsDefault) | _settings()):
        figure, panels = plt.subplots(1, 2, figsize=SIZE, sharey=True, layout="constrained")
        try:
            spent = total_flops(case.model(SMALL)) if any(name == SMALL for name, _ in curves) else None
            limits = visible_range([curve for _, curve in curves])
            _panel(panels[0], _lines(curves, "tokens"), limits, "training tokens", tokens_unit)
            _panel(panels[1], _lines(curves, "flops", spent), limits, "training FLOPs", flops_unit)
            panels[0].set_ylabel("validation loss (nats a token)")
            panels[1].tick_params(labelleft=True)
            figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})
        finally:
            plt.close(figure)
    return True


def visible_range(curves: Sequence[Curve]) -> tuple[float, float]:
    """Limits of the loss axis: everything from a fifth of each run on, and every start that is not far above that.

    A random start has the logarithm of the vocabulary as its loss, whatever the model; showing it would press the
    curves together where they differ.
    """
    shown = [loss for curve in curves for loss in curve.loss[_fifth(curve) :]]
    low, high = min(shown), max(shown)
    starts = [curve.loss[0] for curve in curves if curve.loss[0] <= high + (high - low)]
    high = max([high, *starts])
    margin = 0.06 * (high - low) or 0.1
    return low - margin, high + margin


def _fifth(curve: Curve) -> int:
    return next(i for i, tokens in enumerate(curve.tokens) if tokens >= curve.tokens[-1] / 5)


def tokens_unit(largest: float) -> tuple[float, str]:
    """The unit in which a token axis up to `largest` reads well, and its name."""
    return next((unit for unit in TOKEN_UNITS if largest >= unit[0]), (1.0, ""))


def flops_unit(largest: float) -> tuple[float, str]:
    """A power of ten for a FLOPs axis up to `largest`, and its name in mathtext."""
    exponent = max(0, math.floor(math.log10(largest))) if largest > 0 else 0
    return 10.0**exponent, f"$10^{{{exponent}}}$"


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions moved as little as needed to lie at least `gap` apart within [low, high], in their order.

    Where there is no room for all, they are spaced evenly.
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
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e3e3e3",
        "grid.linewidth": 0.8,
        "axes.axisbelow": True,
    }


def _lines(curves: Sequence[tuple[str, Curve]], axis: str, spent: float | None = None) -> list[Line]:
    """The lines of a panel; with `spent`, the grown model a second time with the small model's FLOPs added."""
    lines, spare = [], 0
    for name, curve in curves:
        style = STYLES.get(name)
        if style is None:
            style = SPARE[spare % len(SPARE)]
            spare += 1
        colour, marker = style
        x, label = getattr(curve, axis), LABELS.get(name, name)
        lines.append(Line(label, x, curve.loss, colour, marker))
        if axis == "flops" and name == LARGE and spent:
            shifted = tuple(value + spent for value in x)
            lines.append(Line(f"{name} + cost of small", shifted, curve.loss, colour, marker, dashed=True))
    return lines


def _panel(axes: Any, lines: Sequence[Line], limits: tuple[float, float], x_label: str, unit_of: Any) -> None:
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


def _label_ends(axes: Any, lines: Sequence[Line], limits: tuple[float, float], right: float) -> None:
    """Write each line's name beside the panel at the height of its end, a thin leader between the two."""
    low, high = limits
    lines = sorted(lines, key=lambda line: -line.x[-1])  # of equal ends, the one beside the label keeps its height
    heights = [(line.y[-1] - low) / (high - low) for line in lines]
    for line, height, place in zip(lines, heights, spread(heights, LABEL_GAP, 0.02, 0.98), strict=True):
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
