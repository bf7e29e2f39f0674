"""Figures of the panel, drawn by Plotly in the browser from the panel's own server.

Plotly treats names as HTML, so they are escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
import streamlit as st

from flows.client import Curve
from ui.text import html
from ui.theme import PALETTE, colour

PUBLISHED = "#7d8790"
HIDDEN = 0.3  # share of training at the start, whose high losses would flatten the differences
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def show(figure: go.Figure, key: str, alt: str | None = None, image: bool = False) -> None:
    """Put a figure on the page, without Plotly's own buttons, except that for a PNG if `image`."""
    buttons = {"modeBarButtons": [["toImage"]], "toImageButtonOptions": {"filename": key, "scale": 2}}
    st.plotly_chart(
        figure, key=key, alt=alt, config={"displaylogo": False, "displayModeBar": image} | (buttons if image else {})
    )


@dataclass(frozen=True)
class Standing:
    """One model's figure: name, value, standard error, and the place of its run (None for a published figure)."""

    name: str
    value: float
    stderr: float
    run: int | None


def standings(points: Sequence[Standing], lower: bool = False) -> go.Figure:
    """Models by figure, the best at the top: ours in their run's colour with 95% intervals, published ones grey.

    Args:
        lower: the figures are bits per byte, of which fewer are better, instead of percentages.
    """
    points = sorted(points, key=lambda point: point.value, reverse=lower)
    figure = go.Figure()
    for ours in (True, False):
        some = [point for point in points if (point.run is not None) == ours]
        figure.add_scatter(
            x=[point.value for point in some],
            y=[html(point.name) for point in some],
            name="measured" if ours else "published",
            mode="markers",
            marker={
                "size": 11,
                "symbol": "circle" if ours else "diamond-open",
                "color": [colour(point.run) if point.run is not None else PUBLISHED for point in some],
                "line": {"width": 0 if ours else 2},
            },
            error_x={
                "array": [1.96 * point.stderr for point in some],
                "visible": ours,
                "thickness": 1.6,
                "width": 4,
                "color": PUBLISHED,
            },
            hovertemplate="%{y}: %{x:.3f}" if lower else "%{y}: %{x:.1f}",
        )
    figure.update_layout(
        height=90 + 26 * len({point.name for point in points}),
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="closest",
    )
    figure.update_xaxes(title="bits per byte" if lower else "percent", rangemode="tozero", zeroline=False)
    figure.update_yaxes(categoryorder="array", categoryarray=[html(point.name) for point in points], automargin=True)
    return figure


def history(curves: Sequence[Curve], unit: str) -> go.Figure:
    """One figure of one run over training: a colour per stage."""
    figure = go.Figure()
    for place, curve in enumerate(curves):
        few = len(curve.x) <= 40
        figure.add_scatter(
            x=curve.x,
            y=curve.y,
            name=html(curve.stage),
            mode="lines+markers" if few else "lines",
            line={"color": colour(place), "width": 2},
            marker={"size": 6},
            hovertemplate="%{y:.4g} at %{x:,.0f}",
        )
    _finish(figure, curves, 420)
    figure.update_yaxes(title=unit)
    return figure


def compared(curves: Sequence[tuple[int, Curve, Sequence[float]]], names: Sequence[str], axis: str) -> go.Figure:
    """Validation losses of one model in several runs: a colour per side, and a line per seed.

    Args:
        curves: place of the side, curve, and its x in the axis' unit.
        names: of the sides.
        axis: `tokens`, `FLOPs` or `time`. The losses of the start are out of view; a double click shows them.
    """
    figure = go.Figure()
    drawn: set[int] = set()
    for place, curve, x in curves:
        figure.add_scatter(
            x=x,
            y=curve.y,
            name=html(names[place], 80),
            legendgroup=str(place),
            showlegend=place not in drawn,
            mode="lines+markers",
            line={"color": colour(place), "width": 2, "dash": DASHES[place // len(PALETTE) % len(DASHES)]},
            marker={"size": 5},
            hovertemplate="%{y:.4f} at %{x:,.3s}",
        )
        drawn.add(place)
    _finish(figure, [curve for _, curve, _ in curves], 380)
    first, last = HIDDEN * min(x[-1] for _, _, x in curves), max(x[-1] for _, _, x in curves)
    late = [y for _, curve, x in curves for at, y in zip(x, curve.y, strict=True) if at >= first]
    margin = 0.05 * (max(late) - min(late))
    figure.update_yaxes(range=[min(late) - margin, max(late) + margin])
    figure.update_xaxes(range=[first - 0.02 * last, 1.02 * last])
    titles = {"FLOPs": "training FLOPs", "time": "seconds of training"}
    if axis in titles:
        figure.update_xaxes(title=titles[axis])
    return figure


def _finish(figure: go.Figure, curves: Sequence[Curve], height: int) -> go.Figure:
    units = {curve.unit for curve in curves}
    unit = "training tokens" if units == {"tokens"} else "optimizer steps" if units == {"steps"} else "tokens or steps"
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        hovermode="x unified",
        legend={"orientation": "h", "y": -0.22, "x": 0, "title": None},
        uirevision="keep",  # keeps a zoom at the next refresh
    )
    figure.update_xaxes(title=unit, tickformat="~s", zeroline=False)
    figure.update_yaxes(title="loss (nats per token)", zeroline=False)
    return figure
