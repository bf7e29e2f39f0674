"""Runs: the latest runs, and a live view of one: stages, loss, log."""

from collections.abc import Mapping

import streamlit as st

from components.errors import StepError
from flows.client import FlowRun, Record, StageRun, flow_titles
from ui import charts, parts, services

EVERY = 2.0  # seconds between refreshes while something may change
SHOWN = 40  # runs in the list
LINKED = {"workspace": "Workspace", "git.commit": "Commit", "git.source": "Source"}  # tags of the MLflow run to show


def chosen_run() -> str:
    return st.query_params.get("run", "")


def choose(run_id: str) -> None:
    st.query_params["run"] = run_id
    st.session_state.pop("runs_stage", None)


@st.fragment(run_every=EVERY)
def run_list() -> None:
    """The list of runs, which refreshes itself."""
    try:
        runs = services.runs().recent(SHOWN)
    except StepError as error:
        parts.error(error)
        return
    if not runs:
        parts.empty("No runs yet", "Start one on the Launch page, or with `make run`.")
        return
    if not chosen_run():
        choose(runs[0].id)
        st.rerun()
    with st.container(key="pf-run-list", gap="xxsmall"):
        for run in runs:
            mark = "chosen" if run.id == chosen_run() else "plain"
            with st.container(key=f"pf-row-{mark}-{run.id}", gap=None):
                st.html(parts.run_row(run))
                # Not a callback: a fragment's button reruns only the fragment, but the details are outside of it.
                if st.button(f"Open {parts.plain(run.name)}", key=f"open-{run.id}", width="stretch"):
                    choose(run.id)
                    st.rerun()


def detail() -> None:
    """The chosen run. It refreshes while the run is active, and once more after its end."""
    run_id = chosen_run()
    if not run_id:
        return
    try:
        run = services.runs().get(run_id)
    except StepError:
        return  # the list shows the error
    if run is None:
        parts.empty("No such run", f"The Prefect server has no run {run_id}. Choose one from the list.")
        return
    st.fragment(live, run_every=EVERY if run.active else None)(run_id, run.active)


def live(run_id: str, was_active: bool) -> None:
    runs = services.runs()
    try:
        run = runs.get(run_id)
        stages = runs.stages(run_id, services.stages(run.flow)) if run else []
        figures = {stage.name: runs.progress(stage) for stage in stages if stage.running}
    except StepError as error:
        parts.error(error)
        return
    if run is None:
        st.rerun()
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
            st.plotly_chart(
                charts.losses(curves), key="runs_loss", config={"displaylogo": False, "displayModeBar": False}
            )
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
        record = services.records().parent_of(run.id)
        return record, services.curves(services.stage_records(record, run.id)), ""
    except StepError as error:
        return None, [], str(error)


def header(run: FlowRun, record: Record | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="pf-run-head"):
        badge = parts.badge(run.state, parts.tone(run.kind, run.state))
        st.html(f'<div class="pf-head pf-title"><h1>{parts.escape(run.name)}</h1>{badge}</div>', width="content")
        st.space("stretch")
        if st.button(
            "Launch again",
            icon=":material/replay:",
            key="runs_again",
            help="Open the Launch page with these parameters",
        ):
            again(run)
        if run.active and run.kind != "CANCELLING" and not services.read_only():
            cancel_control(run)
    if trouble := st.session_state.pop("runs_trouble", ""):
        parts.error(trouble)
    if run.kind == "SCHEDULED" and services.launch_trouble(run.flow) == ("", False):
        st.warning("No worker is running, so this run waits. `make up` starts a worker.")
    if run.message and run.kind in ("FAILED", "CRASHED"):
        parts.error(run.message[:1500])
    pages = services.runs().address
    tags = record.tags if record else {}
    parts.facts(
        [
            ("Runs", parts.escape(flow_titles()[run.flow])),
            ("Started", parts.escape(parts.clock(run.started)) or "not yet"),
            ("Duration", parts.escape(parts.duration(run.seconds)) if run.started else ""),
            ("Changed", parts.escape(parts.changes(run, 6))),
            ("Prefect run", parts.link(run.id[:8], services.page_address(f"{pages}/runs/flow-run/{run.id}"))),
            ("MLflow run", mlflow_cell(record)),
            *((title, parts.mono(tags[name])) for name, title in LINKED.items() if tags.get(name)),
        ]
    )


def mlflow_cell(record: Record | None) -> str:
    if record is None:
        return ""
    address = services.records().link(record)
    return parts.link(record.id[:8], services.page_address(address)) if address else parts.mono(record.id, 8)


def again(run: FlowRun) -> None:
    import json

    overrides = json.dumps(run.overrides) if run.overrides else ""
    given = {"overrides": overrides, "profile": run.profile, "flow": run.flow, "text": run.text, "size": run.size}
    for name in given:  # so that the Launch page reads the state from its address
        st.session_state.pop(f"launch_{name}", None)
    st.switch_page("views/launch.py", query_params={name: value for name, value in given.items() if value})


def cancel_control(run: FlowRun) -> None:
    """A button with a confirmation, in a popover, because the page's refresh would close a dialog."""
    with st.popover("Cancel", icon=":material/stop_circle:", key="runs_cancel"):
        st.write("The running stage stops. Finished stages stay cached, and a new run resumes after them.")
        st.button(
            f"Cancel {parts.plain(run.name)}",
            type="primary",
            key="runs_cancel_sure",
            on_click=cancel,
            args=(run.id,),
            width="stretch",
        )


def cancel(run_id: str) -> None:
    try:
        services.acting_runs().cancel(run_id)
    except StepError as error:
        st.session_state["runs_trouble"] = str(error)


def stage_panel(run: FlowRun, stages: list[StageRun], figures: Mapping[str, dict[str, float] | None]) -> None:
    done = sum(stage.kind == "COMPLETED" for stage in stages)
    cached = sum(stage.state == "Cached" for stage in stages)
    parts.label(f"Stages · {done} of {len(stages)} done" + (f", {cached} cached" if cached else ""))
    st.html(
        parts.stage_list([(stage, figures.get(stage.name)) for stage in stages], services.stages(run.flow), run.active)
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
    try:
        lines = services.runs().logs(run.id, wanted or "")
    except StepError as error:
        parts.error(error)
        return
    if not lines:
        later, ended = "Lines appear here as the stages print them.", "Cached stages print nothing."
        parts.empty("Nothing logged" + (" yet" if run.active else ""), later if run.active else ended)
        return
    st.html(parts.log_block((line.time, line.level, names.get(line.task_run_id, "flow"), line.text) for line in lines))


def page() -> None:
    with st.container(key="pf-split"):
        list_side, detail_side = st.columns([1, 3], gap="large")
        with list_side:
            parts.heading("Runs")
            run_list()
        with detail_side, st.container(key="pf-detail"):
            detail()


page()
