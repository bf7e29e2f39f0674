"""Parts of pages that are not in Streamlit, as HTML. Every text from outside is escaped here."""

import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import streamlit as st

from flows.client import FlowRun, Record, StageRun, project_root
from ui.text import ago, big, clean, duration, html, number, plain
from ui.theme import colour, tone


def error(message: object) -> None:
    """Show an error message, which may be from outside."""
    st.error(plain(message))


def outline() -> None:
    """The outline of a page, which the style sheet hides as soon as the page has shown something."""
    st.html('<div class="pf-outline" aria-hidden="true">' + "<i></i>" * 8 + "</div>")


def heading(title: str, subtitle: str = "") -> None:
    st.html(f'<div class="pf-head"><h1>{html(title)}</h1><p>{html(subtitle)}</p></div>')


def step(title: str) -> None:
    """The heading of a part of a page."""
    st.html(f'<h2 class="pf-step">{html(title)}</h2>')


def label(text: str) -> None:
    """A small heading over a block."""
    st.html(f'<div class="pf-label">{html(text)}</div>')


def empty(title: str, text: str) -> None:
    """A placeholder while there is nothing to show."""
    st.html(f'<div class="pf-empty"><b>{html(title)}</b><p>{html(text)}</p></div>')


def bold(text: str, strong: bool) -> str:
    return f"<b>{text}</b>" if strong else text


def swatch(place: int) -> str:
    """A square in the colour of the run at a place."""
    return f'<span class="pf-swatch" style="background:{colour(place)}"></span>'


def badge(text: str, tone_name: str) -> str:
    return f'<span class="pf-badge pf-{tone_name}"><i></i>{html(text)}</span>'


def changes(run: FlowRun) -> list[str]:
    """What was asked of a run beside the defaults."""
    given = {"profile": run.profile, "text": run.text, "size": run.size}
    words = [f"{name} {value}" for name, value in given.items() if value]
    return words + [f"{key} {number(value)}" for key, value in run.overrides.items()]


def reason(run: FlowRun) -> str:
    """Why a run failed, without Prefect's words around it."""
    return re.sub(r"^Flow run encountered an exception: (?:\w+: )?", "", run.message)


def open_row(run: FlowRun, body: str, key: str = "") -> None:
    """A row of a list of runs, which opens the run's page. Its button covers it, and is found by name and by keyboard.

    Args:
        body: HTML.
        key: of the list; unique on its page.
    """
    with st.container(key=f"pf-row-{key}-{run.id}", gap=None):
        st.html(body)
        if st.button(f"Open {plain(run.name, 80)}", key=f"open-{key}-{run.id}", width="stretch"):
            st.switch_page("views/run.py", query_params={"run": run.id})


def bar(share: float, label: str) -> str:
    """A bar of progress."""
    share = min(max(share, 0.0), 1.0)
    return (
        f'<div class="pf-bar" role="progressbar" aria-label="{html(label)}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{100 * share:.0f}"><div style="width:{share:.1%}"></div></div>'
    )


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
        format_func=lambda name: f"{clean(by_id[name].name, 60)} · {ago(by_id[name].started)}",
        key=key,
        placeholder=placeholder,
        persist_state="session",
    )
    if ",".join(chosen) != st.query_params.get("runs", ""):
        st.query_params["runs"] = ",".join(chosen)
    return [by_id[name] for name in chosen]


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
        below = stage_bar(figures)
    elif mood == "bad" and stage.message:
        below = f'<div class="pf-message">{html(stage.message[:400])}</div>'
    return (
        f'<li class="pf-{mood}" title="{html(description)}"><i></i><div class="pf-stage"><div>'
        f'<span class="pf-name">{html(stage.name)}</span>{tries}<span class="pf-state">{html(state)}</span>'
        f'<span class="pf-time">{took}</span></div>{below}</div></li>'
    )


def stage_bar(figures: Mapping[str, float]) -> str:
    """The progress of a stage with its figures."""
    share = min(max(figures["done"] / figures["total"], 0.0), 1.0) if figures["total"] else 0.0
    words = [f"{number(figures['done'])} / {number(figures['total'])}"]
    words += [f"{name.replace('_', ' ')} {big(value)}" for name, value in figures.items() if name not in BAR_ENDS]
    shown = "".join(f"<span>{html(word)}</span>" for word in words)
    return bar(share, "progress of the stage") + f'<div class="pf-figures"><b>{share:.0%}</b>{shown}</div>'


BAR_ENDS = ("done", "total")


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Short named facts in a row; empty ones are left out. The second of a pair is HTML."""
    cells = "".join(f"<div><dt>{html(name)}</dt><dd>{value}</dd></div>" for name, value in pairs if value)
    st.html(f'<dl class="pf-facts">{cells}</dl>')


def link(text: str, address: str) -> str:
    """A link that opens in a new tab; only for http(s) addresses and paths of this server."""
    if not address.startswith(("http://", "https://")) and not re.match("/[^/]", address):
        return html(text)
    return f'<a href="{html(address)}" target="_blank" rel="noopener">{html(text)}</a>'


def mono(text: str, most: int = 12) -> str:
    """A shortened identifier, with the whole one in its tooltip."""
    short = text if len(text) <= most else f"{text[:most]}…"
    return f'<code title="{html(text)}">{html(short)}</code>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]], css: str = "") -> None:
    """A table with cells in HTML; the first column has the names of the rows. The keyboard can scroll it."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join(
        "<tr>" + f"<th scope='row'>{row[0]}</th>" + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    st.html(
        f'<div class="pf-scroll" tabindex="0" role="group" aria-label="table"><table class="pf-table {css}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def long_text(text: str, most: int) -> None:
    """A long text from outside, in a box that scrolls, by keyboard too."""
    st.html(f'<pre class="pf-text" tabindex="0" role="group" aria-label="text">{html(text, most)}</pre>')


def commands(asked: Mapping[str, Sequence[str]]) -> None:
    """Commands of `phiforge` to paste, each under its caption; they work from any folder of this machine."""
    root = project_root()
    program = os.path.relpath(Path(sys.executable).with_name("phiforge"), root)
    for caption, words in asked.items():
        st.caption(caption)
        st.code(f"cd {shlex.quote(str(root))} && {shlex.join([program, *words])}", language="bash", wrap_lines=True)


def log_block(lines: Iterable[tuple[datetime, int, str, str]]) -> str:
    """Log lines (time, level, stage, text), newest last."""
    rows = []
    for time, level, stage, text in lines:
        mood = "bad" if level >= 40 else "warn" if level >= 30 else ""
        rows.append(
            f'<div class="{mood}"><time>{time.astimezone():%H:%M:%S}</time><span>{html(stage)}</span>'
            f"<p>{html(text)}</p></div>"
        )
    return f'<div class="pf-log"><div>{"".join(rows)}</div></div>'
