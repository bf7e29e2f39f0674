"""Compares a checkpoint before and after fine-tuning on the same questions and documents, and writes the result."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import read_json
from components.params import Params
from components.results.examples import difference, read_examples, told_apart
from components.results.power import difference_words
from components.results.tables import Table, escape_markdown
from components.running.cli import Paths
from components.study.pages import Text, write_result
from components.study.tuning.measure import EXAM, HELD_OUT, SUITE
from components.study.without.record import Model
from components.study.without.report import WHOLE, cell, loss_differences
from components.tokens import Tokens
from components.tracking import Tracker

FILES = {
    "exam": (EXAM, "examples.parquet"),
    "reworded": (EXAM, "reworded.parquet"),
    "suite": (SUITE, "examples.parquet"),
}
NAMES = {"exam": "the exam", "reworded": "the exam's held-out wordings", "suite": "the suite"}
METRICS = ("acc", "exact_match", "pass@1")


def report(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write tuning.json, tuning.md, tuning.csv (one row per difference), tuning.png and index.html.

    Returns:
        the differences, after minus before: accuracies, and bits per byte of held-out text by kind.

    Raises:
        StepError: a file is missing or broken, or both were measured on other questions or documents.
    """
    before, after = inputs["before"], inputs["after"]
    accuracy = {name: found for name, place in FILES.items() if (found := accuracies(before, after, place))}
    losses = loss_differences([text(after, inputs["tokens"])], [text(before, inputs["tokens"])])
    training = read_json(inputs["training"], "expected the summary of components.tuning", "run the study again")
    result = {
        "training": training,
        "tuning": params.tuning.model_dump(mode="json"),
        "accuracy": accuracy,
        "loss": losses,
    }
    rows: list[list[Any]] = [["measure", "of", "value", "low", "high", "detectable"]]
    for measure, entries in [*accuracy.items(), ("loss", losses)]:
        rows += [[measure, of, *(row.get(key) for key in rows[0][2:])] for of, row in entries.items()]
    write_result(outputs["output"], "tuning", result, text_of(result), rows, lambda path: draw(result, path))
    tracker.artifact(outputs["output"], "tuning")
    return {
        name: {key: row[key] for key in ("value", "low", "high", "detectable")}
        for name, row in [*((name, found[WHOLE]) for name, found in accuracy.items()), ("bits_per_byte", losses[WHOLE])]
    } | {"training": training}


def accuracies(before: Path, after: Path, place: tuple[str, str]) -> dict[str, dict[str, Any]]:
    """Differences by task, after minus before, and over all tasks; empty if there is no such file.

    Raises:
        StepError: only one of both has it, or they have no common question.
    """
    files = [folder.joinpath(*place) for folder in (after, before)]
    if not any(file.is_file() for file in files):
        return {}
    for file in files:
        if not file.is_file():
            raise StepError(f"{file} is not there; expected scores as in {files[0].parents[1]}; measure both again")
    ours, theirs = (read_examples(file, METRICS) for file in files)
    metric = next((metric for metric in METRICS if metric in ours and metric in theirs), None)
    whole = None if metric is None else difference([ours[metric]], [theirs[metric]])
    if metric is None or whole is None:
        raise StepError(f"{files[0]} and {files[1]} have no common question; measure both again")
    tasks = sorted({task for task, _ in ours[metric].keys() & theirs[metric].keys()})
    return {WHOLE: whole} | {
        task: found for task in tasks if (found := difference([ours[metric]], [theirs[metric]], {task}))
    }


def text(folder: Path, tokens: Path) -> Model:
    """The loss on each held-out document, by kind."""
    found = read_json(folder / HELD_OUT, "expected a folder of study.tuning.measure", "measure it again")
    index = Tokens.open(tokens).split("validation").documents
    kinds = dict(zip(index["id"].to_pylist(), index["kind"].to_pylist(), strict=True))
    losses: dict[str, list[list[float]]] = {}
    for name, nats, size in zip(found["documents"], found["nats"], found["bytes"], strict=True):
        losses.setdefault(kinds[name], []).append([nats, size])
    return Model({}, losses, found["text_sha256"])


def text_of(result: Mapping[str, Any]) -> Text:
    return Text(
        "Tuning",
        "What fine-tuning changes",
        list(sentences(result)),
        list(tables(result)),
        "Change of accuracy by task",
        "Accuracy after minus before fine-tuning, by task of the exam, with 95% intervals.",
    )


def sentences(result: Mapping[str, Any]) -> Iterator[str]:
    own, done = result["tuning"], result["training"]
    how = f"rank {own['rank']}, " if own["method"] == "lora" else ""
    yield (
        f"{own['objective']}, {own['method']} ({how}learning rate {own['learning_rate']:g}): {done['trained_on']:,} rows, "
        f"{done['steps']:,} steps, {done['trained_parameters']:,} trained parameters."
    )
    for name, found in result["accuracy"].items():
        yield f"Accuracy on {NAMES[name]}: **{difference_words(found[WHOLE])}**."
    loss = result["loss"][WHOLE]
    verdict = "no difference told apart" if not told_apart(loss) else "forgotten" if loss["value"] > 0 else "improved"
    yield f"Loss on held-out text ({verdict}): **{difference_words(loss, 4)}** bits per byte."
    for name, found in result["accuracy"].items():
        worse = [task for task, row in found.items() if task != WHOLE and told_apart(row) and row["value"] < 0]
        if worse:
            yield f"Worse on {NAMES[name]}: {escape_markdown(', '.join(worse))}."
    yield "All differences are after minus before on the same questions and documents, of one run; other seeds move them too."


def tables(result: Mapping[str, Any]) -> Iterator[Table]:
    for name, found in result["accuracy"].items():
        rows = [[escape_markdown(task), cell(row)] for task, row in found.items() if task != WHOLE]
        yield Table(
            f"By task of {NAMES[name]}",
            "Accuracy after minus before, [95% interval]. One interval in twenty excludes 0 by chance.",
            ["task", "change"],
            rows,
        )
    rows = [[kind, cell(row, 4)] for kind, row in result["loss"].items()]
    yield Table(
        "Held-out text", "Bits per byte after minus before; above 0 is forgotten.", ["kind of text", "change"], rows
    )


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Write the chart as PNG: the change of each task of the exam."""
    from components.results.figures import BLUE, GREY, save

    found = {task: row for task, row in result["accuracy"]["exam"].items() if task != WHOLE}

    def panel(axis: Any) -> None:
        values = [row["value"] for row in found.values()]
        reach = [0.0 if row["low"] is None else row["value"] - row["low"] for row in found.values()]
        axis.errorbar(range(len(values)), values, yerr=reach, color=BLUE[0], marker=BLUE[1], linestyle="", capsize=3)
        axis.axhline(0.0, color=GREY[0], linewidth=1)
        axis.set_xticks(range(len(found)), [task[:40] for task in found], rotation=60, ha="right")
        axis.set_ylabel("accuracy, after minus before")

    save(path, 1, panel)
