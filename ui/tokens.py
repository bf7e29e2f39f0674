"""A model's answer, token by token: probabilities, alternatives, and what stands in the training data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from ui.text import clean
from ui.theme import ASSETS


@dataclass(frozen=True)
class Picked:
    """A person wants the answer to go on from token `place` with `text` instead."""

    place: int
    text: str


def show(
    steps: Sequence[Mapping[str, Any]], seen: Sequence[tuple[int, int]], label: str, key: str, may_change: bool
) -> Picked | None:
    """Draw an answer; returns what was picked in it just now.

    Args:
        steps: tokens with text, probability and likeliest, as the worker sends them.
        seen: parts of the text, in characters, that stand verbatim in the training data.
        may_change: alternatives can be picked.
    """
    tokens, end = [], 0
    for step in steps:
        start, end = end, end + len(step["text"])
        marked = any(first < end and start < last for first, last in seen)
        likeliest = [[clean(text), p] for text, p in step["likeliest"]]
        tokens.append({"text": clean(step["text"]), "p": step["probability"], "likeliest": likeliest, "seen": marked})
    made = _component()(
        data={"tokens": tokens, "label": label, "may_change": may_change}, key=key, on_picked_change=lambda: None
    )
    if not made.picked:
        return None
    place = int(made.picked["place"])
    names = [text for text, _ in steps[place]["likeliest"] if clean(text) == made.picked["text"]]
    return Picked(place, names[0]) if names else None


def _component() -> Any:
    html = '<div class="root"></div>'
    css, js = ((ASSETS / f"tokens.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return st.components.v2.component("phiforge_tokens", html=html, css=css, js=js)
