"""Runs: find them, compare them, and keep them in order."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from components.errors import StepError
from flows.client import FlowRun, flow_titles
from flows.client.values import ARCHIVED
from ui import acts, banner, parts, reads, results
from ui.text import clean, number, plain

MANY = 20  # rows, from which on the table scrolls
EVERY = 3.0  # seconds between refreshes
STATES = ("active", "completed", "failed", "cancelled")
COLOURS = {"Running": "blue", "Completed": "green", "Failed": "red", "Crashed": "red", "Late": "orange"}
OPTIONAL = ("tags", "note", "flow", "parameters as columns")
NEWEST, ALL = "newest first", "all flows"
CHOSEN, SHOWN = "runs_chosen", "runs_shown"  # in the session: ids of the runs that are ticked, and of the rows as drawn
state = st.session_state


def kind_of(run: FlowRun) -> str:
    if run.active:
        return "active"
    return {"COMPLETED": "completed", "CANCELLED": "cancelled"}.get(run.kind, "failed")


def matches(run: FlowRun, words: Sequence[str]) -> bool:
    """Whether each word occurs in the run's name, note, tags, state or differences."""
    text = " ".join([run.name, run.note, *run.tags, run.state, run.flow, results.changes(run), run.id]).lower()
    return all(word in text for word in words)


def filters(figures: Sequence[str]) -> dict[str, Any]:
    """The controls over the table; their values are in the page's address."""
    bound: dict[str, Any] = {"bind": "query-params"}
    with st.container(horizontal=True, vertical_alignment="center", key="pf-filters"):
        text = st.text_input(
            "Find", placeholder="Name, note, tag, parameter or value", key="find", type="search",
            label_visibility="collapsed", width=300, **bound,
        )  # fmt: skip
        kinds = st.pills("States", STATES, selection_mode="multi", key="state", label_visibility="collapsed", **bound)
        with st.popover("View", icon=":material/tune:"):
            flow = st.selectbox("Flow", [ALL, *flow_titles()], key="of", **bound)
            order = st.selectbox("Sort by", [NEWEST, "duration", *figures], key="sort", **bound)
            columns = st.multiselect(
                "More columns", [*OPTIONAL, *figures], default=shown_at_first(figures), key="show", **bound
            )
            fold = st.toggle(
                "Fold seeds",
                key="fold",
                help="One row for completed runs that differ only in the seed, with the mean of their figures",
                **bound,
            )
            old = st.toggle("Show archived runs", key="archived", **bound)
    return {"words": text.lower().split(), "kinds": kinds, "flow": flow, "order": order, "columns": columns,
            "fold": fold, "archived": old}  # fmt: skip


def shown_at_first(figures: Sequence[str]) -> list[str]:
    """The larger model's exam and loss, or what there is."""
    return ["tags", *([name for name in figures if name in ("large exam", "large loss")] or figures[:2])]


def figure_names(found: Sequence[results.Result]) -> list[str]:
    known = {name for one in found for name in one.figures}
    return sorted(known, key=lambda name: (_place(name), name.endswith(results.BITS), name))


def _place(name: str) -> int:
    model = name.partition(" ")[0]
    return results.MODELS.index(model) if model in results.MODELS else len(results.MODELS)


def rows(groups: Sequence[results.Group], asked: dict[str, Any], figures: Sequence[str]) -> list[results.Group]:
    """The groups in the wanted order: of losses and bits per byte the lowest first, of other figures the highest; those
    without come last."""
    order = asked["order"]
    if order == NEWEST:
        return list(groups)
    if order == "duration":
        return sorted(groups, key=lambda group: -group.run.seconds)
    sign = -1 if order.endswith(results.EXAM) else 1
    return sorted(groups, key=lambda g: sign * g.figures[order] if order in g.figures else float("inf"))


