"""New run: the text, the size, some parameters, and a card with what will happen."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from components.errors import StepError
from components.params.sizing import WIDTHS
from components.running.contents import Contents
from flows.client import Launch, launchable, project_root
from flows.client import text as texts
from flows.client.plans import Outlook
from flows.client.plans import outlook as plan_of
from ui import acts, fields, forms, parts, reads
from ui.text import clean, html, number, plain, size

state = st.session_state
CHANGED = "launch_overrides"  # dotted key -> chosen value; the form's only state
DRAFTS = "launch_drafts"  # dotted key -> YAML text that does not parse yet
REFUSED = "launch_refused"  # what a link asked for that no widget can show
FORM = "launch_form"  # increased when values change outside of the widgets, so that new widgets show them
BASE = "launch_base"  # the values that unchanged fields show
FIRST = "training"  # the section that is open without changes
SIZES = ("", "auto", *WIDTHS)
PATH, UPLOAD, EXAMPLE = "A path or address", "Upload files", "Example text"
ESSENTIALS = {  # with their labels
    "small.tokens": "training tokens, smaller model",
    "large.tokens": "training tokens, larger model",
    "small.learning_rate": "learning rate, smaller model",
    "large.learning_rate": "learning rate, larger model",
    "training.batch_tokens": "tokens per batch",
    "training.context_length": "context length",
    "tokenization.vocab_size": "vocabulary",
    "synthesis.exercises": "exercises",
    "transfer.operator": "growth operator",
    "seed": "seed",
}
READING = ("ingestion", "validation", "curation")  # sections that decide what of a text is read
LABELS = ("name", "tags", "note")  # of the run; not part of the address, because they are about one run


def begin() -> None:
    """Read the state from the page's address at the first visit, so that a reload or a link keeps it."""
    if CHANGED in state:
        return
    state[CHANGED], state[REFUSED] = forms.parse_link(st.query_params.get("overrides", "{}"))
    state[DRAFTS], state[FORM] = {}, 0
    state["launch_profile"] = st.query_params.get("profile", "")
    flow = st.query_params.get("flow", "")
    state["launch_flow"] = flow if flow in launchable() else next(iter(launchable()))
    state["launch_text"] = st.query_params.get("text", "")
    given = st.query_params.get("size", "")
    state["launch_size"] = given if given in SIZES else ""
    for name in LABELS:
        state[f"launch_{name}"] = ""
    state["launch_seeds"] = 1
    state["launch_from"] = PATH if state["launch_text"] else EXAMPLE


def remember() -> None:
    """Write the state into the page's address."""
    address = {}
    if state[CHANGED]:
        address["overrides"] = json.dumps(state[CHANGED], ensure_ascii=False)
    if state["launch_profile"]:
        address["profile"] = state["launch_profile"]
    if state["launch_flow"] != next(iter(launchable())):
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


def keep_source() -> None:
    """Another way to name the text: the example is the one of the parameters."""
    keep("from")
    if state["launch_from"] == EXAMPLE:
        state["launch_text"] = ""


def draw(field: forms.Field, base: dict[str, Any], problem: str) -> None:
    """One parameter: its widget, its meaning, and its default if it is changed."""
    default = forms.lookup(base, field.key)
    value = state[CHANGED].get(field.key, default)
    changed = field.key in state[CHANGED] or field.key in state[DRAFTS]
    mark = "refused" if named(field, problem) else "changed" if changed else "plain"
    with st.container(key=f"pf-field-{mark}-{field.key.replace('.', '-')}", gap=None):
        fields.draw(
            field, value, default, lambda _, answer: edit(field, answer, default), state[FORM], state[DRAFTS].get(field.key),
            ESSENTIALS.get(field.key, ""),
        )  # fmt: skip
        note = field.description
        if field.group.count(".") and field.group.endswith(".epochs"):
            note = ""
        if field.kind == "integer" and isinstance(value, int) and (said := number(value)) != str(value):
            note = " · ".join(filter(None, (said, note)))  # the widget has no separators of thousands
        if changed:
            st.caption(f":orange[**default {plain(number(default))}**]" + (f" · {note}" if note else ""))
        elif note:
            st.caption(note)


