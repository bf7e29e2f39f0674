"""The panel on `fakes.history()`, for a browser: `streamlit run tests/ui/fake_app.py`."""

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402

from flows.client import access  # noqa: E402
from tests.ui import fakes  # noqa: E402
from ui import acts, reads  # noqa: E402


@st.cache_resource
def lists() -> fakes.Lists:
    return fakes.history()


reads.runs = reads.records = lists  # type: ignore[assignment]
acts.user = lambda: access.OPERATOR
acts.record = lambda *_: None  # type: ignore[assignment]
runpy.run_path(str(ROOT / "ui" / "app.py"), run_name="__main__")
