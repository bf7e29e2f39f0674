"""Run: one run. While it works: its pipeline, curves and log, live. When it has ended: first what it gave."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from components.errors import StepError
from components.results.comparability import NATS, SCORE
from components.results.power import difference_words
from flows.client import Curve, FlowRun, Launch, Record, StageRun, flow_titles
from ui import acts, banner, charts, decisions, graph, parts, reads, timing
from ui.text import ago, clean, clock, duration, html, left, plain
from ui.theme import tone

EVERY = 2.0  # seconds between refreshes while something may change
LINKED = {"workspace": "Workspace", "git.commit": "Commit", "git.source": "Source"}  # tags of the MLflow run to show
CURVES = {  # metric: name, unit, and what to know about it
    "validation_loss": ("Validation loss", "nats per token", "On held-out text: the one to compare runs by."),
    "loss": (
        "Training loss",
        "nats per token",
        "On the text that the model is reading, much of it exercises, which are easier than your text. Do not compare it with the "
        "validation loss.",
    ),
    "learning_rate": ("Learning rate", "", ""),
    "gradient_norm": ("Gradient norm", "before clipping", ""),
    "tokens_per_second": ("Speed", "tokens per second", ""),
}
REPORTS = {  # name: stage that stored it, path
    "Report": ("report", "report/index.html"),
    "Curation": ("curate", "curation/index.html"),
    "Textbooks": ("synthesize", "textbooks/textbooks.html"),
    "Gate of raw text": ("validate_raw", "validation/raw/index.html"),
    "Gate of curated text": ("validate_curated", "validation/curated/index.html"),
    "Gate of textbooks": ("validate_textbooks", "validation/textbooks/index.html"),
    "Gate of tokens": ("validate_tokens", "validation/tokens/index.html"),
}


def page() -> None:
    """The run of the address. It refreshes while it is active, and once more after its end."""
    run_id = st.query_params.get("run", "")
    with banner.shielded("The run"):
        run = reads.flow_run(run_id) if run_id else None
        if run is None:
            missing = f"The Prefect server has no run {clean(run_id, 60)}. " if run_id else ""
            parts.empty("No such run" if run_id else "No run is chosen", f"{missing}Choose one on the page Runs.")
            return
        st.fragment(live, run_every=EVERY if run.active else None)(run_id, run.active)


def live(run_id: str, was_active: bool) -> None:
    with banner.shielded("The run"):
        run = reads.flow_run(run_id)
        if run is None or (was_active and not run.active):
            st.rerun()  # the whole page, which then stops refreshing
            return
        show(run)


def show(run: FlowRun) -> None:
    stages = reads.stage_runs(run.id, run.flow)
    figures = {stage.name: reads.progress(stage.task_run_id) for stage in stages if stage.running}
    record: Record | None = None
    records: dict[str, Record] = {}
    with banner.shielded():
        record = reads.parent_of(run.id)
        records = reads.stage_records(record, run.id)
    header(run)
    if run.active:
        now(stages, figures)
    else:
        with banner.shielded("The result"):
            result(run, records)
    one, other = st.columns([5, 6], gap="large")
    with one:
        pipeline(run, stages, figures)
    with other, banner.shielded("Curves"):
        curves(run, records)
    with banner.shielded("The log"):
        log(run, stages)
    about(run, record)


def header(run: FlowRun) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="pf-run-head"):
        badge = parts.badge(run.state, tone(run.kind, run.state))
        st.html(f'<div class="pf-head pf-title"><h1>{html(run.name, 80)}</h1>{badge}</div>', width="content")
        st.space("stretch")
        if st.button(
            "Edit and run", icon=":material/tune:", key="run_again", help="Open New run with these parameters"
        ):
            again(run)
        refusal = acts.refusal()
        if run.kind in ("FAILED", "CRASHED", "CANCELLED") and not refusal:
            tip = "Start a run with the same parameters; finished stages are cached"
            if st.button("Retry", icon=":material/replay:", key="run_retry", type="primary", help=tip):
                retry(run)
        if run.active and run.kind != "CANCELLING" and not refusal:
            cancel_control(run)
    started = f"started {ago(run.started)}, {duration(run.seconds)}" if run.started else "not started yet"
    by = next((f"by {act.by}, " for act in reads.acts(run.id) if act.what == "launch"), "")
    changed = "".join(f"<code>{html(words, 300)}</code>" for words in parts.changes(run)) or "<span>nothing</span>"
    st.html(
        f'<div class="pf-dim pf-under"><span>{html(flow_titles()[run.flow].capitalize())}, {html(by)}'
        f'<span title="{html(clock(run.started))}">{started}</span></span><div class="pf-changed">Changed: {changed}</div></div>'
    )
    if trouble := st.session_state.pop("run_trouble", ""):
        parts.error(trouble)
    if run.kind == "SCHEDULED" and reads.launch_trouble(run.flow) == ("", False):
        st.warning("No worker is running, so this run waits. `make up` starts a worker.")
    if run.message and run.kind in ("FAILED", "CRASHED"):
        parts.error(parts.reason(run))


def again(run: FlowRun) -> None:
    overrides = json.dumps(run.overrides) if run.overrides else ""
    given = {"overrides": overrides, "profile": run.profile, "flow": run.flow, "text": run.text, "size": run.size}
    for name in given:  # so that New run reads its state from the address
        st.session_state.pop(f"launch_{name}", None)
    st.switch_page("views/new_run.py", query_params={name: value for name, value in given.items() if value})


def retry(run: FlowRun) -> None:
    try:
        new = acts.retry(run)
    except StepError as error:
        st.session_state["run_trouble"] = str(error)
        return
    st.switch_page("views/run.py", query_params={"run": new.id})


def cancel_control(run: FlowRun) -> None:
    """A button with a confirmation, in a popover, because the page's refresh would close a dialog."""
    with st.popover("Cancel", icon=":material/stop_circle:", key="run_cancel"):
        st.write("The running stage stops. Finished stages stay cached, and a new run resumes after them.")
        st.button(
            f"Cancel {plain(run.name, 80)}",
            type="primary",
            key="run_cancel_sure",
            on_click=cancel,
            args=(run,),
            width="stretch",
        )


