"""Parts of pages that are not in Streamlit, as HTML. Every text from outside is escaped here.

Streamlit treats messages and labels as Markdown, which may load images from anywhere; use `plain` for such texts.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from components.results.tables import escape_markdown
from flows.client import FlowRun, Record, StageRun
from ui import charts

ASSETS = Path(__file__).parent / "assets"
TONES = {
    "COMPLETED": "good",
    "RUNNING": "live",
    "FAILED": "bad",
    "CRASHED": "bad",
    "CANCELLED": "quiet",
    "CANCELLING": "warn",
    "PENDING": "wait",
    "SCHEDULED": "wait",
    "PAUSED": "warn",
}


def style() -> None:
    """The panel's own style sheet; colours follow the theme."""
    st.html(ASSETS / "style.css")


def plain(text: str) -> str:
    """Markdown that shows a text unchanged, line by line."""
    lines = (escape_markdown(line.strip()) for line in text.splitlines())
    return "  \n".join(re.sub(r"^(?=[#>+=-])", r"\\", line) for line in lines)


def error(message: object) -> None:
    """Show an error message, which may be from outside."""
    st.error(plain(str(message)))


def heading(title: str, subtitle: str = "") -> None:
    st.html(f'<div class="pf-head"><h1>{escape(title)}</h1><p>{escape(subtitle)}</p></div>')


def label(text: str) -> None:
    """A small heading over a block."""
    st.html(f'<div class="pf-label">{escape(text)}</div>')


def empty(title: str, text: str) -> None:
    """A placeholder while there is nothing to show."""
    st.html(f'<div class="pf-empty"><b>{escape(title)}</b><p>{escape(text)}</p></div>')


def tone(kind: str, state: str = "") -> str:
    """The colour class of a state; Cached and Late have special ones."""
    if state == "Cached":
        return "cached"
    if state == "Late":
        return "warn"
    return TONES.get(kind, "idle")


def bold(text: str, strong: bool) -> str:
    return f"<b>{text}</b>" if strong else text


def swatch(place: int) -> str:
    """A square in the colour of the run at a place."""
    return f'<span class="pf-swatch" style="background:{charts.colour(place)}"></span>'


def badge(text: str, tone_name: str) -> str:
    return f'<span class="pf-badge pf-{tone_name}"><i></i>{escape(text)}</span>'


def duration(seconds: float) -> str:
    """`0.4 s`, `42 s`, `3 m 05 s`, `2 h 14 m`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """`just now`, `12 min ago`, `3 h ago`, then the date."""
    if moment is None:
        return "not started"
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds < 45:
        return "just now"
    if seconds < 3600:
        return f"{max(1, round(seconds / 60))} min ago"
    if seconds < 86_400:
        return f"{round(seconds / 3600)} h ago"
    return moment.astimezone().strftime("%d %b %Y, %H:%M")


def clock(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%d %b %Y, %H:%M:%S") if moment else ""


def number(value: Any) -> str:
    """A number for people: whole ones with separated thousands, others with four significant digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value if isinstance(value, str) else compact(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}" if abs(value) >= 10_000 else str(int(value))
    return f"{value:.4g}"


