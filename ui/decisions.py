"""Decisions about the champion: how they are shown, and the forms with which a person decides."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from components.errors import StepError
from ui import parts
from ui.text import ago, html


def row(decision: Mapping[str, Any], champion: str) -> str:
    """One decision: what changed, by how much, and why."""
    held = decision["promoted"]
    verb = "became champion" if held else "was not promoted"
    if decision["action"] == "rollback":
        verb = "became champion again"
    mood = "good" if held and decision["version"] == champion else "quiet"
    when = ago(datetime.fromisoformat(decision["at"]).astimezone(UTC))
    by = "the rule" if decision["by"] == "rule" else decision["by"]
    return (
        f'<li class="pf-{mood}"><i></i><div><b>Version {html(decision["version"], 20)} {verb}</b>{gain(decision)}'
        f'<div class="pf-dim">{html(decision["reason"], 240)}<br>{when}, by {html(by, 40)}</div></div></li>'
    )


def gain(decision: Mapping[str, Any]) -> str:
    """The difference in loss to the champion before, with its interval."""
    loss = decision.get("loss")
    if not isinstance(loss, Mapping) or not isinstance(loss.get("value"), int | float):
        return ""
    low, high = loss.get("low"), loss.get("high")
    known = isinstance(low, int | float) and isinstance(high, int | float)
    error = f" [{low:+.3f}, {high:+.3f}]" if known else ""
    return f' <span class="pf-nowrap">loss {loss["value"]:+.3f}{error}</span>'


def form(title: str, icon: str, key: str, act: Callable[[str], None], words: str) -> None:
    """A button that opens a form, which asks for the reason before it acts.

    Args:
        act: called with the reason; what it refuses is shown.
        words: what will happen.
    """
    with st.popover(title, icon=icon, key=key):
        st.write(words)
        reason = st.text_input("Reason", key=f"{key}_reason", placeholder="recorded with the decision")
        if st.button("Make it the champion", type="primary", key=f"{key}_sure", disabled=not reason.strip()):
            try:
                act(reason)
            except StepError as error:
                parts.error(error)
            else:
                st.rerun()
