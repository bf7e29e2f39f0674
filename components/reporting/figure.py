"""The convergence figure: validation loss against training tokens and against training FLOPs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.reporting.comparison import CONTROL, LARGE, SMALL, total_flops
from components.reporting.evidence import Case, Curve
from components.results.figures import BLUE, GREY, RUST, SPARE, Line, flops_unit, panel, save, tokens_unit

STYLES = {LARGE: BLUE, CONTROL: RUST, SMALL: GREY}
LABELS = {LARGE: "large, grown", CONTROL: "control", SMALL: "small"}


def draw(case: Case, path: Path) -> bool:
    """Write the chart as PNG; equal evidence gives equal bytes. Returns False, without a file, if there is no curve."""
    curves = [(m.name, m.curve) for m in case.models if m.curve]
    if not curves:
        return False
    spent = total_flops(case.model(SMALL)) if any(name == SMALL for name, _ in curves) else None
    limits = visible_range([curve for _, curve in curves])

    def panels(axes: Any) -> None:
        panel(axes[0], _lines(curves, "tokens"), limits, "training tokens", tokens_unit)
        panel(axes[1], _lines(curves, "flops", spent), limits, "training FLOPs", flops_unit)
        axes[0].set_ylabel("validation loss (nats per token)")
        axes[1].tick_params(labelleft=True)

    save(path, 2, panels)
    return True


def visible_range(curves: Sequence[Curve]) -> tuple[float, float]:
    """Limits of the loss axis: everything after the first fifth of each run, and every start that is not far above
    that.

    A random start has the logarithm of the vocabulary as its loss, whatever the model; showing it would squeeze the
    curves where they differ.
    """
    shown = [loss for curve in curves for loss in curve.loss[_fifth(curve) :]]
    low, high = min(shown), max(shown)
    starts = [curve.loss[0] for curve in curves if curve.loss[0] <= high + (high - low)]
    high = max([high, *starts])
    margin = 0.06 * (high - low) or 0.1
    return low - margin, high + margin


def _fifth(curve: Curve) -> int:
    return next(i for i, tokens in enumerate(curve.tokens) if tokens >= curve.tokens[-1] / 5)


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