def cancel(run: FlowRun) -> None:
    try:
        acts.cancel(run)
    except StepError as error:
        st.session_state["run_trouble"] = str(error)


def now(stages: Sequence[StageRun], figures: timing.Figures) -> None:
    """How far the run is, and the figures of what is running."""
    usual: Mapping[str, float] = {}
    with banner.shielded():
        usual = reads.usual_seconds()
    at = timing.standing(stages, figures, usual)
    rest = "" if at.left is None else f"{left(at.left)} left"
    running = [(stage, figures.get(stage.name)) for stage in stages if stage.running]
    blocks = "".join(
        f'<div class="pf-now"><b>{html(stage.name)}</b>{parts.stage_bar(found) if found else ""}</div>'
        for stage, found in running
    )
    st.html(
        f'<div class="pf-card">{parts.bar(at.share, "stages done")}<div class="pf-dim"><span>{at.done} of {at.total} '
        f"stages</span><span>{rest}</span></div>{blocks}</div>"
    )


def result(run: FlowRun, records: Mapping[str, Record]) -> None:
    """What the run gave, from its report; nothing without one."""
    board = reads.leaderboard(records)
    if board:
        text = board.get("text") or {}
        parts.label("What your text gave")
        sentences = "".join(f"<li>{html(sentence, 600)}</li>" for sentence in text.get("sentences") or [])
        st.html(f'<ul class="pf-said">{sentences}{growth(board)}</ul>')
        parts.label("The models")
        models(board)
        continuations(text.get("continuations") or [])
    actions(run, records, bool(board))


def growth(board: Mapping[str, Any]) -> str:
    """How much the larger model gained over the small one, and how much of it its new entries carry."""
    said = []
    for found in board.get("exam_differences") or []:
        if found.get("against") == "small":
            said.append(
                f"On the exam, {html(found['of'], 40)} minus small is {html(difference_words(found), 160)} (paired)."
            )
    new = ((board.get("transfer") or {}).get("growth") or {}).get("new") or {}
    if isinstance(new.get("share"), int | float):
        said.append(
            f"The new entries of the grown model carry {min(max(new['share'], 0), 1):.0%} of what it gained in training."
        )
    return "".join(f"<li>{sentence}</li>" for sentence in said)


