"""Chat: talk to one model, or to two side by side; see how sure each was, and what it has read."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import streamlit as st

from components.errors import StepError
from ui import acts, banner, parts, passages, reads, tokens
from ui.text import html, plain

NONE = "nobody"
TURNS = "turns"  # of this session: prompt, and an answer by model
LONGEST = 20_000  # characters of a prompt
EVERY_S = 0.08  # seconds between two looks at a growing answer


def models() -> list[str]:
    """The models that this person talks to: one, or two."""
    known = reads.models()
    free = not acts.refusal()  # a reader names no folders of this machine
    more: dict[str, Any] = {"accept_new_options": True} if free else {}
    hint = "Also a checkpoint folder, models:/NAME/3 or an alias of the registry." if free else None
    first = st.selectbox("Model", known, key="model", width=220, bind="query-params", help=hint, **more)
    beside = st.selectbox("Beside it", [NONE, *known], key="beside", width=220, bind="query-params", **more)
    chosen = [str(first or known[0]), *([str(beside)] if beside and beside not in (NONE, first) else [])]
    if refused := [name for name in chosen if not free and name not in known]:
        raise StepError(
            f"the model {refused[0]} was given; expected one of {', '.join(known)}: only operators name others"
        )
    return chosen


def wish() -> dict[str, Any]:
    """How answers are chosen."""
    with st.popover("Settings", icon=":material/tune:"):
        bound: Any = {"bind": "query-params"}
        temperature = st.slider(
            "Temperature", 0.0, 2.0, 0.7, 0.05, key="temperature", help="0 always takes the likeliest token.", **bound
        )
        top_p = st.slider(
            "Top-p",
            0.05,
            1.0,
            0.95,
            0.05,
            key="top_p",
            help="Sample from the likeliest tokens that reach this probability together.",
            **bound,
        )
        top_k = st.number_input(
            "Top-k", 0, 1000, 0, key="top_k", help="Sample from so many of the likeliest tokens; 0 means all.", **bound
        )
        longest = st.number_input("Tokens at most", 1, 2048, 96, key="max_tokens", **bound)
        seed = st.number_input("Seed", 0, 2**31, 1, key="seed", help="Equal seeds give equal answers.", **bound)
        stop = st.text_input("Stop at", key="stop", help=r"An answer ends before this text; \n is a line end.", **bound)
        system = st.text_area(
            "System prompt", key="system", height=68, help="Only for models with a chat template.", max_chars=LONGEST,
            **bound,
        )  # fmt: skip
    stops = [stop.replace("\\n", "\n")] if stop else []
    return {"temperature": temperature, "top_k": int(top_k), "top_p": top_p, "seed": int(seed), "max_tokens": int(longest), "stop": stops, "system": system}  # fmt: skip


def ready(model: str) -> None:
    """Prompts to begin with: held-out texts, and questions of the exam."""
    with st.popover("Ready prompts", icon=":material/list:"):
        for place, (caption, prompt) in enumerate(reads.ready_prompts(model)):
            shown = plain(" ".join(prompt.split())[-90:], 100)
            if st.button(f"{plain(caption, 40)}: {shown}", key=f"ready-{place}", type="tertiary", width="stretch"):
                st.session_state["prompt"] = prompt
                st.rerun()


def messages(turns: Sequence[Mapping[str, Any]], name: str, prompt: str, system: str) -> list[dict[str, str]]:
    """The conversation with one model so far, for its chat template."""
    said = [{"role": "system", "content": system}] if system.strip() else []
    for turn in turns:
        if name in turn["answers"]:
            said += [
                {"role": "user", "content": turn["prompt"]},
                {"role": "assistant", "content": turn["answers"][name]["text"].strip()},
            ]
    return [*said, {"role": "user", "content": prompt}]


def begin(prompt: str, names: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Add a turn, whose answers `draw` then asks for."""
    answers = {name: {"text": "", "steps": [], "pending": True, "prefix": ""} for name in names}
    st.session_state.setdefault(TURNS, []).append({"prompt": prompt, "settings": dict(settings), "answers": answers})


def grow(turns: Sequence[Mapping[str, Any]], number: int, places: Mapping[str, Any]) -> None:
    """Ask for the pending answers of a turn, and show them as they grow. What has come is kept if the person goes away."""
    turn, started = turns[number], time.monotonic()
    settings = dict(turn["settings"])
    system = settings.pop("system", "")
    pending = {name: answer for name, answer in turn["answers"].items() if answer["pending"]}
    asked: dict[str, Iterator[dict[str, Any]]] = {
        name: reads.playground().ask(
            "answer", model=name, prompt=turn["prompt"], prefix=answer["prefix"], wish=settings,
            messages=messages(turns[:number], name, turn["prompt"], system),
        )
        for name, answer in pending.items()
    }  # fmt: skip
    drawn = 0.0
    try:
        while asked:
            for name, events in list(asked.items()):
                answer = pending[name]
                try:
                    event = next(events, None)
                except StepError as error:
                    event, answer["error"] = None, str(error)
                if event is None:
                    del asked[name]
                    answer["pending"], answer["seconds"] = False, time.monotonic() - started
                    continue
                answer["steps"] += event.pop("steps", [])
                answer["text"] = answer["prefix"] + event.pop("text", answer["text"].removeprefix(answer["prefix"]))
                answer |= event
            if time.monotonic() - drawn > EVERY_S or not asked:
                drawn = time.monotonic()
                for name in pending:
                    places[name].html(f'<pre class="pf-text pf-answer">{html(pending[name]["text"], LONGEST)}</pre>')
    finally:
        for events in asked.values():
            events.close()  # type: ignore[attr-defined]
        for answer in pending.values():
            answer["pending"] = False


