"""One notice for all services that are away, and pages without what cannot be read meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import streamlit as st

from components.errors import StepError
from flows.client import Refused, Unavailable
from ui import parts
from ui.reads import HEALTH
from ui.text import duration, html

EVERY = 2.0  # seconds between two looks
SHOWN = "banner_services"  # the services in this session's notice


@contextmanager
def shielded(title: str = "") -> Iterator[None]:
    """Leave out what cannot be read now, which the banner explains; show a refusal as text.

    Args:
        title: of what is missing then, such as "Runs"; without one nothing stands in its place.
    """
    try:
        yield
    except Refused as error:
        parts.error(error)
    except Unavailable as error:
        if title:
            parts.empty(
                f"{title} cannot be shown now", f"{error.service} does not answer. This page goes on by itself."
            )
    except StepError as error:
        parts.error(error)


@st.fragment(run_every=EVERY)
def draw() -> None:
    """The notice. When a service answers again, the whole page is drawn again."""
    away = HEALTH.away
    before = st.session_state.get(SHOWN, set())
    st.session_state[SHOWN] = set(away)
    if before - set(away):
        st.rerun()
    now = datetime.now(UTC)
    for service, state in away.items():
        since = f"{state.since.astimezone():%H:%M:%S}, for {duration((now - state.since).total_seconds())}"
        st.html(
            f'<div class="pf-banner" role="alert"><b>{html(service)} is away since {since}</b>'
            f"<p>{html(state.error)}</p></div>"
        )