def models(board: Mapping[str, Any]) -> None:
    """Each model's size, losses and score, where they may be compared."""
    rows = []
    for model in board.get("models") or []:
        nats, score = model.get("loss_measure", NATS) == NATS, model.get("exam_measure", SCORE)
        exam = figure(model.get("exam_accuracy"), ".3f") if score else "-"
        if score and model.get("exam_stderr") is not None:
            exam += f" <small>± {model['exam_stderr']:.3f}</small>"
        rows.append(
            [
                html(model.get("name", ""), 40),
                figure(model.get("parameters"), ","),
                figure(model.get("tokens"), ","),
                figure(model.get("validation_loss") if nats else None, ".4f"),
                figure(model.get("bits_per_byte") if model.get("loss_measure", NATS) else None, ".4f"),
                exam,
            ]
        )
    head = ["", "Parameters", "Tokens", "Held-out loss", "Bits per byte", "Exam accuracy"]
    parts.table(head, rows, "pf-numbers")
    first: Mapping[str, Any] = next(iter(board.get("models") or []), {})
    guess = figure(first.get("chance"), ".3f")
    st.caption(
        f"Held-out loss in nats per token, fewer are better. ± one standard error; guessing gives {guess}. Control: the larger "
        "model trained from a random start on the same tokens."
    )
    for sentence in board.get("not_compared") or []:
        st.caption(plain(sentence))


