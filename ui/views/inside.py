"""Look inside: what a prompt does in each layer of a model, and what the model can do without some of its parts."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from components.errors import StepError
from ui import banner, parts, reads
from ui.text import clean, html, plain
from ui.theme import colour

EXAMPLE = "Question: Which planet is closer to the Sun, Saturn or Venus?\nAnswer:"
LONGEST = 4_000  # characters of a prompt
TOKENS = 24  # of a continuation
QUESTIONS = 20  # of each family
RGB = tuple(int(colour(0)[place : place + 2], 16) for place in (1, 3, 5))
WHOLE: dict[str, Any] = {"blocks": [], "heads": [], "new": False}
SNIPPET = """from pathlib import Path

import components  # before torch: it sets how threads wait
from components.inside.lens import logit_lens
from components.inside.looking import look
from components.inside.switches import Switches, before_training, switched_off
from components.phi.text import TextModel, Wish

folder = Path("models/{model}")
model = TextModel.load(folder)
prompt = {prompt!r}
off = Switches(frozenset({blocks}), frozenset({heads}), new={new})
old = before_training(model.phi, folder.parent / "grown") if off.new else None
seen = look(model.phi, model.encode(prompt), off, old)
print(logit_lens(model.phi, seen.residual).argmax(-1))  # what each layer would say after each token
with switched_off(model.phi, off, old):
    print(model.complete(prompt, Wish({tokens})))
