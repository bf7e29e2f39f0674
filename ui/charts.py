"""Figures of the panel, drawn by Plotly in the browser from the panel's own server."""

from collections.abc import Sequence

import plotly.graph_objects as go

from flows.client import Curve

PALETTE = ("#0f8b8d", "#d9722e", "#6c5fc7", "#3f7d3a", "#c2417c", "#2f6fb2", "#9a7b1c", "#6b7785")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def losses(curves: Sequence[Curve]) -> go.Figure:
    """Loss of one run: a colour a stage, training loss thin, validation loss thick with its points marked."""
    stages = list(dict.fromkeys(curve.stage for curve in curves))
    validated = {curve.stage for curve in curves if curve.figure == "validation_loss"}
    figure = go.Figure()
    for curve in sorted(curves, key=lambda c: c.figure != "loss"):
        colour = PALETTE[stages.index(curve.stage) % len(PALETTE)]
        held_out = curve.figure == "validation_loss"
        figure.add_scatter(
            x=curve.x,
            y=curve.y,
            name=f"{curve.stage} {'validation' if held_out else 'training'}",
            legendgroup=curve.stage,  # one entry a stage; a click hides both its lines
            showlegend=held_out or curve.stage not in validated,
            mode="lines+markers" if held_out else "lines",
            line={"color": colour, "width": 2.4 if held_out else 1.2},
            marker={"size": 6},
            opacity=1 if held_out else 0.5,
            hovertemplate="%{y:.4f} at %{x:,.0f}",
        )
    return _finish(figure, curves, 400)


def overlay(curves: Sequence[tuple[str, Curve]], runs: Sequence[str]) -> go.Figure:
    """Validation losses of several runs: a colour a run, a dash a stage.

    Args:
        curves: (name of the run, curve).
        runs: names of all runs, whose places give the colours.
    """
    stages = list(dict.fromkeys(curve.stage for _, curve in curves))
    figure = go.Figure()
    for name, curve in curves:
        figure.add_scatter(
            x=curve.x,
            y=curve.y,
            name=f"{name} · {curve.stage}",
            mode="lines+markers",
            line={
                "color": PALETTE[runs.index(name) % len(PALETTE)],
                "dash": DASHES[stages.index(curve.stage) % len(DASHES)],
                "width": 2,
            },
            marker={"size": 5},
            hovertemplate="%{y:.4f} at %{x:,.0f}",
        )
    return _finish(figure, [curve for _, curve in curves], 380)


def _finish(figure: go.Figure, curves: Sequence[Curve], height: int) -> go.Figure:
    units = {curve.unit for curve in curves}
    unit = "training tokens" if units == {"tokens"} else "optimizer steps" if units == {"steps"} else "tokens or steps"
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        hovermode="x unified",
        legend={"orientation": "h", "y": -0.22, "x": 0, "title": None},
        uirevision="keep",  # a zoom survives the next refresh
    )
    figure.update_xaxes(title=unit, tickformat="~s", zeroline=False)
    figure.update_yaxes(title="loss (nats a token)", zeroline=False)
    return figure
