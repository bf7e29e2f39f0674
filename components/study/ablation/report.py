"""Writes the result of the data ablation: tables, chart, page."""

from collections.abc import Iterator, Mapping
from typing import Any

from components.params import Params
from components.running.cli import Paths
from components.study.ablation.analysis import Ablation, analyse, figures_of, value_of
from components.study.ablation.figure import draw
from components.study.ablation.record import read_records
from components.study.ablation.text import text_of
from components.study.multipliers import metrics
from components.study.pages import write_result
from components.tracking import Tracker

COLUMNS = ("arm", "seed", "horizon", "learning_rate", "parameters", "documents", "tokens", "flops")


def report(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write ablation.json, ablation.md, ablation.csv (one row per training run), ablation.png and index.html.

    Returns:
        loss and exam accuracy of each arm, the paired differences of neighbouring arms, and the exam's baselines.

    Raises:
        StepError: a record is missing or broken, or the runs differ in more than their documents and seeds.
    """
    ablation = Ablation.of(
        read_records(inputs["runs"], params.ablation.arms, params.ablation.seeds, params.ablation.baseline_horizons)
    )
    result = analyse(ablation)
    write_result(
        outputs["output"], "ablation", result, text_of(result), rows_of(ablation), lambda path: draw(result, path)
    )
    tracker.artifact(outputs["output"], "data-ablation")
    return summary(result)


def summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics for `dvc metrics`, by arm and by difference of two arms."""
    rows = {arm["arm"]: arm for arm in result["arms"]}
    rows |= {f"{row['arm']} minus {row['against']}": row for row in result["differences"]}
    means = {
        name: {
            "loss": row["loss"]["mean"],
            "exam_accuracy": row["exam"]["mean"],
            **metrics(result["multipliers"], name),
        }
        for name, row in rows.items()
    }
    return {"exam": result["baselines"][""], "tokens": result["tokens"], **means}


def rows_of(ablation: Ablation) -> Iterator[list[Any]]:
    """A header, then one row per training run, for those who compute with them."""
    figures = list(figures_of(ablation))
    yield [*COLUMNS, *figures]
    for record in (record for records in [*ablation.runs.values(), *ablation.further.values()] for record in records):
        yield [getattr(record, name) for name in COLUMNS] + [value_of(record, name) for name in figures]
