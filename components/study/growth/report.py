"""Writes the result of the growth study: tables, chart, page."""

from collections.abc import Iterator, Mapping
from typing import Any

from components.params import Params
from components.running.cli import Paths
from components.study.growth.analysis import Study, analyse
from components.study.growth.figure import draw
from components.study.growth.record import Record, read_records
from components.study.growth.text import text_of
from components.study.multipliers import metrics
from components.study.pages import write_result
from components.tracking import Tracker

COLUMNS = ("arm", "seed", "horizon", "learning_rate", "parameters", "tokens", "flops", "source_flops", "validation_loss", "bits_per_byte")  # fmt: skip
# What the entries that growth added carry: name in the record, and in the table of training runs.
CAPACITY = {"gain": "gain", "share": "share_of_new", "damage": "damage_of_new", "damage_stderr": "damage_of_new_stderr"}


def report(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write study.json, study.md, study.csv (one row per training run), study.png and index.html.

    Returns:
        the final loss and exam accuracy of each arm after each of its budgets.

    Raises:
        StepError: a record is missing or broken.
    """
    runs = read_records(inputs["runs"])
    study = Study.of(read_records(inputs["trials"]), runs)
    result = analyse(study)
    write_result(outputs["output"], "study", result, text_of(result), rows_of(runs), lambda path: draw(study, path))
    tracker.artifact(outputs["output"], "growth-study")
    return summary(result)


def summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics for `dvc metrics`, by arm and horizon."""
    return {
        arm["arm"] + ("" if budget["horizon"] == 1.0 else f"@{budget['horizon']}"): {
            "validation_loss": budget["validation_loss"]["mean"],
            "exam_accuracy": budget["exam_accuracy"]["mean"],
            "tokens": budget["tokens"],
            **({"share_of_new": budget["capacity"]["share"]["mean"]} if budget["capacity"] else {}),
            **(metrics(result["multipliers"], arm["arm"]) if budget["horizon"] == 1.0 else {}),
        }
        for arm in result["arms"]
        for budget in arm["budgets"]
    }


def rows_of(records: list[Record]) -> Iterator[list[Any]]:
    """A header, then one row per training run, for those who draw their own chart."""
    yield [*COLUMNS, "exam_accuracy", *CAPACITY.values()]
    for record in sorted(records, key=lambda r: (r.arm, str(r.horizon), r.seed)):
        accuracy = record.exam["accuracy"] if record.exam else ""
        carried = record.capacity or {}
        yield [
            *(getattr(record, column) for column in COLUMNS),
            accuracy,
            *(carried.get(name, "") for name in CAPACITY),
        ]
