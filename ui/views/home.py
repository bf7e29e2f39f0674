"""Home: what runs, what came out last, the champion, what is next, and whether everything works."""

import shutil

import streamlit as st

from flows.client import FlowRun, flow_titles, project_root
from ui import acts, banner, decisions, parts, reads, timing
from ui.text import ago, clock, duration, html, left, size
from ui.theme import tone

EVERY = 2.0  # seconds between refreshes while something runs
RESULTS, DECISIONS, NEXT = 5, 4, 3
FULL = 0.9  # of the disk: from here on it is a warning


@st.fragment(run_every=EVERY)
def running() -> None:
    """The active runs. It refreshes itself; the page is drawn again when one has started or ended."""
    with banner.shielded("Runs"):
        active = [run for run in reads.recent() if run.active]
        known = st.session_state.setdefault("home_active", {run.id for run in active})
        if known != {run.id for run in active}:
            st.session_state["home_active"] = {run.id for run in active}
            st.rerun()
        if not active:
            return
        parts.label("Running now")
        for run in active:
            parts.open_row(run, active_row(run), "active")


def active_row(run: FlowRun) -> str:
    """A run's name, state and progress."""
    head = f"<div><b>{html(run.name, 80)}</b>{parts.badge(run.state, tone(run.kind, run.state))}</div>"
    if not run.started:
        waits = "waits for a worker" if run.kind == "SCHEDULED" else "is about to start"
        return f'<div class="pf-run">{head}<div class="pf-dim"><span>{waits}</span></div></div>'
    now = progress(run)
    doing = ", ".join(now.running) or ("between two stages" if now.done else "about to start")
    rest = "" if now.left is None else f"{left(now.left)} left"
    count = f" · {now.done} of {now.total} stages" if now.total else ""
    words = f"<span>{html(doing)}{count}</span><span>{rest}</span>"
    return f'<div class="pf-run">{head}{parts.bar(now.share, "stages done")}<div class="pf-dim">{words}</div></div>'


def progress(run: FlowRun) -> timing.Standing:
    stages = reads.stage_runs(run.id, run.flow)
    figures = {stage.name: reads.progress(stage.task_run_id) for stage in stages if stage.running}
    return timing.standing(stages, figures, reads.usual_seconds())


def results(ended: list[FlowRun]) -> None:
    parts.label("Last results")
    for run in ended[:RESULTS]:
        parts.open_row(run, result_row(run), "ended")
    st.page_link("views/runs.py", label="All runs", icon=":material/arrow_forward:", icon_position="right")


def result_row(run: FlowRun) -> str:
    """An ended run: what it gave, or why it gave nothing."""
    badge = parts.badge(run.state, tone(run.kind, run.state))
    words = (
        html(parts.reason(run).partition(";")[0], 160)
        if run.kind in ("FAILED", "CRASHED")
        else " · ".join(figures_of(run))
    )
    took = f"{ago(run.started or run.created)} · {duration(run.seconds)}"
    return (
        f'<div class="pf-run"><div><b>{html(run.name, 80)}</b>{badge}</div>'
        f'<div class="pf-dim pf-wide"><span>{words or html(flow_titles()[run.flow])}</span>'
        f'<span title="{html(clock(run.started))}">{html(took)}</span></div></div>'
    )


def figures_of(run: FlowRun) -> list[str]:
    """The headline figures of a run's report, in HTML; none if it has no report."""
    report = reads.stage_records(reads.parent_of(run.id), run.id).get("report")
    found = report.metrics if report else {}
    words = []
    if (bits := found.get("text_bits_per_byte_large")) is not None:
        words.append(f"your text <b>{bits:.3f}</b> bits per byte")
    elif (loss := found.get("large_validation_loss")) is not None:
        words.append(f"held-out loss <b>{loss:.3f}</b>")
    if (exam := found.get("large_exam_accuracy")) is not None:
        error = found.get("large_exam_stderr")
        words.append(f"exam <b>{exam:.3f}</b>" + ("" if error is None else f" ± {error:.3f}"))
    return words


def champion() -> None:
    """The champion and the latest decisions about it, newest first."""
    parts.label("Champion")
    with banner.shielded("The champion"):
        name, state = reads.champions()
        if not state.champion:
            parts.empty("No champion yet", "The larger model of the first whole run becomes it, if its checks pass.")
            return
        rows = [decisions.row(one, state.champion) for one in reversed(state.decisions[-DECISIONS:])]
        st.html(
            f'<div class="pf-card"><div class="pf-big">Version {html(state.champion, 20)} <small>of {html(name, 60)}</small>'
            f'</div><ol class="pf-steps">{"".join(rows)}</ol></div>'
        )


def upcoming() -> None:
    parts.label("Next")
    with banner.shielded("Scheduled runs"):
        waiting = reads.upcoming(NEXT)
        if not waiting:
            st.caption("No run is scheduled; the nightly runs are off at first.")
            st.page_link("views/schedules.py", label="Schedules", icon=":material/calendar_month:")
            return
        titles = flow_titles()
        lines = "".join(
            f"<div><dt>{html(clock(run.expected))}</dt><dd>{html(titles[run.flow].capitalize())}</dd></div>"
            for run in waiting
        )
        st.html(f'<dl class="pf-lines">{lines}</dl>')


def health() -> None:
    """Whether the services answer, and the disk's space."""
    parts.label("Services")
    away = reads.HEALTH.away
    trouble, listening = reads.launch_trouble("pipeline")
    states = [
        ("Prefect", "away" if "Prefect" in away else "answers", "bad" if "Prefect" in away else "good"),
        (
            "Worker",
            "unknown" if trouble or "Prefect" in away else "waits for runs" if listening else "none is running",
            "quiet" if trouble or "Prefect" in away else "good" if listening else "warn",
        ),
        ("MLflow", "away" if "MLflow" in away else "answers", "bad" if "MLflow" in away else "good"),
    ]
    disk = shutil.disk_usage(project_root())
    used = (disk.total - disk.free) / disk.total
    states.append(("Disk", f"{size(disk.free)} free of {size(disk.total)}", "warn" if used > FULL else "good"))
    lines = "".join(f"<div><dt>{name}</dt><dd>{parts.badge(words, mood)}</dd></div>" for name, words, mood in states)
    st.html(f'<dl class="pf-lines">{lines}</dl>')
    if not trouble and not listening:
        st.caption("New runs wait until a worker runs: `make up` starts one.")


def first_steps() -> None:
    """What a person sees who has not run anything yet."""
    st.html(
        '<div class="pf-empty pf-first"><b>Train a language model on your own text</b><p>Phiforge reads it, cleans it, writes '
        "exercises beside it, trains a pair of small models, and says what they have learnt from it.</p></div>"
    )
    one, other = st.columns(2)
    if one.button("Train on your own text", type="primary", width="stretch", icon=":material/upload_file:"):
        st.switch_page("views/new_run.py")
    if other.button("See the example", width="stretch", icon=":material/menu_book:"):
        st.switch_page("views/new_run.py", query_params={"text": "README.md docs", "size": "0.3M"})
    st.caption("The example trains the smallest pair on this project's own pages; it takes a few minutes.")


def page() -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        parts.heading("Home")
        st.space("stretch")
        if not acts.refusal() and st.button("New run", type="primary", icon=":material/add:"):
            st.switch_page("views/new_run.py")
    main, side = st.columns([5, 3], gap="large")
    with main:
        running()
        with banner.shielded():
            runs = reads.recent()
            ended = [run for run in runs if not run.active]
            if not runs:
                first_steps()
            if ended:
                results(ended)
    with side:
        champion()
        upcoming()
        health()


page()
