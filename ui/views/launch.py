"""Launch: choose a profile, change parameters, check the run, start it."""

import json
from typing import Any

import streamlit as st

from components.errors import StepError
from components.params.sizing import WIDTHS
from flows.client import Launch, flow_titles
from ui import forms, parts, services

state = st.session_state
CHANGED = "launch_overrides"  # dotted key -> chosen value; the form's only state
DRAFTS = "launch_drafts"  # dotted key -> YAML text that does not parse yet
FIRST = "training"  # the section that is open without changes
SIZES = ("", "auto", *WIDTHS)
FORM = "launch_form"  # increased when values change outside of the widgets, so that new widgets show them


def begin() -> None:
    """Read the state from the page's address at the first visit, so that a reload or a link keeps it."""
    if CHANGED in state:
        return
    state[CHANGED] = forms.parse_link(st.query_params.get("overrides", "{}"))
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


def take_text(key: str, widget: str, default: Any) -> None:
    """A YAML field was edited: use its value, or keep the text until it is valid."""
    try:
        choose(key, forms.from_yaml(state[widget]), default)
        state[DRAFTS].pop(key, None)
    except StepError:
        state[DRAFTS][key] = state[widget]


def take(key: str, widget: str, default: Any) -> None:
    """Another field was edited; an empty one means its default."""
    value = state[widget]
    choose(key, default if value is None else value, default)


def draw(field: forms.Field, base: dict[str, Any], problem: str) -> None:
    """One parameter: its widget, its meaning, and its default if it is changed."""
    default = forms.lookup(base, field.key)
    value = state[CHANGED].get(field.key, default)
    changed = field.key in state[CHANGED] or field.key in state[DRAFTS]
    refused = named(field, problem)
    mark = "refused" if refused else "changed" if changed else "plain"
    with st.container(key=f"pf-field-{mark}-{field.key.replace('.', '-')}", gap=None):
        widget(field, value, default)
        note = field.description
        if field.group.count(".") and field.group.endswith(".epochs"):
            note = ""
        if changed:
            st.caption(f":orange[**default {parts.plain(parts.number(default))}**]" + (f" · {note}" if note else ""))
        elif note:
            st.caption(note)


def named(field: forms.Field, problem: str) -> bool:
    """Whether the check's message names a field, by its key or, for rules on several fields, by section and name."""
    rules = f"{field.group}: " in problem and field.group
    return any(f"{field.key}{end}" in problem for end in (" ", ":")) or bool(rules and f"{field.name} " in problem)


def widget(field: forms.Field, value: Any, default: Any) -> None:
    key = f"{state[FORM]}:{field.key}"
    text = field.name.replace("_", " ")
    tip = f"`{field.key}`" + (f": {field.allowed}" if field.allowed else "")
    common = {"key": key, "help": tip, "on_change": take, "args": (field.key, key, default)}
    if field.kind == "yaml":
        common["on_change"] = take_text
        state.setdefault(key, state[DRAFTS].get(field.key, forms.to_yaml(value)))
        several = isinstance(default, list | dict)
        st.text_area(f"{text} (YAML)", height=120, **common) if several else st.text_input(text, **common)
        return
    if field.kind == "number":
        value = float(value)
    state.setdefault(key, value)
    if field.kind == "choice":
        st.selectbox(text, field.choices, **common)
    elif field.kind == "switch":
        st.toggle(text, **common)
    elif field.kind == "text":
        st.text_input(text, **common)
    else:
        whole = field.kind == "integer"
        step = forms.step(default or 0, whole)
        # Without bounds: a browser would drop values outside without a message, but the check below explains them.
        st.number_input(text, step=int(step) if whole else step, format="%d" if whole else "%.12g", **common)


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
                f'<div class="pf-change"><code>{parts.escape(key)}</code><div><s>{parts.escape(parts.number(default))}</s>'
                f"<b>{parts.escape(parts.number(value))}</b></div></div>"
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
    trouble, listening = services.launch_trouble(state["launch_flow"])
    if trouble:
        parts.error(trouble)
    elif not listening:
        st.warning("No worker is running, so a new run waits. `make up` starts a worker.")
    if services.read_only():
        st.info("You are not logged in as operator: you can view everything but not start runs.")
    if st.button(
        "Start the run",
        type="primary",
        disabled=bool(problem) or services.read_only(),
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
        run = services.acting_runs().launch(wanted())
    except StepError as error:
        services.launch_trouble.clear()
        parts.error(error)
        return
    st.switch_page("views/runs.py", query_params={"run": run.id})


def page() -> None:
    begin()
    parts.heading("Launch", "Start a run with these parameters. Unchanged parameters have the values in params.yaml.")
    form_side, run_side = st.columns([2, 1], gap="large")
    with run_side, st.container(key="pf-summary", border=True):
        profiles = services.profiles()
        if state["launch_profile"] not in profiles:
            state["launch_profile"] = ""
        titles = flow_titles()
        st.selectbox(
            "Flow",
            list(titles),
            format_func=lambda name: titles[name].capitalize(),
            key="launch_flow",
            persist_state="session",
        )
        st.selectbox(
            "Profile",
            ["", *profiles],
            format_func=lambda name: name or "params.yaml without changes",
            key="launch_profile",
            persist_state="session",
            on_change=lambda: state.update({FORM: state[FORM] + 1}),
        )
        st.text_input(
            "Text to train on",
            placeholder="ingestion.sources as below",
            help="Folders, files, patterns or addresses, separated by commas or spaces; relative paths start at the "
            "project's folder.",
            key="launch_text",
            persist_state="session",
        )
        st.selectbox(
            "Size",
            SIZES,
            format_func=lambda name: name or "as in the parameters, or to fit the text above",
            help=(
                "Size of the smaller model of the pair, with vocabulary, tokens, batch and learning rates to "
                "match; auto fits the text and this machine. Your changes below take precedence."
            ),
            key="launch_size",
            persist_state="session",
        )
    try:
        base = services.defaults(state["launch_profile"])
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
