"""The ablation's chart: loss and exam of each arm, with intervals and a mark per seed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.results.figures import BLUE, GREY, RUST, save

PANELS = (("loss", "loss on held-out documents and textbooks (nats per token)", RUST), ("exam", "exam accuracy", BLUE))
GUESSES = (("majority", "--"), ("chance", ":"))


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Write the chart as PNG."""

    def panels(axes: Any) -> None:
        for axis, (figure, label, style) in zip(axes, PANELS, strict=True):
            points(axis, result["arms"], figure, *style)
            axis.set_ylabel(label)
        for name, line in GUESSES:
            axes[1].axhline(result["baselines"][""][name], color=GREY[0], linestyle=line, linewidth=1.2, label=name)
        axes[1].legend(frameon=False)

    save(path, 2, panels, shared=False)


def points(axis: Any, arms: list[dict[str, Any]], figure: str, colour: str, marker: str) -> None:
    """Means with their intervals, and small marks for the seeds beside them."""
    for place, arm in enumerate(arms):
        value, seeds = arm[figure], arm["by_seed"][figure]
        half = 0.0 if value["low"] is None else value["mean"] - value["low"]
        style = {"color": colour, "marker": marker, "markersize": 6, "capsize": 4, "linewidth": 1.8}
        axis.errorbar(place, value["mean"], yerr=half, **style)
        axis.plot([place + 0.15] * len(seeds), seeds, linestyle="", marker=".", color=colour, alpha=0.55)
    axis.set_xticks(range(len(arms)), [arm["arm"].replace("_", "\n+ ") for arm in arms])
    axis.set_xlim(-0.5, len(arms) - 0.5)
