"""Runs: the latest runs."""

import streamlit as st

from ui import banner, parts, reads

EVERY = 3.0  # seconds between refreshes
SHOWN = 40


@st.fragment(run_every=EVERY)
def run_list() -> None:
    """The list of runs, which refreshes itself."""
    with banner.shielded("Runs"):
        runs = reads.recent(SHOWN)
        if not runs:
            parts.empty("No runs yet", "Start one on the page New run, or with `make run`.")
        for run in runs:
            parts.open_row(run, parts.run_row(run), "runs")


parts.heading("Runs")
run_list()