def figure(value: Any, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else "-"


def continuations(samples: Sequence[Mapping[str, Any]]) -> None:
    """How the models continue held-out texts."""
    if not samples:
        return
    with st.expander("How they continue held-out text"):
        for sample in samples:
            lines = [("Starts", sample["prompt"]), ("Goes on", sample["truth"])]
            lines += [(model["by"], model["text"]) for model in sample["told"]]
            rows = "".join(f"<dt>{html(who, 40)}</dt><dd>{html(said, 800)}</dd>" for who, said in lines)
            st.html(f'<dl class="pf-samples">{rows}</dl>')


def actions(run: FlowRun, records: Mapping[str, Record], ended_well: bool) -> None:
    """What to do with the result: reports, other pages, promotion, commands."""
    links = [
        parts.link(name, f"/{reads.REPORT_PATH}/{records[stage].id}/{path}")
        for name, (stage, path) in REPORTS.items()
        if stage in records and records[stage].status != "RUNNING"
    ]
    with st.container(horizontal=True, vertical_alignment="center", key="pf-actions"):
        if links:
            st.html(f'<div class="pf-links">{"".join(links)}</div>', width="content")
        st.space("stretch")
        parent = reads.parent_of(run.id)
        if parent and ended_well:
            st.page_link(
                "views/compare.py", label="Compare", icon=":material/compare_arrows:", query_params={"runs": run.id}
            )
            promotion(run)
            commands(run, parent)


def promotion(run: FlowRun) -> None:
    """Make this run's model the champion, with a reason; nothing if it is, or is not registered."""
    if acts.refusal():
        return
    _, state = reads.champions()
    about = [one for one in state.decisions if one.get("flow_run") == run.id]
    version = about[-1]["version"] if about else ""
    if not version or version == state.champion:
        return
    words = f"Version {plain(version, 20)} becomes the champion instead of version {plain(state.champion, 20)}."
    words += f" The rule said: {plain(about[-1]['reason'])}"
    decisions.form("Promote", ":material/trophy:", "run_promote", lambda reason: acts.promote(version, reason), words)


def commands(run: FlowRun, parent: Record) -> None:
    """Commands for the model, to paste."""
    with st.popover("On the terminal", icon=":material/terminal:"):
        folder = f"workspaces/{parent.tags['workspace']}/models/large" if parent.tags.get("workspace") else "large"
        files, exported = "models/large" if folder == "large" else folder, f"exports/{run.name}"
        parts.commands(
            {
                "Talk to the larger model": ["chat", folder],
                "Export it for transformers, vLLM and llama.cpp": ["step", "phi", "--checkpoint", files, "--output", exported],
                "Write its model card, training content and bill of materials": [
                    "records", folder, "--output", f"{exported}-records",
                ],
            }
        )  # fmt: skip
        st.caption("The same run again")
        wanted = Launch(run.overrides, run.profile, run.flow, run.text, run.size)
        st.code(wanted.command, language="bash", wrap_lines=True)


def pipeline(run: FlowRun, stages: list[StageRun], figures: timing.Figures) -> None:
    """The pipeline as a graph; as a list where the screen is narrow."""
    done = sum(stage.kind == "COMPLETED" for stage in stages)
    cached = sum(stage.state == "Cached" for stage in stages)
    count = f" · {done} of {len(stages)} stages done" if stages else ""
    parts.label("Pipeline" + count + (f", {cached} cached" if cached else ""))
    descriptions = reads.stages(run.flow)
    known = [stage for stage in stages if stage.name in descriptions]
    st.html(
        f'<div class="pf-wide-only">{graph.draw(reads.graph(run.flow), known, descriptions, run.active)}</div>'
        '<div class="pf-narrow-only">'
        + parts.stage_list([(stage, figures.get(stage.name)) for stage in stages], descriptions, run.active)
        + "</div>"
    )
    for stage in stages:
        if stage.kind in ("FAILED", "CRASHED") and stage.message:
            st.html(f'<div class="pf-message pf-wide-only"><b>{html(stage.name)}</b>: {html(stage.message, 600)}</div>')


def curves(run: FlowRun, records: Mapping[str, Record]) -> None:
    """The history of one figure of the training stages."""
    found = reads.curves(records)
    known = [name for name in CURVES if any(curve.figure == name for curve in found)]
    parts.label("Training")
    if not known:
        later = "They appear at the first validation of a training stage."
        ended = "No stage of this run trained a model."
        parts.empty("No curves yet" if run.active else "No curves", later if run.active else ended)
        return
    chosen = st.segmented_control(
        "Figure",
        known,
        default=known[0],
        format_func=lambda name: CURVES[name][0],
        key="run_figure",
        label_visibility="collapsed",
        required=True,
    )
    _, unit, note = CURVES[chosen]
    shown: list[Curve] = [curve for curve in found if curve.figure == chosen]
    charts.show(charts.history(shown, unit), "run_curves")
    if note:
        st.caption(note)


def log(run: FlowRun, stages: list[StageRun]) -> None:
    names = {stage.task_run_id: stage.name for stage in stages if stage.task_run_id}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        parts.label("Log")
        st.space("stretch")
        wanted = st.selectbox(
            "Log of",
            ["", *names],
            format_func=lambda key: clean(names.get(key, "all stages"), 60),
            key="run_stage",
            label_visibility="collapsed",
            width=220,
        )
    lines = reads.logs(run.id, wanted or "")
    if not lines:
        later, ended = "Lines appear here as the stages print them.", "Cached stages print nothing."
        parts.empty("Nothing logged" + (" yet" if run.active else ""), later if run.active else ended)
        return
    st.html(parts.log_block((line.time, line.level, names.get(line.task_run_id, "flow"), line.text) for line in lines))


def about(run: FlowRun, record: Record | None) -> None:
    """Where the run is recorded, and who did what."""
    pages = reads.runs().address
    tags = record.tags if record else {}
    did = " · ".join(f"{html(act.what, 30)} by {html(act.by, 40)}, {clock(act.time)}" for act in reads.acts(run.id))
    parts.facts(
        [
            ("Started", html(clock(run.started)) or "not yet"),
            ("Prefect run", parts.link(run.id[:8], reads.page_address(f"{pages}/runs/flow-run/{run.id}"))),
            ("MLflow run", mlflow_cell(record)),
            *((title, parts.mono(tags[name])) for name, title in LINKED.items() if tags.get(name)),
            ("Acts", did),
        ]
    )


def mlflow_cell(record: Record | None) -> str:
    if record is None:
        return ""
    address = reads.records().link(record)
    return parts.link(record.id[:8], reads.page_address(address)) if address else parts.mono(record.id, 8)


page()
