"""Colours: of charts, of states, and the style sheet. Streamlit's own are in `.streamlit/config.toml`.

Every text colour has a contrast of at least 4.5 with its background, in light and in dark (WCAG AA); a test measures it.
"""

from pathlib import Path

import streamlit as st

ASSETS = Path(__file__).parent / "assets"
PALETTE = ("#0f8b8d", "#d9722e", "#6c5fc7", "#3f7d3a", "#c2417c", "#2f6fb2", "#9a7b1c", "#6b7785")
TONES = {
    "COMPLETED": "good",
    "RUNNING": "live",
    "FAILED": "bad",
    "CRASHED": "bad",
    "CANCELLED": "quiet",
    "CANCELLING": "warn",
    "PENDING": "wait",
    "SCHEDULED": "wait",
    "PAUSED": "warn",
}


def apply() -> None:
    """The panel's own style sheet; its colours follow the theme."""
    st.html(ASSETS / "style.css")


def colour(place: int) -> str:
    """The colour of the run at a place among the shown runs."""
    return PALETTE[place % len(PALETTE)]


def tone(kind: str, state: str = "") -> str:
    """The colour class of a state; Cached and Late have special ones."""
    if state == "Cached":
        return "cached"
    if state == "Late":
        return "warn"
    return TONES.get(kind, "idle")