def draw(turns: Sequence[dict[str, Any]], number: int) -> None:
    """A prompt, and its answers side by side."""
    turn = turns[number]
    st.html(f'<div class="pf-label">You</div><pre class="pf-text pf-prompt">{html(turn["prompt"], LONGEST)}</pre>')
    columns = dict(zip(turn["answers"], st.columns(len(turn["answers"])), strict=True))
    places = {}
    for name, column in columns.items():
        with column:
            parts.label(name)
            places[name] = st.empty()
    if any(answer["pending"] for answer in turn["answers"].values()):
        with st.container(key="pf-stop"):
            st.button("Stop", icon=":material/stop:", key="stop-now")
        grow(turns, number, places)
        st.rerun()
    for name, column in columns.items():
        with column:
            finished(turn, number, name, places[name])


def finished(turn: dict[str, Any], number: int, name: str, place: Any) -> None:
    """An answer with its tokens, figures and the training data that it repeats."""
    answer = turn["answers"][name]
    if error := answer.get("error"):
        with place:
            parts.error(error)
        return
    if "traced" not in answer and answer["text"].strip():
        try:
            answer["traced"] = reads.spans(name, answer["text"])
        except StepError as error:
            answer["traced"] = {"spans": [], "why": str(error)}
    spans = answer.get("traced", {}).get("spans", [])
    seen = [(span["offset"], span["offset"] + len(span["text"])) for span in spans]
    with place:
        picked = tokens.show(answer["steps"], seen, f"Answer of {name}", f"tokens-{number}-{name}", may_change=True)
    if picked is not None:
        kept = answer["steps"][: picked.place]
        chosen = next((p for text, p in answer["steps"][picked.place]["likeliest"] if text == picked.text), 0.0)
        changed = {"text": picked.text, "probability": chosen, "likeliest": answer["steps"][picked.place]["likeliest"]}
        steps = [*kept, changed]
        turn["answers"][name] = {
            "text": "", "steps": steps, "pending": True, "prefix": "".join(step["text"] for step in steps),
        }  # fmt: skip
        st.rerun()
    figures(answer)
    passages.show(spans)


def figures(answer: Mapping[str, Any]) -> None:
    """How long, how sure, and how much of it stands in the training data."""
    steps = answer["steps"]
    if not steps:
        st.caption("The model ended its answer at once.")
        return
    said = [f"{len(steps)} tokens in {answer.get('seconds', 0):.1f} s"]
    said.append(f"mean probability {sum(step['probability'] for step in steps) / len(steps):.0%}")
    if traced := answer.get("traced"):
        if traced.get("tokens"):
            said.append(f"{traced['covered'] / traced['tokens']:.0%} stands in the training data (underlined)")
        elif why := traced.get("why"):
            said.append(f"training data not searched: {why}")
    if answer.get("forgotten"):
        said.append(f"the first {answer['forgotten']:,} tokens were outside the context at the end")
    st.caption(plain(" · ".join(said), 400))


def keep(turns: Sequence[Mapping[str, Any]]) -> None:
    """The conversation as a file, and an end to it."""
    with st.container(horizontal=True, key="pf-actions"):
        text = json.dumps(turns, ensure_ascii=False, indent=1)
        st.download_button(
            "Download as JSON", text, "conversation.json", "application/json", icon=":material/download:"
        )
        if st.button("Begin anew", icon=":material/delete_sweep:"):
            st.session_state[TURNS] = []
            st.rerun()


def page() -> None:
    parts.heading(
        "Chat", "Let a model continue a text, or two of them side by side. Small models often say false things."
    )
    with banner.shielded("The models"):
        if not reads.models():
            parts.empty("No models yet", "A run makes them. Start one on New run, or with `make run`.")
            return
        with st.container(horizontal=True, vertical_alignment="bottom"):
            names = models()
            settings = wish()
            ready(names[0])
        turns = st.session_state.setdefault(TURNS, [])
        for number in range(len(turns)):
            draw(turns, number)
        with st.form("talk", clear_on_submit=False, border=False):
            text = st.text_area(
                "Text",
                key="prompt",
                height=110,
                max_chars=LONGEST,
                placeholder="The planet Jupiter",
                bind="query-params",
            )
            sent = st.form_submit_button("Continue", type="primary", icon=":material/play_arrow:")
        if sent and text.strip():
            begin(text, names, settings)
            st.rerun()
        if sent and not text.strip():
            st.caption("Write a text first, or take a ready prompt.")
        if turns:
            keep(turns)
        st.caption("The address holds models, settings and text: copy it to share them.")


page()
