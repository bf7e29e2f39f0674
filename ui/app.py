"""The panel's app for `ui.serve`. `make up` starts it with its servers."""

import sys
from pathlib import Path

import streamlit as st

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # Streamlit inserts this file's folder first, but the packages are in its parent
    sys.path.insert(0, str(ROOT))

import components  # noqa: E402, F401 - sets the opt-outs of telemetry before any tool is imported
from ui import parts  # noqa: E402

VIEWS = Path(__file__).parent / "views"  # not named `pages`, which is a special name of Streamlit

st.set_page_config(page_title="Phiforge", page_icon=str(parts.ASSETS / "icon.png"), layout="wide")
st.logo(str(parts.ASSETS / "logo.svg"), size="large")
parts.style()
st.navigation(
    [
        st.Page(VIEWS / "launch.py", title="Launch", icon=":material/rocket_launch:", default=True),
        st.Page(VIEWS / "runs.py", title="Runs", icon=":material/timeline:"),
        st.Page(VIEWS / "compare.py", title="Compare", icon=":material/compare_arrows:"),
        st.Page(VIEWS / "leaderboard.py", title="Leaderboard", icon=":material/leaderboard:"),
    ],
    position="top",
).run()
