"""The study's chart: loss against tokens and against all FLOPs, the small model's included."""

from pathlib import Path
from statistics import fmean

from components.results.figures import BLUE, GREY, RUST, Line, draw_losses, styles
from components.study.growth.analysis import Study
from components.study.growth.arms import ARMS, CONTINUED, EQUAL_COST, SCRATCH

STYLES = {"exact": BLUE, SCRATCH: RUST, CONTINUED: GREY}


def draw(study: Study, path: Path) -> None:
    """Write the chart as PNG. Each line is an arm's longest training run, averaged over the seeds; distilled arms are
    dashed."""
    label = "FLOPs, the small model's included"
    draw_losses(path, _lines(study, "tokens"), _lines(study, "total"), label, hidden=1 / 2)


def _lines(study: Study, axis: str) -> list[Line]:
    lines = []
    for arm, style in styles(study.arms, STYLES).items():
        horizon = EQUAL_COST if (arm, EQUAL_COST) in study.runs else 1.0
        records = list(study.runs[arm, horizon].values())
        curves = [record.curve for record in records]
        before = records[0].source_flops if axis == "total" else 0
        x = [value + before for value in curves[0]["tokens" if axis == "tokens" else "flops"]]
        y = [fmean(losses) for losses in zip(*(curve["loss"] for curve in curves), strict=True)]
        lines.append(Line(arm, tuple(x), tuple(y), *style, dashed=ARMS[arm].taught))
    return lines
