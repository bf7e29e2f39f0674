"""New run: choose a profile, change parameters, check the run, start it."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import streamlit as st

from components.errors import StepError
from components.params.sizing import WIDTHS
from flows.client import Launch, flow_titles
from ui import acts, fields, forms, parts, reads
from ui.text import clean, html, number, plain

state = st.session_state
CHANGED = "launch_overrides"  # dotted key -> chosen value; the form's only state
DRAFTS = "launch_drafts"  # dotted key -> YAML text that does not parse yet
REFUSED = "launch_refused"  # what a link asked for that no widget can show
FIRST = "training"  # the section that is open without changes
SIZES = ("", "auto", *WIDTHS)
FORM = "launch_form"  # increased when values change outside of the widgets, so that new widgets show them


def begin() -> None:
    """Read the state from the page's address at the first visit, so that a reload or a link keeps it."""
    if CHANGED in state:
        return
    state[CHANGED], state[REFUSED] = forms.parse_link(st.query_params.get("overrides", "{}"))
    state[DRAFTS], state[FORM] = {}, 0
    state["launch_profile"] = st.query_params.get("profile", "")
    flow = st.query_params.get("flow", "")
    state["launch_flow"] = flow if flow in flow_titles() else next(iter(flow_titles()))
    state["launch_text"] = st.query_params.get("text", "")
    size = st.query_params.get("size", "")
    state["launch_size"] = size if size in SIZES else ""


def remember() -> None:
    """Write the state into the page's address."""
    address = {}
    if state[CHANGED]:
        address["overrides"] = json.dumps(state[CHANGED], ensure_ascii=False)
    if state["launch_profile"]:
        address["profile"] = state["launch_profile"]
    if state["launch_flow"] != next(iter(flow_titles())):
        address["flow"] = state["launch_flow"]
    address |= {name: state[f"launch_{name}"] for name in ("text", "size") if state[f"launch_{name}"]}
    if address != st.query_params.to_dict():
        st.query_params.from_dict(address)


def choose(key: str, value: Any, default: Any) -> None:
    if forms.same(value, default):
        state[CHANGED].pop(key, None)
    else:
        state[CHANGED][key] = value


def undo(keys: list[str]) -> None:
    for key in keys:
        state[CHANGED].pop(key, None)
        state[DRAFTS].pop(key, None)
    state[FORM] += 1


def edit(field: forms.Field, answer: Any, default: Any) -> None:
    """A field was edited. Of a YAML field, use the value, or keep the text until it is valid."""
    if field.kind == "yaml" and isinstance(answer, str):
        try:
            answer = forms.from_yaml(answer)
        except StepError:
            state[DRAFTS][field.key] = answer
            return
        state[DRAFTS].pop(field.key, None)
    choose(field.key, answer, default)


def keep(name: str) -> None:
    """A choice beside the parameters was edited."""
    state[f"launch_{name}"] = state[f"widget_{name}"]


def draw(field: forms.Field, base: dict[str, Any], problem: str) -> None:
    """One parameter: its widget, its meaning, and its default if it is changed."""
    default = forms.lookup(base, field.key)
    value = state[CHANGED].get(field.key, default)
    changed = field.key in state[CHANGED] or field.key in state[DRAFTS]
    refused = named(field, problem)
    mark = "refused" if refused else "changed" if changed else "plain"
    with st.container(key=f"pf-field-{mark}-{field.key.replace('.', '-')}", gap=None):
        fields.draw(
            field,
            value,
            default,
            lambda _, answer: edit(field, answer, default),
            state[FORM],
            state[DRAFTS].get(field.key),
        )
        note = field.description
        if field.group.count(".") and field.group.endswith(".epochs"):
            note = ""
        if changed:
            st.caption(f":orange[**default {plain(number(default))}**]" + (f" · {note}" if note else ""))
        elif note:
            st.caption(note)


def named(field: forms.Field, problem: str) -> bool:
    """Whether the check's message names a field, by its key or, for rules on several fields, by section and name."""
    rules = f"{field.group}: " in problem and field.group
    return any(f"{field.key}{end}" in problem for end in (" ", ":")) or bool(rules and f"{field.name} " in problem)


def form(base: dict[str, Any], changed: dict[str, Any], problem: str) -> None:
    """The parameters of the chosen section, or those that the search finds."""
    everything, sections = forms.fields(), forms.sections()
    count = {s: sum(f.key in changed for f in everything if f.section == s) for s in sections}
    query = st.text_input(
        "Find a parameter",
        placeholder="Find a parameter in any section",
        label_visibility="collapsed",
        key="launch_query",
        type="search",
    )
    section = st.pills(
        "Section",
        list(sections),
        default=next((s for s in sections if count[s]), FIRST),
        format_func=lambda s: f"{s} · {count[s]}" if count[s] else s,
        key="launch_section",
        label_visibility="collapsed",
        persist_state="session",
        wrap=True,
    )
    words = query.lower().replace(" ", "_").split()
    if words:
        shown = [
            f for f in everything if all(w in f.key.lower() or query.lower() in f.description.lower() for w in words)
        ]
    else:
        section = section or FIRST
        shown = [f for f in everything if f.section == section]
        if sections[section]:
            st.caption(sections[section])
    if not shown:
        parts.empty("No parameter matches", f"No name or description contains {query!r}.")
    for group in dict.fromkeys(f.group for f in shown):
        members = [f for f in shown if f.group == group]
        title = group if words else group.removeprefix(shown[0].section).strip(".")
        if title:
            parts.label(title)
        with st.grid(2, min_column_width=250, gap="medium"):
            for field in members:
                draw(field, base, problem)