def named(field: forms.Field, problem: str) -> bool:
    """Whether the check's message names a field, by its key or, for rules on several fields, by section and name."""
    rules = f"{field.group}: " in problem and field.group
    return any(f"{field.key}{end}" in problem for end in (" ", ":")) or bool(rules and f"{field.name} " in problem)


def grid(shown: Sequence[forms.Field], base: dict[str, Any], problem: str) -> None:
    with st.grid(2, min_column_width=250, gap="medium"):
        for field in shown:
            draw(field, base, problem)


def advanced(base: dict[str, Any], changed: dict[str, Any], problem: str) -> None:
    """The parameters of the chosen section, or those that the search finds; without those that are already above."""
    everything, sections = [f for f in forms.fields() if f.key not in ESSENTIALS], forms.sections()
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
        grid(members, base, problem)


def own_text(looked: texts.Looked | StepError, problem: str) -> None:
    """Where the text comes from, and what is in it."""
    parts.step("1 · Your text")
    ways = [PATH, UPLOAD, EXAMPLE]
    way = st.segmented_control(
        "From", ways, default=state["launch_from"], required=True, key="widget_from", on_change=keep_source, args=(),
        label_visibility="collapsed",
    )  # fmt: skip
    if way == PATH:
        st.text_input(
            "Folders, files or addresses",
            state["launch_text"],
            placeholder="/home/me/notes, or docs/*.md, or https://…",
            help="Separated by commas or spaces; relative paths start at the project's folder.",
            key="widget_text",
            on_change=keep,
            args=("text",),
        )
    elif way == UPLOAD:
        st.file_uploader(
            "Files of any kind that a run reads: text, Markdown, HTML, PDF, DOCX, EPUB, JSONL, Parquet, zip …",
            accept_multiple_files=True,
            key="widget_upload",
            on_change=upload,
            disabled=bool(acts.refusal()),
        )
        if trouble := state.pop("launch_trouble", ""):
            parts.error(trouble)
    else:
        st.caption(
            "Python's own library and documentation, about 10 MB of code and prose: a run of a few minutes to see how it all works."
        )
    if isinstance(looked, texts.Looked):
        contents_of(looked)
    elif not problem:  # otherwise the card says it
        parts.error(looked)


def upload() -> None:
    """Files were uploaded: keep them, and name their folder."""
    if acts.refusal() or not state["widget_upload"]:
        return
    try:
        folder = texts.store(project_root(), [(file.name, file.getvalue()) for file in state["widget_upload"]])
    except (StepError, OSError) as error:
        state["launch_trouble"] = f"upload: {error}"
        return
    state["launch_text"] = str(folder)


def contents_of(looked: texts.Looked) -> None:
    """The contents of the text: files by type, languages, documents, and what is not read."""
    found = looked.contents
    if not (found.types or found.refused or found.not_read):
        if found.elsewhere and state["launch_text"]:
            st.caption(f"Not inspected before the run: {plain(', '.join(found.elsewhere))}")
        return
    about = "" if found.is_exact else "about "
    total, named_ = found.total, found.languages + found.code
    parts.facts(
        [
            ("Files", f"{total.files:,}"),
            ("Text", about + size(total.text_bytes)),
            ("Documents", f"{about}{total.documents:,}"),
            ("Languages", html(", ".join(f"{name} {share:.0%}" for name, share in named_[:4] if share >= 0.005))),
            ("Text column", html(", ".join(found.columns))),
        ]
    )
    if found.refusal:
        parts.error(found.refusal)
    if left := [*found.refused, *found.not_read]:
        with st.expander(f"Not read · {len(left)}"):
            st.html("".join(f"<p>{html(line, 400)}</p>" for line in left))
    with st.expander("Types and sample documents"):
        kinds = [
            [html(one.name or "no ending"), f"{one.files:,}", size(one.bytes), size(one.text_bytes)]
            for one in found.types[:8]
        ]
        parts.table(["Type", "Files", "On disk", "Text"], kinds, "pf-numbers")
        parts.label("Some documents")
        rows = [f"<li><b>{html(title, 160)}</b><p>{html(text, 600)}</p></li>" for title, text in found.samples[:10]]
        st.html(f'<ol class="pf-documents">{"".join(rows)}</ol>')


