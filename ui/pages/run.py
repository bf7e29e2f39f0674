"""Run: one run, live while it works and with its result when it has ended."""

from collections.abc import Mapping

import streamlit as st

from components.errors import StepError
from flows.client import FlowRun, Record, StageRun, flow_titles
from ui import acts, banner, charts, parts, reads
from ui.text import clean, clock, duration, html, plain

EVERY = 2.0  # seconds between refreshes while something may change
LINKED = {"workspace": "Workspace", "git.commit": "Commit", "git.source": "Source"}  # tags of the MLflow run to show


def detail() -> None:
    """The run of the address. It refreshes while it is active, and once more after its end."""
    run_id = st.query_params.get("run", "")
    if not run_id:
        parts.empty("No run is chosen", "Choose one on the page Runs.")
        return
    with banner.shielded("The run"):
        run = reads.flow_run(run_id)
        if run is None:
            parts.empty(
                "No such run", f"The Prefect server has no run {clean(run_id, 60)}. Choose one on the page Runs."
            )
            return
        st.fragment(live, run_every=EVERY if run.active else None)(run_id, run.active)


def live(run_id: str, was_active: bool) -> None:
    with banner.shielded():
        refresh(run_id, was_active)


def refresh(run_id: str, was_active: bool) -> None:
    run = reads.flow_run(run_id)
    if run is None:
        st.rerun()
        return
    stages = reads.stage_runs(run_id, run.flow)
    figures = {stage.name: reads.progress(stage.task_run_id) for stage in stages if stage.running}
    if was_active and not run.active:
        st.rerun()  # the whole page, which then stops refreshing
    record, curves, trouble = recorded(run)
    header(run, record)
    left, right = st.columns([5, 6], gap="large")
    with left:
        stage_panel(run, stages, figures)
    with right:
        parts.label("Loss · validation thick, training thin")
        if curves:
            charts.show(charts.losses(curves), "runs_loss")
        else:
            ended = "No stage of this run trained a model."
            later = "It appears at the first validation of a training stage."
            parts.empty(
                "No curve" if trouble or not run.active else "No curve yet", trouble or (later if run.active else ended)
            )
    log_panel(run, stages)


def recorded(run: FlowRun) -> tuple[Record | None, list, str]:
    """MLflow's record and curves of a run, and the reason if they cannot be read."""
    try:
        record = reads.parent_of(run.id)
        return record, reads.curves(reads.stage_records(record, run.id)), ""
    except StepError as error:
        return None, [], str(error)


def header(run: FlowRun, record: Record | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="pf-run-head"):
        badge = parts.badge(run.state, parts.tone(run.kind, run.state))
        st.html(f'<div class="pf-head pf-title"><h1>{html(run.name)}</h1>{badge}</div>', width="content")
        st.space("stretch")
        if st.button(
            "Run again",
            icon=":material/replay:",
            key="runs_again",
            help="Open New run with these parameters",
        ):
            again(run)
        if run.active and run.kind != "CANCELLING" and not acts.refusal():
            cancel_control(run)
    if trouble := st.session_state.pop("runs_trouble", ""):
        parts.error(trouble)
    if run.kind == "SCHEDULED" and reads.launch_trouble(run.flow) == ("", False):
        st.warning("No worker is running, so this run waits. `make up` starts a worker.")
    if run.message and run.kind in ("FAILED", "CRASHED"):
        parts.error(run.message[:1500])
    pages = reads.runs().address
    tags = record.tags if record else {}
    parts.facts(
        [
            ("Runs", html(flow_titles()[run.flow])),
            ("Started", html(clock(run.started)) or "not yet"),
            ("Duration", html(duration(run.seconds)) if run.started else ""),
            ("Changed", html(parts.changes(run, 6))),
            ("Prefect run", parts.link(run.id[:8], reads.page_address(f"{pages}/runs/flow-run/{run.id}"))),
            ("MLflow run", mlflow_cell(record)),
            *((title, parts.mono(tags[name])) for name, title in LINKED.items() if tags.get(name)),
        ]
    )


def mlflow_cell(record: Record | None) -> str:
    if record is None:
        return ""
    address = reads.records().link(record)
    return parts.link(record.id[:8], reads.page_address(address)) if address else parts.mono(record.id, 8)


def again(run: FlowRun) -> None:
    import json

    overrides = json.dumps(run.overrides) if run.overrides else ""
    given = {"overrides": overrides, "profile": run.profile, "flow": run.flow, "text": run.text, "size": run.size}
    for name in given:  # so that the Launch page reads the state from its address
        st.session_state.pop(f"launch_{name}", None)
    st.switch_page("pages/new_run.py", query_params={name: value for name, value in given.items() if value})


def cancel_control(run: FlowRun) -> None:
    """A button with a confirmation, in a popover, because the page's refresh would close a dialog."""
    with st.popover("Cancel", icon=":material/stop_circle:", key="runs_cancel"):
        st.write("The running stage stops. Finished stages stay cached, and a new run resumes after them.")
        st.button(
            f"Cancel {plain(run.name)}",
            type="primary",
            key="runs_cancel_sure",
            on_click=cancel,
            args=(run,),
            width="stretch",
        )


def cancel(run: FlowRun) -> None:
    try:
        acts.cancel(run)
    except StepError as error:
        st.session_state["runs_trouble"] = str(error)


def stage_panel(run: FlowRun, stages: list[StageRun], figures: Mapping[str, dict[str, float] | None]) -> None:
    done = sum(stage.kind == "COMPLETED" for stage in stages)
    cached = sum(stage.state == "Cached" for stage in stages)
    parts.label(f"Stages · {done} of {len(stages)} done" + (f", {cached} cached" if cached else ""))
    st.html(
        parts.stage_list([(stage, figures.get(stage.name)) for stage in stages], reads.stages(run.flow), run.active)
    )


def log_panel(run: FlowRun, stages: list[StageRun]) -> None:
    names = {stage.task_run_id: stage.name for stage in stages if stage.task_run_id}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        parts.label("Log")
        st.space("stretch")
        wanted = st.selectbox(
            "Log of",
            ["", *names],
            format_func=lambda key: names.get(key, "all stages"),
            key="runs_stage",
            label_visibility="collapsed",
            width=220,
        )
    lines = reads.logs(run.id, wanted or "")
    if not lines:
        later, ended = "Lines appear here as the stages print them.", "Cached stages print nothing."
        parts.empty("Nothing logged" + (" yet" if run.active else ""), later if run.active else ended)
        return
    st.html(parts.log_block((line.time, line.level, names.get(line.task_run_id, "flow"), line.text) for line in lines))


detail()