def compact(value: Any) -> str:
    """A parameter's value on one line."""
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def big(value: float) -> str:
    """`41.2k`, `1.5M`."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def changes(run: FlowRun, most: int = 3) -> str:
    """The changed parameters of a run, on one line."""
    given = {"profile": run.profile, "text": run.text, "size": run.size}
    words = [f"{name} {value}" for name, value in given.items() if value]
    words += [f"{key} {number(value)}" for key, value in run.overrides.items()]
    if not words:
        return "defaults"
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def titles(chosen: Sequence[Record]) -> dict[str, str]:
    """A distinct name per run: its own, with its id if several runs have the name."""
    names = [record.name for record in chosen]
    return {r.id: r.name if names.count(r.name) == 1 else f"{r.name} {r.id[:4]}" for r in chosen}


def pick_runs(parents: Sequence[Record], key: str, first: Sequence[str], placeholder: str) -> list[Record]:
    """A widget for the runs on a page, which are stored in the page's address.

    Args:
        key: of the widget; unique.
        first: ids to choose if the address has none.
    """
    by_id = {parent.id: parent for parent in parents}
    if key not in st.session_state:
        linked = [name for name in st.query_params.get("runs", "").split(",") if name in by_id]
        st.session_state[key] = linked or list(first)
    chosen = st.multiselect(
        "Runs",
        list(by_id),
        format_func=lambda name: f"{by_id[name].name} · {ago(by_id[name].started)}",
        key=key,
        placeholder=placeholder,
        persist_state="session",
    )
    if ",".join(chosen) != st.query_params.get("runs", ""):
        st.query_params["runs"] = ",".join(chosen)
    return [by_id[name] for name in chosen]


def run_row(run: FlowRun) -> str:
    """A run in the list of runs."""
    when = ago(run.started or run.created)
    took = f" · {duration(run.seconds)}" if run.started else ""
    return (
        f'<div class="pf-run"><div><b>{escape(run.name)}</b>{badge(run.state, tone(run.kind, run.state))}</div>'
        f'<div class="pf-dim"><span>{escape(changes(run))}</span>'
        f'<span title="{escape(clock(run.started))}">{escape(when + took)}</span></div></div>'
    )


def stage_list(
    stages: Iterable[tuple[StageRun, Mapping[str, float] | None]], descriptions: Mapping[str, str], active: bool
) -> str:
    """The stages of a run with outcome, seconds and, while they run, a progress bar.

    Args:
        stages: each with the figures of its last progress line.
        descriptions: by stage name, for the tooltips.
        active: whether the run may still start waiting stages.
    """
    rows = [_stage(stage, figures, descriptions.get(stage.name, ""), active) for stage, figures in stages]
    return f'<ol class="pf-stages">{"".join(rows)}</ol>'


def _stage(stage: StageRun, figures: Mapping[str, float] | None, description: str, active: bool) -> str:
    state = stage.state if stage.kind or active else "Not run"
    mood = tone(stage.kind, stage.state)
    took = duration(stage.seconds) if stage.kind and stage.kind != "PENDING" else ""
    tries = f'<span class="pf-dim">try {stage.attempts}</span>' if stage.attempts > 1 else ""
    below = ""
    if stage.running and figures:
        below = _bar(figures)
    elif mood == "bad" and stage.message:
        below = f'<div class="pf-message">{escape(stage.message[:400])}</div>'
    return (
        f'<li class="pf-{mood}" title="{escape(description)}"><i></i><div class="pf-stage"><div>'
        f'<span class="pf-name">{escape(stage.name)}</span>{tries}<span class="pf-state">{escape(state)}</span>'
        f'<span class="pf-time">{took}</span></div>{below}</div></li>'
    )


def _bar(figures: Mapping[str, float]) -> str:
    share = min(max(figures["done"] / figures["total"], 0.0), 1.0) if figures["total"] else 0.0
    words = [f"{number(figures['done'])} / {number(figures['total'])}"]
    words += [f"{name.replace('_', ' ')} {big(value)}" for name, value in figures.items() if name not in BAR_ENDS]
    return (
        f'<div class="pf-bar" role="progressbar" aria-valuenow="{share:.0%}"><div style="width:{share:.1%}"></div></div>'
        f'<div class="pf-figures"><b>{share:.0%}</b>{"".join(f"<span>{escape(word)}</span>" for word in words)}</div>'
    )


BAR_ENDS = ("done", "total")


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Short named facts in a row; empty ones are left out. The second of a pair is HTML."""
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in pairs if value)
    st.html(f'<dl class="pf-facts">{cells}</dl>')


def link(text: str, address: str) -> str:
    """A link that opens in a new tab; only for http(s) addresses."""
    if not address.startswith(("http://", "https://")):
        return escape(text)
    return f'<a href="{escape(address)}" target="_blank" rel="noopener">{escape(text)}</a>'


def mono(text: str, most: int = 12) -> str:
    """A shortened identifier, with the whole one in its tooltip."""
    short = text if len(text) <= most else f"{text[:most]}…"
    return f'<code title="{escape(text)}">{escape(short)}</code>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]], css: str = "") -> None:
    """A table with cells in HTML; the first column has the names of the rows."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join(
        "<tr>" + f"<th scope='row'>{row[0]}</th>" + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    st.html(
        f'<div class="pf-scroll"><table class="pf-table {css}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def log_block(lines: Iterable[tuple[datetime, int, str, str]]) -> str:
    """Log lines (time, level, stage, text), newest last."""
    rows = []
    for time, level, stage, text in lines:
        mood = "bad" if level >= 40 else "warn" if level >= 30 else ""
        rows.append(
            f'<div class="{mood}"><time>{time.astimezone():%H:%M:%S}</time><span>{escape(stage)}</span>'
            f"<p>{escape(text)}</p></div>"
        )
    return f'<div class="pf-log"><div>{"".join(rows)}</div></div>'