def dial(overlay: dict[str, Any]) -> None:
    """The size of the smaller model; everything else follows."""
    parts.step("2 · Size")
    fit = "fit the text" if state["launch_text"] else "as in the parameters"
    words = {"": fit, "auto": "fit text and machine"}
    options = [one for one in SIZES if one != "auto" or not state["launch_text"]]
    if state["launch_size"] not in options:
        state["launch_size"] = ""
    st.segmented_control(
        "Weights of the smaller model",
        options,
        default=state["launch_size"],
        required=True,
        wrap=True,
        format_func=lambda name: words.get(name, name),
        key="widget_size",
        on_change=keep,
        args=("size",),
        help="Vocabulary, tokens, batch and learning rates follow. What you change below takes precedence.",
    )
    if overlay:
        st.caption(f"{len(overlay)} parameters follow from the size; the fields below show them.")


@st.cache_data(ttl=600, max_entries=50, show_spinner="Reading your text")
def contents(wanted: Launch, changed: int) -> Contents:
    """The contents of the text, read again when params.yaml has changed."""
    return texts.contents(project_root(), wanted)


@st.cache_data(ttl=60, max_entries=50, show_spinner=False)
def outlook(wanted: Launch, looked: texts.Looked) -> Outlook:
    return plan_of(project_root(), wanted, looked)


def looked_at(wanted: Launch) -> texts.Looked | StepError:
    """What is known of the text, or why it is refused. Who may only view learns nothing of the files on this machine."""
    matters = {key: value for key, value in wanted.overrides.items() if key.partition(".")[0] in READING}
    try:
        if acts.refusal():
            return texts.look(project_root(), replace(wanted, text=""), Contents(elsewhere=["python"]))
        found = contents(Launch(matters, wanted.profile, text=wanted.text, size=wanted.size), reads.params_changed())
        return texts.look(project_root(), wanted, found)
    except StepError as error:
        return error


def card(
    base: dict[str, Any], changed: dict[str, tuple[Any, Any]], problem: str, looked: texts.Looked | StepError
) -> None:
    """What will run: labels, differences, plan, command, and the button."""
    titles = launchable()
    choice("Preset", "flow", titles, lambda name: titles[name].capitalize())
    with st.container(key="pf-card-labels", gap="small"):
        for name, tip in (("name", "Prefect invents one"), ("tags", "separated by commas")):
            st.text_input(
                name.capitalize(), state[f"launch_{name}"], placeholder=tip, max_chars=200, key=f"widget_{name}",
                on_change=keep, args=(name,),
            )  # fmt: skip
        with st.expander("Note, seeds and profile"):
            st.text_area("Note", state["launch_note"], placeholder="What you want to find out", max_chars=2000,
                         key="widget_note", on_change=keep, args=("note",), height=80)  # fmt: skip
            st.number_input("Seeds", 1, 5, state["launch_seeds"], key="widget_seeds", on_change=keep, args=("seeds",),
                            help="One run for each; several tell chance from progress")  # fmt: skip
            choice(
                "Profile", "profile", ["", *reads.profiles()], lambda name: clean(name) or "params.yaml without changes"
            )
    differences(changed)
    for key, text in state[DRAFTS].items():
        try:
            forms.from_yaml(text)
        except StepError as error:
            problem = f"{key}: {error}"
    if problem:
        parts.error(problem)
    refused = isinstance(looked, StepError) or bool(looked.contents.refusal)
    plan = st.container(key="pf-plan", gap="small")
    with st.expander("Command"):
        st.code(wanted().command, language="bash", wrap_lines=True)
    trouble, listening = reads.launch_trouble(state["launch_flow"])
    if trouble:
        parts.error(trouble)
    elif not listening:
        st.warning("No worker is running, so a new run waits. `make up` starts a worker.")
    refusal = acts.refusal()
    if refusal:
        st.info(refusal)
    with st.container(key="pf-start"):
        count = state["launch_seeds"]
        if st.button(
            "Start the run" if count == 1 else f"Start {count} runs",
            type="primary",
            disabled=bool(problem or refused or refusal),
            width="stretch",
            key="launch_start",
        ):
            start()
    if isinstance(looked, texts.Looked) and not (problem or refused):
        with plan:  # last, because it takes some seconds
            planned(looked)