def cells(groups: Sequence[results.Group], asked: dict[str, Any], figures: Sequence[str]) -> pd.DataFrame:
    """The table."""
    columns = asked["columns"]
    table: dict[str, list[Any]] = {
        "name": [clean(group.run.name, 200) for group in groups],
        "state": [[group.run.state] for group in groups],
    }
    for name in figures:  # first, so that a phone shows one
        if name in columns:
            scale = 100 if name.endswith(results.EXAM) else 1
            table[name] = [scale * group.figures.get(name, math.nan) for group in groups]
    keys = dict.fromkeys(key for group in groups for key in results.differences(group.run))
    if asked["fold"]:
        table["seeds"] = [len(group.members) for group in groups]
    if "parameters as columns" in columns:
        for key in keys:
            values = [results.differences(group.run).get(key) for group in groups]
            table.setdefault(key, [None if value is None else clean(number(value), 1000) for value in values])
    else:
        table["differs from the default"] = [
            clean(results.changes(group.run, seeds=len(group.members) == 1), 1000) for group in groups
        ]
    if "tags" in columns:
        table["tags"] = [[clean(tag, 60) for tag in group.run.tags] for group in groups]
    if "note" in columns:
        table["note"] = [clean(group.run.note, 1000) for group in groups]
    if "flow" in columns:
        table["flow"] = [group.run.flow for group in groups]
    table["started"] = [group.run.started or group.run.created for group in groups]
    table["minutes"] = [group.run.seconds / 60 if group.run.started else None for group in groups]
    return pd.DataFrame(table)


def configured(table: pd.DataFrame, figures: Sequence[str]) -> dict[str, Any]:
    """Widths and formats of the columns."""
    from streamlit import column_config as kinds

    states = sorted({one for cell in table["state"] for one in cell})
    found: dict[str, Any] = {
        "name": kinds.ButtonColumn(
            "name", type="tertiary", alignment="left", pinned=True, width=150, key="runs_open", on_click=opened
        ),
        "state": kinds.MultiselectColumn(
            "state", options=states, color=[COLOURS.get(one, "gray") for one in states], width=115
        ),
        "seeds": kinds.NumberColumn("seeds", width=60),
        "differs from the default": kinds.TextColumn("differs from the default", width=_width(table)),
        "started": kinds.DatetimeColumn("started", format="distance", width=105),
        "minutes": kinds.NumberColumn("minutes", format="%.1f", width=70),
        "tags": kinds.ListColumn("tags", width=110),
        "note": kinds.TextColumn("note", width=260),
    }
    for name in figures:
        found[name] = kinds.NumberColumn(
            name,
            format="%.1f%%" if name.endswith(results.EXAM) else "%.3f",
            width=130 if name.endswith(results.BITS) else 88,
        )
    return found


def _width(table: pd.DataFrame) -> int:
    """As wide as the longest of these cells, within reason."""
    cells = table.get("differs from the default", pd.Series([""]))
    return int(min(900, max(170, 5.9 * cells.str.len().max() + 24)))


def opened() -> None:
    """A name was clicked."""
    row = state["runs_open"].row
    if row < len(state[SHOWN]):
        state["runs_go"] = state[SHOWN][row][0]


def ticked() -> None:
    """Rows were ticked: their runs are kept by id, because rows move when a run starts."""
    state[CHOSEN] = {state[SHOWN][row] for row in state[table_key()].selection.rows if row < len(state[SHOWN])}


def table_key() -> str:
    """Another table for another order of rows, so that ticks never end up at other runs."""
    return f"runs_table_{hash(tuple(state[SHOWN]))}"


@st.fragment(run_every=EVERY)
def listing() -> None:
    """The table, which refreshes itself."""
    if run_id := state.pop("runs_go", ""):
        st.switch_page("views/run.py", query_params={"run": run_id})
    with banner.shielded("Runs"):
        runs = reads.recent(results.RUNS)
        if not runs:
            parts.empty("No runs yet", "Start one on the page New run.")
            return
        found = measured(runs)
        figures = figure_names(found)
        asked = filters(figures)
        kept = [
            one
            for one in found
            if one.run.archived <= asked["archived"]
            and matches(one.run, asked["words"])
            and (not asked["kinds"] or kind_of(one.run) in asked["kinds"])
            and asked["flow"] in (ALL, one.run.flow)
        ]
        groups = rows(results.folded(kept) if asked["fold"] else results.alone(kept), asked, figures)
        if not groups:
            hidden = sum(run.archived for run in runs) if not asked["archived"] else 0
            parts.empty(
                "No run matches", "Change the filters above." + (f" {hidden} runs are archived." if hidden else "")
            )
            return
        state[SHOWN] = [tuple(one.run.id for one in group.members) for group in groups]
        chosen = [group for group, ids in zip(groups, state[SHOWN], strict=True) if ids in state.get(CHOSEN, set())]
        bar(chosen, len(groups), len(runs))
        table = cells(groups, asked, figures)
        st.dataframe(
            table,
            hide_index=True,
            height="content" if len(table) <= MANY else 700,
            column_config=configured(table, figures),
            key=table_key(),
            on_select=ticked,
            selection_mode="multi-row",
            selection_default={"selection": {"rows": [groups.index(group) for group in chosen]}},
            placeholder="",
            alt="Runs with their state, differences and figures",
        )


