"""Compares the models without some documents with the one that has read everything, and writes the result."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np

from components.errors import StepError
from components.exclusions import rules_of
from components.files import read_json
from components.params import EVERYTHING, Params
from components.results import statistics
from components.results.power import difference_words
from components.results.tables import Table, escape_markdown
from components.running.cli import Paths
from components.study.pages import Text, write_result
from components.study.without.record import Model, read_records
from components.tracking import Tracker

MODELS = ("small", "large")
WHOLE = "whole"  # the figure over all families, or all kinds of text
NOISE = 4  # minimum number of other items from which the noise of one training run is estimated
Runs = Mapping[tuple[str, int], Model]


def report(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write without.json, without.md, without.csv (one row per training run), without.png and index.html.

    Returns:
        by model and item, the differences in the exam and in the loss.

    Raises:
        StepError: a record is missing or broken, the runs differ in more than their documents and seeds, or no item is left.
    """
    own = params.without
    records = read_records(inputs["runs"], own.items, own.seeds)
    tokens = {
        item: read_json(inputs["tokens"] / f"{item}.json", "run the study", "run the study") for item in own.items
    }
    models = {}
    for name in MODELS:
        found = {key: record.models[name] for key, record in records.items() if name in record.models}
        if any(item == EVERYTHING for item, _ in found):
            models[name] = compare(found, own.items, own.seeds)
    if not models:
        raise StepError(
            "the training run that leaves out nothing diverged; lower small.learning_rate and run the study again"
        )
    left = {
        item: tokens[item]["left_out"] | {"newly_kept": tokens[item]["newly_kept"]}
        for item in own.items
        if item != EVERYTHING
    }
    diverged = [f"{item} with seed {seed}" for (item, seed), record in records.items() if "small" not in record.models]
    result = {"seeds": own.seeds, "left_out": left, "diverged": diverged, "models": models}
    rows: list[list[Any]] = [["item", "seed", "model", "exam", "bits_per_byte"]]
    rows += [[*key, n, m.exam, m.bits_per_byte] for key, r in records.items() for n, m in r.models.items()]
    write_result(outputs["output"], "without", result, text_of(result), rows, lambda path: draw(result, path))
    tracker.artifact(outputs["output"], "without")
    return {
        name: {
            item: {"exam": row["exam"][WHOLE]["value"], "loss": row["loss"][WHOLE]["value"]}
            for item, row in found.items()
        }
        for name, found in models.items()
    }


def compare(runs: Runs, items: Sequence[str], seeds: Sequence[int]) -> dict[str, dict[str, Any]]:
    """By item, the differences from everything: `exam` by family, `loss` by kind of text, each also for the `whole`.

    An item with a diverged run is left out.
    """
    found = {}
    for item in items:
        if item == EVERYTHING or not all({(item, seed), (EVERYTHING, seed)} <= {*runs} for seed in seeds):
            continue
        ours, theirs = ([runs[of, seed] for seed in seeds] for of in (item, EVERYTHING))
        if len({repr(model.basis) for model in (*ours, *theirs)}) > 1:
            raise StepError(
                f"{item!r} and {EVERYTHING!r} were measured on other questions or texts; remove reports/without and run again"
            )
        found[item] = {"exam": exam_differences(ours, theirs), "loss": loss_differences(ours, theirs)}
    if found and len(seeds) == 1:
        add_noise(found)
    return found


def exam_differences(ours: Sequence[Model], theirs: Sequence[Model]) -> dict[str, dict[str, Any]]:
    """Accuracy without the item minus accuracy with it, by family; over all of them, families count as drawn at random."""
    by_family = {
        family: np.array([our.answers[family] for our in ours]) - np.array([their.answers[family] for their in theirs])
        for family in ours[0].answers
    }
    whole = np.stack([values.mean(axis=1) for values in by_family.values()], axis=1)  # (seeds, families)
    return {WHOLE: estimate(whole)} | {family: estimate(values) for family, values in by_family.items()}


