"""The pipeline as a drawing: a row per step from the start, a box per stage in the colour of its state."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from flows.client import StageRun
from ui.text import duration, html
from ui.theme import tone

WIDTH, HEIGHT, GAP_X, GAP_Y, FONT = 168, 30, 14, 16, 12.5
LINES = ' fill="none" stroke="#849aa3" stroke-width="1.3" stroke-opacity=".6"'  # a grey for light and dark


def depths(needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The row of each stage: below all that it needs."""
    found: dict[str, int] = {}
    for stage, before in needs.items():  # in an order in which they can run
        found[stage] = max((found[name] + 1 for name in before if name in found), default=0)
    return found


def rows_of(needs: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The stages of each row, each below the middle of those that it needs."""
    rows: list[list[str]] = []
    place: dict[str, float] = {}
    by_depth = depths(needs)
    for depth in range(max(by_depth.values(), default=-1) + 1):
        row = [stage for stage, own in by_depth.items() if own == depth]
        middle = {
            s: sum(place[n] for n in needs[s] if n in place) / max(1, sum(n in place for n in needs[s])) for s in row
        }
        row.sort(key=lambda stage: middle[stage])
        for at, stage in enumerate(row):
            place[stage] = at - (len(row) - 1) / 2
        rows.append(row)
    return rows


def draw(
    needs: Mapping[str, Sequence[str]], stages: Sequence[StageRun], descriptions: Mapping[str, str], active: bool
) -> str:
    """The drawing as HTML; its lines are a picture, because Streamlit takes SVG out of a page's HTML.

    Args:
        needs: of each stage, the stages that it needs.
        active: whether the run may still start waiting stages.
    """
    by_name = {stage.name: stage for stage in stages}
    rows = rows_of(needs)
    most = max((len(row) for row in rows), default=1)
    width, height = most * (WIDTH + GAP_X) - GAP_X + 4, len(rows) * (HEIGHT + GAP_Y) - GAP_Y + 4
    at: dict[str, tuple[float, float]] = {}
    for y, row in enumerate(rows):
        left = (width - len(row) * (WIDTH + GAP_X) + GAP_X) / 2
        at |= {stage: (left + x * (WIDTH + GAP_X), 2 + y * (HEIGHT + GAP_Y)) for x, stage in enumerate(row)}
    lines = "".join(
        _line(at[before], at[stage])
        for stage, befores in needs.items()
        for before in direct(befores, needs)
        if before in at
    )
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"{LINES}>{lines}</svg>'
    boxes = "".join(
        f'<div style="left:{100 * x / width:.2f}%;top:{100 * y / height:.2f}%;width:{100 * WIDTH / width:.2f}%;'
        f'height:{100 * HEIGHT / height:.2f}%;font-size:{100 * FONT / width:.2f}cqw" '
        f"{_box(by_name.get(name, StageRun(name)), descriptions.get(name, ''), active)}</div>"
        for name, (x, y) in at.items()
    )
    return (
        f'<div class="pf-graph" style="max-width:{width}px;aspect-ratio:{width}/{height}" role="img" '
        f'aria-label="The pipeline: {len(by_name)} stages"><img alt="" src="data:image/svg+xml,{quote(svg)}">{boxes}</div>'
    )


def direct(befores: Sequence[str], needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The needed stages that no other needed stage needs, so that fewer lines cross."""
    above = {name: _above(name, needs) for name in befores}
    return [name for name in befores if not any(name in above[other] for other in befores)]


def _above(stage: str, needs: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    left = [*needs.get(stage, ())]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += needs.get(name, ())
    return found


def _line(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1, x2, y2 = start[0] + WIDTH / 2, start[1] + HEIGHT, end[0] + WIDTH / 2, end[1]
    bend = (y2 - y1) / 2 if y2 - y1 <= GAP_Y else GAP_Y
    return f'<path d="M{x1:.0f},{y1:.0f} C{x1:.0f},{y1 + bend:.0f} {x2:.0f},{y2 - bend:.0f} {x2:.0f},{y2:.0f}"/>'


def _box(stage: StageRun, description: str, active: bool) -> str:
    """The rest of a box's opening tag, and what is in it."""
    state = stage.state if stage.kind or active else "Not run"
    took = duration(stage.seconds) if stage.kind and stage.kind != "PENDING" else ""
    name = stage.name.replace("_", " ").replace("@", " ")
    title = f"{stage.name}: {state}" + (f" ({took})" if took else "") + (f". {description}" if description else "")
    return (
        f'class="pf-{tone(stage.kind, stage.state)}" title="{html(title)}"><i></i><b>{html(name, 30)}</b>'
        f"<span>{html(took)}</span>"
    )
