"""The panel's app for `ui.serve`. `make up` starts it with its servers."""

import sys
from pathlib import Path

import streamlit as st

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # Streamlit inserts this file's folder first, but the packages are in its parent
    sys.path.insert(0, str(ROOT))

import components  # noqa: E402, F401 - sets the opt-outs of telemetry before any tool is imported
from ui import banner, parts, theme  # noqa: E402

VIEWS = Path(__file__).parent / "views"  # a folder named "pages" would be run without this file

st.set_page_config(page_title="Phiforge", page_icon=str(theme.ASSETS / "icon.png"), layout="wide")
st.logo(str(theme.ASSETS / "logo.svg"), size="large")
theme.apply()
# No sections: on phones, Streamlit puts them as headers into a list, which screen readers cannot read as one.
page = st.navigation(
    [
        st.Page(VIEWS / "home.py", title="Home", icon=":material/home:", default=True),
        st.Page(VIEWS / "new_run.py", title="New run", icon=":material/rocket_launch:"),
        st.Page(VIEWS / "runs.py", title="Runs", icon=":material/timeline:"),
        st.Page(VIEWS / "run.py", title="Run", icon=":material/play_circle:", visibility="hidden"),
        st.Page(VIEWS / "compare.py", title="Compare", icon=":material/compare_arrows:"),
        st.Page(VIEWS / "data.py", title="Data", icon=":material/database:"),
        st.Page(VIEWS / "models.py", title="Models", icon=":material/deployed_code:"),
        st.Page(VIEWS / "chat.py", title="Chat", icon=":material/chat:"),
        st.Page(VIEWS / "inside.py", title="Look inside", icon=":material/network_node:"),
        st.Page(VIEWS / "exam.py", title="Exam", icon=":material/quiz:"),
        st.Page(VIEWS / "tune.py", title="Tune", icon=":material/school:"),
        st.Page(VIEWS / "leaderboard.py", title="Leaderboard", icon=":material/leaderboard:"),
        st.Page(VIEWS / "schedules.py", title="Schedules", icon=":material/calendar_month:"),
    ],
    position="top",
)
notice = st.container(key="pf-notice", gap=None)
parts.outline()
page.run()
with notice:
    banner.draw()