def summary(base: dict[str, Any], changed: dict[str, tuple[Any, Any]], problem: str) -> None:
    """Summary of the run: changes, result of the check, command, button."""
    parts.label(f"{len(changed)} changed" if changed else "Changes")
    if not changed:
        st.caption("Every parameter is at its default. Change one and it is listed here.")
    for key, (default, value) in changed.items():
        with st.container(
            horizontal=True, vertical_alignment="center", gap="small", key=f"pf-change-{key.replace('.', '-')}"
        ):
            st.html(
                f'<div class="pf-change"><code>{html(key)}</code><div><s>{html(number(default))}</s>'
                f"<b>{html(number(value))}</b></div></div>"
            )
            st.button(
                "", icon=":material/undo:", key=f"undo {key}", help="Back to the default", on_click=undo, args=([key],),
                type="tertiary",
            )  # fmt: skip
    if len(changed) > 1:
        st.button("Back to all defaults", on_click=undo, args=(list(state[CHANGED]),), key="undo all")
    for key, text in state[DRAFTS].items():
        try:
            forms.from_yaml(text)
        except StepError as error:
            problem = f"{key}: {error}"
    if problem:
        parts.error(problem)
    parts.label("Command")
    st.code(wanted().command, language="bash", wrap_lines=True)
    trouble, listening = reads.launch_trouble(state["launch_flow"])
    if trouble:
        parts.error(trouble)
    elif not listening:
        st.warning("No worker is running, so a new run waits. `make up` starts a worker.")
    refusal = acts.refusal()
    if refusal:
        st.info(refusal)
    if st.button(
        "Start the run",
        type="primary",
        disabled=bool(problem or refusal),
        width="stretch",
        key="launch_start",
    ):
        start()


def wanted() -> Launch:
    """The run that the page describes."""
    return Launch(state[CHANGED], *(state[f"launch_{name}"] for name in ("profile", "flow", "text", "size")))


def start() -> None:
    """Create the flow run and open its page."""
    try:
        run = acts.launch(wanted())
    except StepError as error:
        reads.launch_trouble.clear()
        parts.error(error)
        return
    st.switch_page("pages/run.py", query_params={"run": run.id})


def choice(label: str, name: str, options: Iterable[str], words: Callable[[str], str], tip: str | None = None) -> None:
    """A choice beside the parameters."""
    known = [*options]
    place = known.index(state[f"launch_{name}"])
    key = f"widget_{name}"
    st.selectbox(label, known, place, format_func=words, help=tip, key=key, on_change=keep, args=(name,))


def page() -> None:
    begin()
    for problem in state[REFUSED]:
        st.warning(f"Left out of this link: {plain(problem)}")
    parts.heading("New run", "Start a run with these parameters. Unchanged parameters have the values in params.yaml.")
    form_side, run_side = st.columns([2, 1], gap="large")
    with run_side, st.container(key="pf-summary", border=True):
        profiles = reads.profiles()
        if state["launch_profile"] not in profiles:
            state["launch_profile"] = ""
        titles = flow_titles()
        choice("Flow", "flow", titles, lambda name: titles[name].capitalize())
        choice("Profile", "profile", ["", *profiles], lambda name: clean(name) or "params.yaml without changes")
        st.text_input(
            "Text to train on",
            state["launch_text"],
            placeholder="ingestion.sources as below",
            help="Folders, files, patterns or addresses, separated by commas or spaces; relative paths start at the "
            "project's folder.",
            key="widget_text",
            on_change=keep,
            args=("text",),
        )
        choice(
            "Size",
            "size",
            SIZES,
            lambda name: name or "as in the parameters, or to fit the text above",
            "Size of the smaller model of the pair, with vocabulary, tokens, batch and learning rates to match; auto fits the "
            "text and this machine. Your changes below take precedence.",
        )
    try:
        base = reads.defaults(state["launch_profile"])
    except StepError as error:
        parts.error(error)
        return
    changed = forms.differences(base, state[CHANGED])
    state[CHANGED] = {key: value for key, (_, value) in changed.items()}
    problem = forms.check(base, state[CHANGED])
    with form_side:
        form(base, changed, problem)
    with run_side, st.container(key="pf-summary-rest", border=True):
        summary(base, changed, problem)
    remember()


page()
