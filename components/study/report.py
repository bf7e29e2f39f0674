"""Write what the study shows: tables, figure, page."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.cli import Paths
from components.study import pages
from components.study.analysis import Study, analyse
from components.study.figure import draw
from components.study.record import Record, read_records
from components.study.text import markdown, sentences, tables
from components.tracking import Tracker

COLUMNS = ("arm", "seed", "horizon", "learning_rate", "parameters", "tokens", "flops", "source_flops", "validation_loss", "bits_per_byte")  # fmt: skip


def report(inputs: Paths, outputs: Paths, tracker: Tracker) -> dict[str, Any]:
    """Write study.json, study.md, study.csv (one row per training run), study.png and index.html.

    Returns:
        final loss and exam of each arm after its whole budget, and its differences from each rival.

    Raises:
        StepError: a record is missing or broken.
    """
    trials, runs = read_records([inputs["trials"]]), read_records([inputs["runs"]])
    study = Study.of(trials, runs)
    result = analyse(study)
    pages.write_result(
        outputs["output"],
        "study",
        result,
        markdown(result),
        lambda path: write_rows(path, runs),
        lambda path: draw(study, path),
        lambda figure: page(result, figure),
    )
    tracker.artifact(outputs["output"], "growth-study")
    return summary(result)


def summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """Flat figures for `dvc metrics`."""
    found: dict[str, Any] = {}
    for arm in result["arms"]:
        for budget in arm["budgets"]:
            name = "" if budget["horizon"] == 1.0 else f"@{budget['horizon']}"
            found[arm["arm"] + name] = {
                "validation_loss": budget["validation_loss"]["mean"],
                "exam_accuracy": budget["exam_accuracy"]["mean"],
                "tokens": budget["tokens"],
            }
    return found


def write_rows(path: Path, records: list[Record]) -> None:
    """One CSV row per training run, for charts of your own."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, "exam_accuracy"])
        for record in sorted(records, key=lambda r: (r.arm, str(r.horizon), r.seed)):
            accuracy = record.exam["accuracy"] if record.exam else ""
            writer.writerow([*(getattr(record, column) for column in COLUMNS), accuracy])


def page(result: Mapping[str, Any], figure: Path) -> str:
    """The result as one HTML page that needs nothing beside it."""
    return pages.page(
        "Growth study",
        "Growth study: what a small model's knowledge is worth to a larger one",
        sentences(result),
        tables(result),
        figure,
        "Validation loss of each arm against training tokens and against FLOPs",
        "Means over the seeds. Each line is one training to the end of its decay; what follows the small model at first is "
        "dashed.",
    )