def loss_differences(ours: Sequence[Model], theirs: Sequence[Model]) -> dict[str, dict[str, Any]]:
    """Bits per byte without the item minus those with it, by kind of text; documents count as drawn at random."""
    found = {}
    kinds = [*ours[0].losses]
    for name, own in {WHOLE: kinds, **{kind: [kind] for kind in kinds}}.items():
        nats, sizes = (
            np.array([[pair[place] for kind in own for pair in model.losses[kind]] for model in ours])
            for place in (0, 1)
        )
        nats = nats - np.array([[pair[0] for kind in own for pair in model.losses[kind]] for model in theirs])
        value = nats.sum() / sizes.sum()
        # The ratio of two sums, linearised: each document's deviation, so that long ones count by their length.
        found[name] = estimate(((nats - value * sizes) / sizes.mean() + value) / math.log(2))
    return found


def estimate(values: np.ndarray) -> dict[str, Any]:
    """A mean difference with its interval, and the smallest that would be found.

    Args:
        values: (seeds, units); with several of both, both count as drawn at random, otherwise only the units or the seeds.
    """
    seeds, units = values.shape
    if seeds > 1 and units > 1:
        crossed = statistics.crossed(values)
        power = {"detectable": crossed.detectable or None, "needed_seeds": crossed.needed_seeds}
        return {"value": crossed.value, "low": crossed.low, "high": crossed.high} | power
    mean = statistics.mean(values.ravel())
    low, high = statistics.interval(mean)
    detectable = statistics.detectable(mean.error, degrees=mean.degrees) if mean.error else None
    return {"value": mean.value, "low": low, "high": high, "detectable": detectable}