"""


def ask() -> tuple[str, str]:
    """The model and the prompt."""
    known = reads.models()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        model = st.selectbox("Model", known, key="model", width=220, bind="query-params")
        st.session_state.setdefault("look", EXAMPLE)
    prompt = st.text_area("Prompt", key="look", height=90, max_chars=LONGEST, bind="query-params")
    return model, prompt


def switches(about: Mapping[str, Any], grown: bool) -> dict[str, Any]:
    """What is to be off."""
    parts.label("Switch off")
    layers, heads = about["layers"], about["heads"]
    names = [f"{layer}.{head}" for layer in range(layers) for head in range(heads)]
    blocks = st.pills("Blocks", list(range(layers)), selection_mode="multi", key="blocks")
    if len(names) <= 64:
        chosen = st.pills("Heads, as block.head", names, selection_mode="multi", key="heads")
    else:
        chosen = st.multiselect("Heads, as block.head", names, key="heads")
    new = grown and st.toggle("What growth added, set back to where its training began", key="new")
    return {"blocks": blocks, "heads": [[int(part) for part in name.split(".")] for name in chosen], "new": bool(new)}


def look(model: str, prompt: str, off: Mapping[str, Any], head: Sequence[int]) -> dict[str, Any]:
    return reads.look(model, prompt, off, head, TOKENS)


def said(seen: Mapping[str, Any]) -> list[str]:
    """Cells of a table: the likeliest next tokens, and the continuation."""
    likeliest = ", ".join(f"<code>{shown(text)}</code> {p:.0%}" for text, p in seen["next"][:3])
    return [likeliest, f'<span class="pf-mono">{html(seen["text"].strip(), 400)}</span>']


def shown(token: str) -> str:
    """A token as HTML; blanks and line ends can be seen."""
    return html(token.replace("\n", "⏎").replace(" ", "␣") or "(nothing)", 40)


def side_by_side(prompt: str, model: str, seen: Mapping[str, Any], off: Mapping[str, Any]) -> None:
    """The same prompt through all models, and through this one as it is switched."""
    rows = []
    if off != WHOLE:
        rows.append([f"{html(model)}, switched", *said(seen)])
    for name in [model, *(name for name in reads.models() if name != model)]:
        try:
            rows.append(
                [html(name), *said(seen if name == model and off == WHOLE else look(name, prompt, WHOLE, (0, 0)))]
            )
        except StepError as error:
            rows.append([html(name), html(error, 200), ""])
    parts.table(["Model", "Likeliest next tokens", "Goes on"], rows, "pf-looked")


def lens(seen: Mapping[str, Any]) -> None:
    """What each layer would say after each token, by the logit lens."""
    parts.label("What each layer would say next")
    head = "".join(f"<th>{shown(token)}</th>" for token in seen["tokens"])
    rows = []
    for number, layer in reversed(list(enumerate(seen["lens"]))):
        name = "embedding" if number == 0 else f"block {number - 1}"
        cells = "".join(
            f'<td style="background:color-mix(in srgb, {colour(0)} {45 * p:.0f}%, transparent)" title="{p:.1%}">{shown(token)}</td>'
            for token, p in layer
        )
        rows.append(f"<tr><th scope='row'>{name}</th>{cells}</tr>")
    st.html(
        '<div class="pf-scroll" tabindex="0" role="group" aria-label="logit lens"><table class="pf-table pf-lens"><thead><tr>'
        f"<th>after</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
    st.caption(
        "The logit lens: final norm and head applied to each block's output. The darker, the surer; point at a cell for its probability."
    )


def attention(seen: Mapping[str, Any], head: Sequence[int]) -> None:
    """Where one head looks."""
    labels = [f"{number} {clean(token)}" for number, token in enumerate(seen["tokens"])]
    figure = go.Figure(
        go.Heatmap(z=seen["attention"], x=labels, y=labels, colorscale=[[0, f"rgba{(*RGB, 0)}"], [1, f"rgba{(*RGB, 1)}"]], zmin=0, zmax=1,
                   hovertemplate="%{y} looks at %{x}: %{z:.0%}<extra></extra>", showscale=False)
    )  # fmt: skip
    size = 140 + 17 * len(labels)
    figure.update_layout(
        height=size, margin={"l": 0, "r": 0, "t": 8, "b": 0}, xaxis={"tickangle": -60}, yaxis={"autorange": "reversed"}
    )
    st.plotly_chart(figure, width="stretch", key=f"attention-{head[0]}-{head[1]}", config={"displayModeBar": False})


def families(model: str, off: Mapping[str, Any]) -> None:
    """The exam with and without the parts that are off, on demand."""
    parts.label("Exam by family")
    key = json.dumps([model, off])
    if st.button(f"Ask {QUESTIONS} questions of each family", icon=":material/quiz:"):
        st.session_state["asked"] = key
    if st.session_state.get("asked") != key:
        return
    ask_for = lambda what: reads.playground().one("families", model=model, off=what, each=QUESTIONS)["families"]  # noqa: E731
    whole = ask_for(WHOLE)
    now = whole if off == WHOLE else ask_for(off)
    rows = [
        [html(name.replace("_", " ")), f"{whole[name]:.0%}", f"{now[name]:.0%}", parts.bold(f"{now[name] - whole[name]:+.0%}", now[name] != whole[name])]
        for name in sorted(whole, key=lambda name: now[name] - whole[name])
    ]  # fmt: skip
    mean = [sum(each.values()) / len(each) for each in (whole, now)]
    rows.insert(0, ["<b>mean</b>", f"{mean[0]:.1%}", f"{mean[1]:.1%}", f"<b>{mean[1] - mean[0]:+.1%}</b>"])
    parts.table(["Family", "whole model", "switched", "difference"], rows, "pf-numbers")
    st.caption(
        f"{QUESTIONS} questions of a family tell only large differences apart: one standard error is up to 16 points."
    )


def copy(model: str, prompt: str, off: Mapping[str, Any]) -> None:
    """The same as a program, and as a notebook."""
    heads = {tuple(head) for head in off["heads"]}
    code = SNIPPET.format(
        model=model,
        prompt=prompt,
        blocks=set(off["blocks"]) or "()",
        heads=heads or "()",
        new=off["new"],
        tokens=TOKENS,
    )
    cell: dict[str, Any] = {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": code.splitlines(keepends=True),
    }
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    with st.expander("As a program"):
        st.code(code, language="python", wrap_lines=True)
        st.download_button(
            "Download as a notebook", json.dumps(notebook, indent=1), "look-inside.ipynb", icon=":material/download:"
        )


def page() -> None:
    parts.heading(
        "Look inside", "What a prompt does in each layer, and what the model can do without some of its parts."
    )
    with banner.shielded("The models"):
        if not reads.models():
            parts.empty("No models yet", "A run makes them. Start one on New run, or with `make run`.")
            return
        model, prompt = ask()
        if not prompt.strip():
            st.caption("Write a prompt first.")
            return
        about = reads.about_model(model)
        off = switches(about, grown=model == "large" and "grown" in reads.models())
        head = (st.session_state.get("block", 0), st.session_state.get("head", 0))
        head = (min(head[0], about["layers"] - 1), min(head[1], about["heads"] - 1))
        seen = look(model, prompt, off, head)
        side_by_side(prompt, model, seen, off)
        lens(seen)
        parts.label("Where a head looks")
        with st.container(horizontal=True):
            st.number_input("Block", 0, about["layers"] - 1, key="block", width=120)
            st.number_input("Head", 0, about["heads"] - 1, key="head", width=120)
        attention(seen, head)
        families(model, off)
        copy(model, prompt, off)
        if len(seen["tokens"]) == 48:
            st.caption(plain("Only the last 48 tokens are shown."))


page()
