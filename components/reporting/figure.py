"""The convergence figure: validation loss against training tokens and against training FLOPs."""

from collections.abc import Sequence
from pathlib import Path

from components.reporting.comparison import CONTROL, LARGE, SMALL, total_flops
from components.reporting.evidence import Case, Curve
from components.results.comparability import NATS
from components.results.figures import BLUE, GREY, RUST, Line, draw_losses, styles

STYLES = {LARGE: BLUE, CONTROL: RUST, SMALL: GREY}
LABELS = {LARGE: "large, grown", CONTROL: "control", SMALL: "small"}


def draw(case: Case, path: Path) -> bool:
    """Write the chart as PNG; equal evidence gives equal bytes. Returns False, without a file, if there is no curve."""
    curves = [(m.name, m.curve) for m in case.models if m.curve and case.losses(m).measure == NATS]
    if not curves:
        return False
    spent = total_flops(case.model(SMALL)) if any(name == SMALL for name, _ in curves) else None
    draw_losses(path, _lines(curves, "tokens"), _lines(curves, "flops", spent), "training FLOPs", hidden=1 / 5)
    return True


def _lines(curves: Sequence[tuple[str, Curve]], axis: str, spent: float | None = None) -> list[Line]:
    """The lines of a panel; with `spent`, also the grown model with the small model's FLOPs added."""
    lines, style = [], styles((name for name, _ in curves), STYLES)
    for name, curve in curves:
        x = getattr(curve, axis)
        lines.append(Line(LABELS.get(name, name), x, curve.loss, *style[name]))
        if axis == "flops" and name == LARGE and spent:
            shifted = tuple(value + spent for value in x)
            lines.append(Line(f"{name} + cost of small", shifted, curve.loss, *style[name], dashed=True))
    return lines