def add_noise(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """Add the standard deviation of each figure over the other items, if there are enough of them: most items have nothing to
    do with a family, so it shows how far a retraining alone moves the figure."""
    for item, row in found.items():
        for figure, entries in row.items():
            for name, entry in entries.items():
                others = [
                    other[figure][name]["value"]
                    for of, other in found.items()
                    if of != item and not any(rule.value in (name, "exercise") for rule in rules_of(of))
                ]
                entry["noise"] = stdev(others) if len(others) >= NOISE else None


def text_of(result: Mapping[str, Any]) -> Text:
    return Text(
        "Without",
        "What the model would be without some documents",
        sentences(result),
        [table for name, found in result["models"].items() for table in tables(name, found, result)],
        "Change of the exam's accuracy by item",
        "Exam accuracy without the documents minus accuracy with them, with 95% intervals.",
    )


def sentences(result: Mapping[str, Any]) -> list[str]:
    lines, alone = [], len(result["seeds"]) == 1
    for name, found in result["models"].items():
        for item, row in found.items() if len(found) <= NOISE else ():
            exam, loss = row["exam"][WHOLE], row["loss"][WHOLE]
            words = (cell(exam), cell(loss, 4)) if alone else (difference_words(exam), difference_words(loss, 4))
            lines.append(f"The {name} model **without {shown(item)}**: exam {words[0]}; loss {words[1]} bits per byte.")
        for item, row in found.items():
            if told := outstanding(row, alone):
                lines.append(f"The {name} model without {shown(item)}: {told}.")
    if alone:
        lines.append(
            "One seed: the intervals count questions and documents, and a retraining alone moves the figures too. Nothing is told "
            "apart without the noise of other items or more seeds; give `--seeds 1 2 3`."
        )
    if result["diverged"]:
        lines.append(f"Diverged, and so left out: {escape_markdown(', '.join(result['diverged']))}.")
    return lines


def outstanding(row: Mapping[str, Mapping[str, Mapping[str, Any]]], alone: bool) -> str:
    """The families and kinds whose interval excludes 0, the largest first.

    Args:
        alone: there is one seed; then the difference must also exceed twice the noise of a retraining, if that is known.
    """
    found = [
        (abs(entry["value"]), f"{name} {entry['value']:+.{3 if figure == 'exam' else 4}f}")
        for figure, entries in row.items()
        for name, entry in entries.items()
        if name != WHOLE and entry["low"] is not None and not entry["low"] <= 0 <= entry["high"]
        and (not alone or abs(entry["value"]) > 2 * (entry.get("noise") or math.inf))
    ]  # fmt: skip
    return ", ".join(words for _, words in sorted(found, reverse=True)[:6])


def shown(item: str) -> str:
    """An item for people, in Markdown."""
    return escape_markdown(" and ".join(map(str, rules_of(item))))


def tables(name: str, found: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[Table]:
    """The items beside one another; for a few of them, also every family and kind."""
    kinds = [kind for kind in next(iter(found.values()), {"loss": {}})["loss"] if kind != WHOLE]
    rows = []
    for item, row in found.items():
        own = [rule.value for rule in rules_of(item) if rule.value in row["exam"]]
        left = result["left_out"][item]
        rows.append(
            [
                shown(item),
                f"{left['documents']:,}, {left['megabytes']:.2f} MB",
                cell(row["exam"][WHOLE]),
                ", ".join(cell(row["exam"][family]) for family in own),
                cell(row["loss"][WHOLE], 4),
                *(cell(row["loss"][kind], 4) for kind in kinds),
            ]
        )
    seeds = (
        f"seeds {', '.join(map(str, result['seeds']))}" if len(result["seeds"]) > 1 else f"seed {result['seeds'][0]}"
    )
    note = (
        f"Without the item minus with it, [95% interval], {seeds}. Exam: accuracy, mean over families. Loss: bits per byte over the "
        "same held-out documents. Left out: documents of the training text, wholly or in part."
    )
    header = ["without", "left out", "exam", "its own family", "loss", *kinds]
    yield Table(f"The {name} model", note, header, rows)
    if len(found) > NOISE:
        return
    for figure, title, digits in (("exam", "exam family", 3), ("loss", "kind of text", 4)):
        names = [entry for entry in next(iter(found.values()), {figure: {}})[figure] if entry != WHOLE]
        lines = [[entry, *(cell(row[figure][entry], digits) for row in found.values())] for entry in names]
        note = "Without the item minus with it, [95% interval]. One interval in twenty excludes 0 by chance."
        yield Table(f"The {name} model by {title}", note, [title, *(f"without {shown(item)}" for item in found)], lines)


def cell(entry: Mapping[str, Any], digits: int = 3) -> str:
    """`+0.020 [-0.001, +0.041] (noise 0.012)`."""
    text = f"{entry['value']:+.{digits}f}"
    if entry["low"] is not None:
        text += f" [{entry['low']:+.{digits}f}, {entry['high']:+.{digits}f}]"
    return text + (f" (noise {entry['noise']:.{digits}f})" if entry.get("noise") else "")


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Write the chart as PNG: the exam's difference by item, for each model."""
    from components.results.figures import BLUE, GREY, RUST, save

    def panels(axis: Any) -> None:
        for (name, found), (colour, marker) in zip(result["models"].items(), (BLUE, RUST), strict=False):
            entries = [row["exam"][WHOLE] for row in found.values()]
            values = [entry["value"] for entry in entries]
            reach = [0.0 if entry["low"] is None else entry["value"] - entry["low"] for entry in entries]
            axis.errorbar(
                range(len(values)), values, yerr=reach, color=colour, marker=marker, linestyle="", capsize=3, label=name
            )
        axis.axhline(0.0, color=GREY[0], linewidth=1)
        items = [*next(iter(result["models"].values()))]
        axis.set_xticks(
            range(len(items)),
            [item[:40] for item in items],
            rotation=60 if len(items) > 4 else 0,
            ha="right" if len(items) > 4 else "center",
        )
        axis.set_ylabel("exam accuracy, without minus with")
        axis.legend(frameon=False)

    save(path, 1, panels)
