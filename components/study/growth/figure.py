"""The study's chart: loss against tokens and against all FLOPs, the small model's included."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from components.results.figures import BLUE, GREY, RUST, SPARE, Line, flops_unit, panel, save, tokens_unit
from components.study.growth.analysis import Study
from components.study.growth.arms import ARMS, CONTINUED, EQUAL_COST, SCRATCH

STYLES = {"exact": BLUE, SCRATCH: RUST, CONTINUED: GREY}


def draw(study: Study, path: Path) -> None:
    """Write the chart as PNG. Each line is an arm's longest training run, averaged over the seeds; distilled arms are
    dashed."""
    lines = {axis: _lines(study, axis) for axis in ("tokens", "total")}
    limits = visible_range(lines["tokens"])

    def panels(axes: Any) -> None:
        panel(axes[0], lines["tokens"], limits, "training tokens", tokens_unit)
        panel(axes[1], lines["total"], limits, "FLOPs, the small model's included", flops_unit)
        axes[0].set_ylabel("validation loss (nats per token)")
        axes[1].tick_params(labelleft=True)

    save(path, 2, panels)


def visible_range(lines: Sequence[Line]) -> tuple[float, float]:
    """Limits of the loss axis: they include the second half of each line, and its start if that is not far above."""
    shown = [
        loss for line in lines for x, loss in zip(line.x, line.y, strict=True) if x >= (line.x[0] + line.x[-1]) / 2
    ]
    low, high = min(shown), max(shown)
    starts = [line.y[0] for line in lines if line.y[0] <= high + (high - low)]
    high = max([high, *starts])
    margin = 0.06 * (high - low) or 0.1
    return low - margin, high + margin


def _lines(study: Study, axis: str) -> list[Line]:
    lines, spare = [], 0
    for arm in study.arms:
        style = STYLES.get(arm)
        if style is None:
            style = SPARE[spare % len(SPARE)]
            spare += 1
        horizon = EQUAL_COST if (arm, EQUAL_COST) in study.runs else 1.0
        records = list(study.runs[arm, horizon].values())
        curves = [record.curve for record in records]
        before = records[0].source_flops if axis == "total" else 0
        x = [value + before for value in curves[0]["tokens" if axis == "tokens" else "flops"]]
        y = [fmean(losses) for losses in zip(*(curve["loss"] for curve in curves), strict=True)]
        lines.append(Line(arm, tuple(x), tuple(y), *style, dashed=ARMS[arm].taught))
    return lines
