"""Models: the versions in the registry, why each is or is not the champion, and what can be done with it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from components.tracking import WEIGHTS
from flows.client.registry import REGISTRY, State
from ui import acts, banner, decisions, parts, reads
from ui.text import ago, clean, clock, html, plain

LATEST = 20  # versions in the table; the list to choose from has all
CARD = "report/model_card.md"


def decisions_of(state: State) -> dict[str, list[Mapping[str, Any]]]:
    """The decisions on each version, oldest first; versions newest first."""
    found: dict[str, list[Mapping[str, Any]]] = {version: [] for version in sorted(state.tags, key=int, reverse=True)}
    for one in state.decisions:
        found.setdefault(one["version"], []).append(one)
    return found


def standing(version: str, found: list[Mapping[str, Any]], champion: str) -> tuple[str, str]:
    """The place of a version in a word, and the word's tone."""
    if version == champion:
        return "champion", "good"
    if not found:
        return "not decided", "quiet"
    return ("champion before", "quiet") if any(one["promoted"] for one in found) else ("not promoted", "quiet")


def table(about: Mapping[str, list[Mapping[str, Any]]], champion: str) -> None:
    """The latest versions with their last decisions."""
    rows = []
    for version, found in list(about.items())[:LATEST]:
        said = "no run has compared it with the champion"
        if found:
            last = found[-1]
            when = datetime.fromisoformat(last["at"]).astimezone(UTC)
            said = (
                f"{html(last['reason'], 240)}{decisions.gain(last)}"
                f' <span class="pf-dim pf-nowrap" title="{html(clock(when))}">{html(ago(when))}</span>'
            )
        badge = parts.badge(*standing(version, found, champion))
        rows.append([f'<span class="pf-nowrap">Version {html(version, 20)}</span>', badge, said])
    parts.table(["Version", "", "Last decision"], rows)
    if len(about) > LATEST:
        st.caption(f"The latest {LATEST} of {len(about)} versions.")


def checks(found: list[Mapping[str, Any]]) -> None:
    """The gates that the rule has asked for last."""
    asked: Mapping[str, Any] = next(
        (one["checks"] for one in reversed(found) if isinstance(one.get("checks"), Mapping)), {}
    )
    rows = [
        [html(name, 40), parts.badge(*(("passed", "good") if check.get("passed") else ("failed", "bad"))), html(check.get("reason"), 400)]
        for name, check in asked.items()
        if isinstance(check, Mapping)
    ]  # fmt: skip
    if rows:
        parts.label("Gates")
        parts.table(["Gate", "", "Found"], rows)


def actions(name: str, version: str, champion: str, run_id: str) -> None:
    """The run, promotion or rollback, and commands."""
    with st.container(horizontal=True, vertical_alignment="center", key="pf-actions"):
        if run_id:
            st.page_link("views/run.py", label="Its run", icon=":material/play_circle:", query_params={"run": run_id})
        st.space("stretch")
        if not acts.refusal() and version != champion:
            instead = f" instead of version {plain(champion, 20)}" if champion else ""
            words = f"Version {plain(version, 20)} becomes the champion{instead}."
            decisions.form("Promote", ":material/trophy:", "promote", lambda why: acts.promote(version, why), words)
        elif not acts.refusal():
            words = f"The champion before version {plain(version, 20)} becomes the champion again."
            decisions.form("Roll back", ":material/undo:", "rollback", acts.roll_back, words)
        commands(f"{REGISTRY}{name}/{version}")


def commands(address: str) -> None:
    """Commands for a version, to paste."""
    output = f"exports/{address.removeprefix(REGISTRY).replace('/', '-')}-records"
    with st.popover("On the terminal", icon=":material/terminal:"):
        parts.commands(
            {
                "Talk to it": ["chat", address],
                "Write its model card, training content and bill of materials": [
                    "records",
                    address,
                    "--output",
                    output,
                ],
                "Where it comes from": ["trace", address],
            }
        )


def card(version: str, run_id: str) -> None:
    """The model card that the run's report has stored."""
    with st.expander("Model card"):
        report = reads.stage_records(reads.parent_of(run_id), run_id).get("report") if run_id else None
        text = reads.report(report.id, CARD) if report else ""
        if not text:
            st.caption("No report of a run about this version has a model card; `phiforge records` writes one.")
            return
        st.download_button("Download", text, f"model-card-{version}.md", "text/markdown", icon=":material/download:")
        st.code(text, language="markdown", wrap_lines=True)


def trace(address: str) -> None:
    """Parameters, commit, stages, gates and documents behind a version."""
    with st.expander("Where it comes from"):
        if st.button("Trace it", icon=":material/account_tree:", key=f"trace-{address}"):
            st.session_state["traced"] = address
        if st.session_state.get("traced") == address:
            st.code(reads.printed("flows.trace", address), language=None, wrap_lines=True)


def page() -> None:
    parts.heading("Models", "Every version that a run has registered, with the decisions about it.")
    with banner.shielded("The registry"):
        name, state = reads.champions()
        about = decisions_of(state)
        if not about:
            parts.empty(
                "No models yet",
                "A whole run of the pipeline registers its larger model as version 1. Start one on New run.",
            )
            return
        table(about, state.champion)
        first = state.champion if state.champion in about else next(iter(about))
        version = st.selectbox(
            "Version", list(about), list(about).index(first), format_func=lambda one: f"Version {clean(one, 20)}",
            key="version", width=240, bind="query-params",
        )  # fmt: skip
        found = about[version]
        run_id = next((one["flow_run"] for one in reversed(found) if isinstance(one.get("flow_run"), str)), "")
        actions(name, version, state.champion, run_id)
        weights = state.tags.get(version, {}).get(WEIGHTS, "")
        parts.facts([("Model", html(name, 60)), ("Weights", parts.mono(weights) if weights else "")])
        if found:
            parts.label("Decisions")
            rows = "".join(decisions.row(one, state.champion) for one in reversed(found))
            st.html(f'<div class="pf-card"><ol class="pf-steps">{rows}</ol></div>')
        checks(found)
        card(version, run_id)
        trace(f"{REGISTRY}{name}/{version}")


page()
