"""The ablation's result as tables and sentences."""

from collections.abc import Mapping
from typing import Any

from components.results.tables import Table, escape_markdown
from components.study import multipliers
from components.study.levels import LEVELS, judged
from components.study.pages import Text, left_out, with_interval

SEEDS_NOTE = "± half of the 95% confidence interval (Student's t over the seeds)"

SAME_MODEL = (
    "All arms have the same model, so the factor of FLOPs is the same. The loss is without exercises. The baseline's "
    "learning rate is not tuned for its further budgets."
)


def text_of(result: Mapping[str, Any]) -> Text:
    return Text(
        "Data ablation",
        "Data ablation: the same model and tokens, only the documents vary",
        sentences(result),
        [
            arms(result),
            differences(result),
            *([multipliers.table(result["multipliers"], SAME_MODEL)] if result["multipliers"] else []),
            categories(result),
            category_differences(result),
            kinds(result),
            read(result),
        ],
        "Loss and exam accuracy of each arm, with chance and majority",
        "Means over the seeds with 95% confidence intervals; the small marks are the seeds.",
    )


def sentences(result: Mapping[str, Any]) -> list[str]:
    """The effect of each ingredient, and the arms that answer no better than a guess."""
    lines = [
        f"**{escape_markdown(row['arm'])}** against {escape_markdown(row['against'])}: loss {with_interval(row['loss'], 4, sign=True)} "
        f"({judged(row['loss'], row['loss']['verdict'], 4)}), exam {with_interval(row['exam'], 3, sign=True)} ({judged(row['exam'], row['exam']['verdict'], 3)})."
        for row in result["differences"]
    ]
    lines += [
        f"**{escape_markdown(row['arm'])}**: {escape_markdown(row['against'])} would need {multipliers.said(row)} times as "
        "many tokens for its loss."
        for row in result["multipliers"]
        if row["factor"] is not None
    ]
    guess = max(result["baselines"][""].values())
    for arm in result["arms"]:
        low = arm["exam"]["low"] if arm["exam"]["low"] is not None else arm["exam"]["mean"]
        if low <= guess:
            lines.append(
                f"**{escape_markdown(arm['arm'])}** is not distinguishable from answering the exam without a "
                f"model ({guess:.3f})."
            )
    return lines + left_out(result["diverged"])


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
        f"held-out curated documents and textbooks; with exercises: over all held-out documents. Exam: accuracy on "
        f"{result['examples']:,} questions, averaged over tasks. Majority always takes the choice that was most often right "
        "in training."
    )
    return Table("Arms", note, ["arm", "documents", "loss", "with exercises", "exam"], rows)


def differences(result: Mapping[str, Any]) -> Table:
    rows = [
        [
            f"{row['arm']} minus {row['against']}",
            with_interval(row["loss"], 4, sign=True),
            judged(row["loss"], row["loss"]["verdict"], 4),
            with_interval(row["exam"], 3, sign=True),
            judged(row["exam"], row["exam"]["verdict"], 3),
        ]
        for row in result["differences"]
    ]
    note = f"Paired by seed, {SEEDS_NOTE}. An interval that contains 0 means not distinguishable. {LEVELS}"
    return Table("Effect of each ingredient", note, ["added ingredient", "loss", "", "exam", ""], rows)


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
    note = f"Accuracy, averaged over the tasks of a category, {SEEDS_NOTE}."
    header = ["category", "chance", "majority", *(arm["arm"] for arm in result["arms"])]
    return Table("Exam by category", note, header, rows)


def category_differences(result: Mapping[str, Any]) -> Table:
    names = [name for name in result["baselines"] if name]
    rows = [
        [name, *(with_interval(row[f"exam.{name}"], 3, sign=True) for row in result["differences"])] for name in names
    ]
    note = f"Paired by seed, {SEEDS_NOTE}. One interval in twenty excludes 0 by chance."
    header = ["category", *(f"{row['arm']} minus {row['against']}" for row in result["differences"])]
    return Table("Effect of each ingredient by category", note, header, rows)


def kinds(result: Mapping[str, Any]) -> Table:
    names = [name for name in result["arms"][0] if name.startswith("losses.")]
    rows = [[name.removeprefix("losses."), *(with_interval(arm[name], 4) for arm in result["arms"])] for name in names]
    note = f"Nats per token over the held-out documents of each kind, the same for all arms, {SEEDS_NOTE}."
    return Table("Loss by kind", note, ["kind", *(arm["arm"] for arm in result["arms"])], rows)


def read(result: Mapping[str, Any]) -> Table:
    names = sorted({kind for arm in result["arms"] for kind in arm["read"]})

    def cell(found: Mapping[str, float] | None) -> str:
        return f"{found['share']:.1%}, {found['passes']:.2f} times" if found else "-"

    rows = [[arm["arm"], *(cell(arm["read"].get(name)) for name in names)] for arm in result["arms"]]
    note = (
        "Share of the tokens read that are of this kind, and how often each token of this kind in the arm's stream was "
        "read on average; above 1 it was repeated."
    )
    return Table("Tokens read", note, ["arm", *names], rows)
