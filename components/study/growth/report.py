"""Write what the study shows: tables, figure, page."""

from collections.abc import Iterator, Mapping
from typing import Any

from components.running.cli import Paths
from components.study.growth.analysis import Study, analyse
from components.study.growth.figure import draw
from components.study.growth.record import Record, read_records
from components.study.growth.text import text_of
from components.study.pages import write_result
from components.tracking import Tracker

COLUMNS = ("arm", "seed", "horizon", "learning_rate", "parameters", "tokens", "flops", "source_flops", "validation_loss", "bits_per_byte")  # fmt: skip


def report(inputs: Paths, outputs: Paths, tracker: Tracker) -> dict[str, Any]:
    """Write study.json, study.md, study.csv (a row a training), study.png and index.html.

    Returns:
        final loss and exam of each arm after its whole budget, and its differences from each rival.

    Raises:
        StepError: a record is missing or broken.
    """
    trials, runs = read_records([inputs["trials"]]), read_records([inputs["runs"]])
    study = Study.of(trials, runs)
    result = analyse(study)
    write_result(outputs["output"], "study", result, text_of(result), rows_of(runs), lambda path: draw(study, path))
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


def rows_of(records: list[Record]) -> Iterator[list[Any]]:
    """A header, then one row per training, for those who draw their own figure."""
    yield [*COLUMNS, "exam_accuracy"]
    for record in sorted(records, key=lambda r: (r.arm, str(r.horizon), r.seed)):
        accuracy = record.exam["accuracy"] if record.exam else ""
        yield [*(getattr(record, column) for column in COLUMNS), accuracy]
