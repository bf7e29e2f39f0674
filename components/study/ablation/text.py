"""The ablation's result as tables of text, and in sentences."""

from collections.abc import Mapping
from typing import Any

from components.results.tables import escape_markdown
from components.study.pages import Table, Text, with_interval

SEEDS_NOTE = "± half of the 95% confidence interval (Student's t over the seeds)"


def text_of(result: Mapping[str, Any]) -> Text:
    return Text(
        "Data ablation",
        "Data ablation: the same model and tokens, only the documents vary",
        sentences(result),
        tables(result),
        "Loss and exam accuracy of each arm, with chance and majority",
        "Means over the seeds with 95% confidence intervals; the small marks are the seeds.",
    )


def tables(result: Mapping[str, Any]) -> list[Table]:
    """`title`, `note`, `header`, `rows` of each table."""
    return [
        arms(result),
        differences(result),
        categories(result),
        category_differences(result),
        kinds(result),
        read(result),
    ]


def sentences(result: Mapping[str, Any]) -> list[str]:
    """What each ingredient changes, and which arms answer no better than a guess; a list in Markdown."""
    said = [
        f"- **{escape_markdown(row['arm'])}** against {escape_markdown(row['against'])}: loss {with_interval(row['loss'], 4, sign=True)} "
        f"({row['loss']['verdict']}), exam {with_interval(row['exam'], 3, sign=True)} ({row['exam']['verdict']})."
        for row in result["differences"]
    ]
    guess = max(result["baselines"][""].values())
    for arm in result["arms"]:
        low = arm["exam"]["low"] if arm["exam"]["low"] is not None else arm["exam"]["mean"]
        if low <= guess:
            said.append(
                f"- **{escape_markdown(arm['arm'])}** is not distinguishable from answering the exam without a "
                f"model ({guess:.3f})."
            )
    if result["diverged"]:
        said.append(f"- Diverged, and so left out: {escape_markdown(', '.join(result['diverged']))}.")
    return ["\n".join(said)]


def arms(result: Mapping[str, Any]) -> Table:
    rows = [
        [
            arm["arm"],
            f"{arm['documents']:,}",
            with_interval(arm["loss"], 4),
            with_interval(arm["whole_loss"], 4),
            with_interval(arm["exam"], 3),
        ]
        for arm in result["arms"]
    ]
    guesses = result["baselines"][""]
    rows += [[name, "", "", "", f"{guesses[name]:.3f}"] for name in ("majority", "chance")]
    note = (
        f"Each arm: the same model ({result['parameters']:,} parameters) after {result['tokens']:,} tokens; only the documents "
        f"differ. Means over seeds {', '.join(map(str, result['seeds']))} {SEEDS_NOTE}. Loss: nats per token over the same "
        f"held-out curated documents and textbooks; with exercises: over all held-out documents. Exam: accuracy of "
        f"{result['examples']:,} questions, all tasks alike. Majority always takes the choice that was most often right in "
        "training."
    )
    header = ["arm", "documents", "loss", "with exercises", "exam"]
    return {"title": "Arms", "note": note, "header": header, "rows": rows}


def differences(result: Mapping[str, Any]) -> Table:
    rows = [
        [
            f"{row['arm']} minus {row['against']}",
            with_interval(row["loss"], 4, sign=True),
            row["loss"]["verdict"],
            with_interval(row["exam"], 3, sign=True),
            row["exam"]["verdict"],
        ]
        for row in result["differences"]
    ]
    note = f"Paired by seed, {SEEDS_NOTE}. An interval that holds 0 means not distinguishable."
    header = ["added ingredient", "loss", "", "exam", ""]
    return {"title": "What each ingredient changes", "note": note, "header": header, "rows": rows}


def categories(result: Mapping[str, Any]) -> Table:
    names = [name for name in result["baselines"] if name]
    rows = [
        [
            name,
            *(f"{result['baselines'][name][guess]:.3f}" for guess in ("chance", "majority")),
            *(with_interval(arm[f"exam.{name}"], 3) for arm in result["arms"]),
        ]
        for name in names
    ]
    note = f"Accuracy, tasks of a category alike, {SEEDS_NOTE}."
    header = ["category", "chance", "majority", *(arm["arm"] for arm in result["arms"])]
    return {"title": "Exam by category", "note": note, "header": header, "rows": rows}


def category_differences(result: Mapping[str, Any]) -> Table:
    names = [name for name in result["baselines"] if name]
    rows = [
        [name, *(with_interval(row[f"exam.{name}"], 3, sign=True) for row in result["differences"])] for name in names
    ]
    note = f"Paired by seed, {SEEDS_NOTE}. Of so many intervals one in twenty leaves out 0 by chance."
    header = ["category", *(f"{row['arm']} minus {row['against']}" for row in result["differences"])]
    return {"title": "What each ingredient changes, by category", "note": note, "header": header, "rows": rows}


def kinds(result: Mapping[str, Any]) -> Table:
    names = [name for name in result["arms"][0] if name.startswith("losses.")]
    rows = [[name.removeprefix("losses."), *(with_interval(arm[name], 4) for arm in result["arms"])] for name in names]
    note = f"Nats a token over the held-out documents of each kind, the same for all arms, {SEEDS_NOTE}."
    header = ["kind", *(arm["arm"] for arm in result["arms"])]
    return {"title": "Loss by kind", "note": note, "header": header, "rows": rows}


def read(result: Mapping[str, Any]) -> Table:
    names = sorted({kind for arm in result["arms"] for kind in arm["read"]})

    def cell(found: Mapping[str, float] | None) -> str:
        return f"{found['share']:.1%}, {found['passes']:.2f} times" if found else "-"

    rows = [[arm["arm"], *(cell(arm["read"].get(name)) for name in names)] for arm in result["arms"]]
    note = (
        "Share of the tokens that were read, and how often each token of the arm's stream of that kind was read "
        "on average; above 1 it was repeated."
    )
    return {"title": "Tokens read", "note": note, "header": ["arm", *names], "rows": rows}
