"""Home: what runs, and the latest results."""

import streamlit as st

from ui import banner, parts, reads

parts.heading("Home")


@st.fragment(run_every=3.0)
def latest() -> None:
    with banner.shielded("Runs"):
        runs = reads.recent(5)
        if not runs:
            parts.empty("No runs yet", "Start one on the page New run, or with `make run`.")
        for run in runs:
            st.html(parts.run_row(run))


latest()
