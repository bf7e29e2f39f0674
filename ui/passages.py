"""Passages of a text that stand in the training data, with their documents."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from ui import parts
from ui.text import html

SHOWN = 6  # documents of a passage


def show(spans: Sequence[Mapping[str, Any]]) -> None:
    """Passages as `Spans.of` returns them; nothing without one."""
    if not spans:
        return
    with st.expander(f"Training data: {counted(len(spans), 'passage')}"):
        for span in spans:
            st.html(f'<pre class="pf-text">{html(span["text"], 600)}</pre>')
            where = counted(span.get("documents_in_all", 0), "document")
            st.caption(f"{counted(span['length'], 'token')}, {counted(span['count'], 'time')}, in {where}")
            rows = [
                [
                    parts.mono(one["id"]),
                    html(one["source"], 60),
                    html(one["kind"], 20),
                    html(one.get("license") or "unknown", 30),
                    "-" if one.get("educational_value") is None else f"{one['educational_value']:.2f}",
                ]
                for one in span.get("documents", [])[:SHOWN]
            ]
            if rows:
                parts.table(["Document", "Source", "Kind", "Licence", "Value"], rows)
        st.caption(
            "A document is kept for its educational value, from 0 to 5; generated ones have none. Trace one on Data."
        )


def counted(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
