"""Exam: each question with the models' answers, and the training documents near it."""

from collections.abc import Sequence

import streamlit as st

from components.errors import StepError
from flows.client.exam import KINDS, Question, matching, models_of
from ui import banner, parts, passages, reads
from ui.text import clean, html, plain

ALL = "all"
SHOWN = 20  # questions in the table
NEAR = 4  # least tokens of a passage near a question


def filters(found: Sequence[Question]) -> list[Question]:
    """The questions that a person asks for."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        families = sorted({one.task for one in found})
        task = st.selectbox(
            "Family", [ALL, *families], format_func=lambda name: name.replace("_", " "), key="family", width=220, bind="query-params"
        )  # fmt: skip
        kind = st.selectbox("Answers", [ALL, *KINDS], key="answers", width=240, bind="query-params")
        text = st.text_input("Find", key="find", type="search", placeholder="Words of a question", bind="query-params")
    return matching(found, text, "" if task == ALL else task, "" if kind == ALL else kind)


def scores(found: Sequence[Question], models: Sequence[str]) -> None:
    """How many of the questions each model has right."""
    answered = {name: [one for one in found if name in one.answers] for name in models}
    parts.facts(
        [("Questions", f"{len(found):,}")]
        + [
            (f"{name} right", f"{sum(one.passed(name) for one in ones):,} ({sum(one.passed(name) for one in ones) / len(ones):.0%})")
            for name, ones in answered.items()
            if ones
        ]
    )  # fmt: skip


def verdict(one: Question, model: str) -> str:
    """Whether a model is right, and the probability that it gives the right answer."""
    if model not in one.answers:
        return "-"
    badge = parts.badge("right", "good") if one.passed(model) else parts.badge("wrong", "bad")
    return f"{badge} {one.answers[model].probabilities[one.right]:.0%}"


def listing(found: Sequence[Question], models: Sequence[str]) -> None:
    rows = [
        [html(one.text, 160), html(one.task.replace("_", " "), 30), html(one.choices[one.right], 40), *(verdict(one, name) for name in models)]
        for one in found[:SHOWN]
    ]  # fmt: skip
    parts.table(["Question", "Family", "Answer", *models], rows, "pf-questions")
    if len(found) > SHOWN:
        st.caption(f"The first {SHOWN} of {len(found):,} questions.")


def detail(found: Sequence[Question], models: Sequence[str]) -> None:
    """One question: every choice with the probability that each model gives it, and training text near it."""
    by_id = {one.id: one for one in found}
    chosen = st.selectbox(
        "Show", list(by_id), format_func=lambda name: clean(f"{by_id[name].text} ({by_id[name].task})", 120), key="question",
        bind="query-params",
    )  # fmt: skip
    one = by_id[chosen]
    st.html(f'<pre class="pf-text pf-prompt">{html(one.text)}</pre>')
    rows = []
    for number, choice in enumerate(one.choices):
        shares = [
            parts.bold(f"{one.answers[name].probabilities[number]:.1%}", one.answers[name].predicted == number)
            for name in models
            if name in one.answers
        ]
        rows.append([html(choice, 200), parts.badge("right answer", "good") if number == one.right else "", *shares])
    parts.table(["Choice", "", *(name for name in models if name in one.answers)], rows, "pf-numbers")
    st.caption(
        "Probability of each choice among the choices, without regard to their lengths; bold: the model's answer."
    )
    if one.in_corpus:
        st.caption("This question stands in the training corpus.")
    near(one)
    st.page_link(
        "views/chat.py",
        label="Ask it in Chat",
        icon=":material/chat:",
        query_params={"prompt": one.prompt, "temperature": "0.0"},
    )


def near(one: Question) -> None:
    """Passages of the question with its answer that the large model has read."""
    known = reads.models()
    if not known:
        return
    try:
        traced = reads.spans(known[0], f"{one.prompt} {one.choices[one.right]}", NEAR)
    except StepError as error:
        st.caption(plain(f"Training data not searched: {error}", 300))
        return
    if not traced["spans"]:
        st.caption(f"No passage of at least {NEAR} tokens stands in the training data.")
    passages.show(traced["spans"])


def page() -> None:
    parts.heading("Exam", "The questions of the latest run, and what each model answers.")
    with banner.shielded("The exam"):
        found = reads.exam()
        if not found:
            parts.empty("No exam yet", "A run writes one with its exercises. Start one on New run.")
            return
        models = models_of(found)
        shown = filters(found)
        if not shown:
            parts.empty("Nothing found", "No question is like that. Use fewer words, or another filter.")
            return
        scores(shown, models)
        listing(shown, models)
        detail(shown, models)


page()
