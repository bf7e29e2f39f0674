"""Tune: teach a model from rows of your own or from verified exercises, and see what it learned and forgot."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

import streamlit as st

from components.errors import StepError
from components.params.tuning import TuningParams
from components.results.power import difference_words
from flows.client import Launch, project_root
from flows.client import text as texts
from flows.client.tuning import Checked
from ui import acts, banner, parts, reads
from ui.text import ago, html, plain

EXERCISES, FILES, UPLOAD = "Verified exercises", "Files", "Upload"
FLOW = "tuning"
MEASURES = (
    ("exam", "Exam", 3),
    ("reworded", "Held-out wordings", 3),
    ("bits_per_byte", "Held-out text, bits per byte", 4),
)


def options(name: str) -> list[str]:
    """The values that a parameter allows."""
    return [value for value in get_args(TuningParams.model_fields[name].annotation) if isinstance(value, str)]


def about(name: str) -> str:
    return str(TuningParams.model_fields[name].description)


def data() -> list[str] | None:
    """The files to learn from: none for the exercises; None if nothing is chosen yet."""
    parts.step("What it learns from")
    ways = [EXERCISES] if acts.refusal() else [EXERCISES, FILES, UPLOAD]
    way = st.segmented_control("From", ways, default=EXERCISES, key="from", required=True, label_visibility="collapsed")
    if way == FILES:
        given = st.text_input(
            "JSONL files", key="files", placeholder="/home/me/chats.jsonl", bind="query-params",
            help="Rows with `messages`, with `prompt` and `completion`, or with `prompt`, `chosen` and `rejected`. Several: separated by commas.",
        )  # fmt: skip
        return [str((project_root() / name.strip()).resolve()) for name in given.split(",") if name.strip()] or None
    if way == UPLOAD:
        files = st.file_uploader("JSONL files", type=["jsonl"], accept_multiple_files=True, key="rows")
        if not files:
            return None
        folder = texts.store(project_root(), [(file.name, file.getvalue()) for file in files])
        return sorted(str(path) for path in folder.iterdir())
    return []


def preview(files: list[str], objective: str) -> Checked | None:
    """Count the rows and show the first, or say what is wrong with them."""
    try:
        found = reads.tuning_rows(tuple(files), objective)
    except StepError as error:
        parts.error(error)
        return None
    st.caption(f"{found.rows:,} rows; the first {len(found.sample)}:")
    for row in found.sample:
        st.html(f'<dl class="pf-samples">{"".join(pair(name, value) for name, value in row.items())}</dl>')
    return found


def pair(name: str, value: Any) -> str:
    if isinstance(value, list):
        value = "\n".join(f"{one.get('role')}: {one.get('content')}" for one in value if isinstance(one, Mapping))
    return f"<dt>{html(name, 40)}</dt><dd>{html(value, 600)}</dd>"


def settings() -> dict[str, Any]:
    """How it is tuned: the parameters that differ from params.yaml."""
    default = reads.defaults(None)[FLOW]
    parts.step("How")
    with st.container(horizontal=True):
        chosen: dict[str, Any] = {
            name: st.selectbox(
                title, options(name), options(name).index(default[name]), key=f"tune-{name}", width=200, help=about(name)
            )
            for name, title in (("model", "Model"), ("method", "Method"), ("objective", "Objective"))
        }  # fmt: skip
        if chosen["method"] == "lora":
            chosen["rank"] = int(
                st.number_input("Rank", 1, 256, default["rank"], key="tune-rank", width=120, help=about("rank"))
            )
        chosen["learning_rate"] = st.number_input(
            "Learning rate", 1e-6, 1.0, default["learning_rate"], 1e-4, "%.5f", key="tune-rate", width=150, help=about("learning_rate")
        )  # fmt: skip
        chosen["epochs"] = st.number_input(
            "Passes", 0.1, 100.0, default["epochs"], 0.5, key="tune-epochs", width=120, help=about("epochs")
        )
    return {f"{FLOW}.{name}": value for name, value in chosen.items() if value != default[name]}


def start(files: list[str], changed: dict[str, Any]) -> None:
    """The command that does the same, and the button."""
    wanted = Launch(changed | ({f"{FLOW}.data": files} if files else {}), flow=FLOW)
    if st.button("Start the run", type="primary", icon=":material/play_arrow:", disabled=bool(acts.refusal())):
        run = acts.launch(wanted)
        st.switch_page("views/run.py", query_params={"run": run.id})
    with st.popover("On the terminal", icon=":material/terminal:"):
        st.code(wanted.command, language="bash", wrap_lines=True)


def results() -> None:
    """What the latest runs have changed."""
    found = reads.tuned()
    if not found:
        return
    parts.step("Before and after")
    rows = []
    for one in found[:20]:
        own, done = one.settings, one.result.get("training", {})
        how = (
            f"{own.get('objective', '')}, {own.get('method', '')}, rate {own.get('learning_rate', 0):g}" if own else ""
        )
        cells = [
            html(difference_words(one.result[key], digits), 80) if key in one.result else "-"
            for key, _, digits in MEASURES
        ]
        when = ago(datetime.fromtimestamp(one.when, UTC))
        rows.append(
            [
                f'<span class="pf-nowrap">{html(when)}</span>',
                html(f"{own.get('model', '')}: {how}", 80),
                f"{done.get('trained_on', 0):,}",
                *cells,
            ]
        )
    parts.table(["Run", "How", "rows", *(title for _, title, _ in MEASURES)], rows, "pf-tuned")
    st.caption(
        "After minus before, with 95% intervals over the same questions and documents. Bits per byte above 0 are forgotten. "
        "The tuned model of the latest run is `tuned` in Chat."
    )


def page() -> None:
    parts.heading(
        "Tune", "Teach a model from your rows or from verified exercises, and see what it learned and forgot."
    )
    with banner.shielded("Fine-tuning"):
        if not reads.models():
            parts.empty("No models yet", "A run makes them. Start one on New run, or with `make run`.")
            return
        if reason := acts.refusal():
            st.caption(plain(reason))
        files = data()
        changed = settings()
        if files is None:
            st.caption("Name or upload rows to go on.")
        elif preview(files, changed.get(f"{FLOW}.objective", reads.defaults(None)[FLOW]["objective"])) is not None:
            start(files, changed)
        results()


page()