def differences(changed: dict[str, tuple[Any, Any]]) -> None:
    """The parameters that differ from the default, each with an undo."""
    parts.label(f"{len(changed)} changed" if changed else "Changes")
    if not changed:
        st.caption("Every parameter is at its default.")
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


def planned(looked: texts.Looked) -> None:
    """What the run would take, and which stages are cached."""
    try:
        with st.spinner("Planning"):
            found = outlook(replace(wanted(), name="", note="", tags=()), looked)
    except StepError as error:
        parts.error(error)
        return
    parts.label("Plan")
    parts.facts([(name, html(value)) for name, value in found.facts])
    with st.expander("Stages and models"):
        for name, words in found.lines:
            st.caption(f"**{plain(name)}**: {plain(words)}")
        st.html(
            '<ul class="pf-plan">'
            + "".join(f"<li>{html(name)} <i>{html(word)}</i></li>" for name, word in found.stages)
            + "</ul>"
        )


def wanted() -> Launch:
    """The run that the page describes."""
    tags = tuple(dict.fromkeys(tag.strip() for tag in state["launch_tags"].split(",") if tag.strip()))
    return Launch(
        state[CHANGED],
        profile=state["launch_profile"],
        flow=state["launch_flow"],
        text=state["launch_text"],
        size=state["launch_size"],
        name=state["launch_name"].strip(),
        note=state["launch_note"].strip(),
        tags=tags,
    )


def start() -> None:
    """Create the flow runs and open the page of the run, or of all of them."""
    try:
        made = [acts.launch(one) for one in texts.launched(project_root(), wanted(), state["launch_seeds"])]
    except StepError as error:
        reads.launch_trouble.clear()
        parts.error(error)
        return
    if len(made) > 1:
        st.switch_page("views/runs.py")
    st.switch_page("views/run.py", query_params={"run": made[0].id})


def choice(label: str, name: str, options: Iterable[str], words: Callable[[str], str]) -> None:
    """A choice beside the parameters."""
    known = [*options]
    place = known.index(state[f"launch_{name}"])
    st.selectbox(label, known, place, format_func=words, key=f"widget_{name}", on_change=keep, args=(name,))


def based(looked: texts.Looked | StepError) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values that the fields start from: the parameters with the sizes that follow; and those sizes."""
    base = reads.defaults(state["launch_profile"])
    if not isinstance(looked, texts.Looked):
        return base, {}
    own = {*state[CHANGED], "ingestion.sources"}
    overlay = {key: value for key, value in looked.overrides.items() if key not in own}
    return forms.with_values(base, overlay), overlay


def page() -> None:
    begin()
    for problem in state[REFUSED]:
        st.warning(f"Left out of this link: {plain(problem)}")
    parts.heading("New run")
    if state["launch_profile"] not in reads.profiles():
        state["launch_profile"] = ""
    looked = looked_at(wanted())
    try:
        base, overlay = based(looked)
    except StepError as error:
        parts.error(error)
        return
    if state.get(BASE, base) != base:  # another profile, text or size
        state[FORM] += 1
    state[BASE] = base
    changed = forms.differences(base, state[CHANGED])
    state[CHANGED] = {key: value for key, (_, value) in changed.items()}
    problem = forms.check(base, state[CHANGED])
    form_side, run_side = st.columns([2, 1], gap="large")
    with form_side:
        own_text(looked, problem)
        dial(overlay)
        parts.step("3 · Essentials")
        known = {field.key: field for field in forms.fields()}
        grid([known[key] for key in ESSENTIALS], base, problem)
        rest = [key for key in changed if key not in ESSENTIALS]
        with st.expander("Advanced: all parameters", expanded=bool(rest), key="launch_advanced"):
            advanced(base, changed, problem)
    with run_side, st.container(key="pf-card", border=True):
        card(base, changed, problem, looked)
    remember()


page()
