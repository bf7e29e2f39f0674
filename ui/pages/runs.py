"""Runs: the latest runs."""

import streamlit as st

from ui import banner, parts, reads
from ui.text import plain

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
            with st.container(key=f"pf-row-plain-{run.id}", gap=None):
                st.html(parts.run_row(run))
                if st.button(f"Open {plain(run.name)}", key=f"open-{run.id}", width="stretch"):
                    st.switch_page("pages/run.py", query_params={"run": run.id})


parts.heading("Runs")
run_list()