def measured(runs: Sequence[FlowRun]) -> list[results.Result]:
    """The runs with their figures, or without while MLflow does not answer."""
    try:
        return results.of(runs)
    except StepError:
        return [results.Result(run) for run in runs]


def bar(chosen: Sequence[results.Group], shown: int, known: int) -> None:
    """What can be done with the ticked runs."""
    with st.container(horizontal=True, vertical_alignment="center", key="pf-runs-bar"):
        members = [one.run for group in chosen for one in group.members]
        if not members:
            st.caption(f"{shown} of {known} shown. A name opens its run; tick runs to compare, label or delete them.")
            return
        st.caption(f"{len(members)} ticked")
        if st.button(
            "Compare", icon=":material/compare_arrows:", type="primary", disabled=len(chosen) < 2, key="runs_compare"
        ):
            st.switch_page("views/compare.py", query_params={"runs": ",".join(run.id for run in members)})
        if acts.refusal():
            return
        with st.popover("Label", icon=":material/edit:", key="runs_label"):
            labels(members)
        back = all(run.archived for run in members)
        st.button(
            "Take out of the archive" if back else "Archive", icon=":material/archive:", key="runs_archive",
            on_click=do, args=(lambda run: acts.change(archived(run, not back)), members),
        )  # fmt: skip
        with st.popover("Delete", icon=":material/delete:", key="runs_delete"):
            deletion(members)
    if trouble := state.pop("runs_trouble", ""):
        parts.error(trouble)


def labels(members: Sequence[FlowRun]) -> None:
    """Name and note of one run, tags of several."""
    first, single = members[0], len(members) == 1
    common = sorted(set.intersection(*({*run.tags} for run in members)) - {ARCHIVED})
    with st.form(f"label {hash(tuple(run.id for run in members))}", border=False):
        name = st.text_input("Name", first.name, max_chars=100) if single else ""
        tags = st.text_input("Tags", ", ".join(common), placeholder="separated by commas")
        note = (
            st.text_area("Note", first.note, max_chars=2000, placeholder="What you wanted to find out")
            if single
            else ""
        )
        if st.form_submit_button("Save", type="primary", width="stretch"):
            wanted = tuple(dict.fromkeys(tag.strip() for tag in tags.split(",") if tag.strip()))
            do(
                lambda run: acts.change(labelled(run, wanted, common, name or run.name, note if single else run.note)),
                members,
            )
            st.rerun()


def labelled(run: FlowRun, wanted: Sequence[str], common: Sequence[str], name: str, note: str) -> FlowRun:
    """The run with a name, a note, and with other tags for those that all runs had."""
    rest = [tag for tag in run.tags if tag not in common]
    return replace(run, name=name.strip() or run.name, note=note.strip(), tags=tuple(sorted({*rest, *wanted})))


def archived(run: FlowRun, yes: bool) -> FlowRun:
    rest = {*run.tags} - {ARCHIVED}
    return replace(run, tags=tuple(sorted(rest | {ARCHIVED} if yes else rest)))


def deletion(members: Sequence[FlowRun]) -> None:
    """A question before runs are deleted for good."""
    if active := [run for run in members if run.active]:
        st.write(f"{plain(active[0].name)} has not ended. Cancel it before you delete it.")
        return
    names = ", ".join(plain(run.name) for run in members)
    st.write(f"Delete {names} for good?")
    st.caption(
        "State, log and figures go. Checkpoints and data stay, because other runs may share them; housekeeping removes "
        "what nothing uses."
    )
    st.button(
        f"Delete {len(members)} runs" if len(members) > 1 else "Delete this run", type="primary", width="stretch",
        key="runs_delete_sure", on_click=do, args=(acts.delete, members),
    )  # fmt: skip


def do(act: Callable[[FlowRun], None], members: Sequence[FlowRun]) -> None:
    """Do it with each run, or say why not; nothing stays ticked."""
    try:
        for run in members:
            act(run)
        state[CHOSEN] = set()
    except StepError as error:
        state["runs_trouble"] = str(error)


parts.heading("Runs")
listing()
