"""`python -m components.alignment.compare`: what interventions change: safety, exam and loss, each paired with the first model.

Loss is in bits per byte over the held-out documents that all models were scored on; its unit is the document.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import atomic_directory, read_json, write_json
from components.params import Params
from components.results.examples import difference, read_examples, told_apart
from components.results.power import difference_words
from components.results.statistics import detectable, interval, ratio
from components.results.tables import Table
from components.running.cli import Argument, Command, Paths, main
from components.tracking import Tracker

EXAM, LOSS = "exam", "bits_per_byte"
Row = dict[str, Any]


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write interventions.json and interventions.md.

    Raises:
        StepError: a file cannot be read, or their numbers differ.
    """
    models = read_json(inputs["safety"], "expected a file of components.alignment").get("models")
    if not isinstance(models, Mapping) or len(models) < 2:
        raise StepError(f"{inputs['safety']}: fewer than two models; measure the model before and after together")
    names = list(models)
    for option in ("scores", "losses"):
        if inputs.get(option) and len(inputs[option]) != len(names):
            raise StepError(
                f"--{option} names {len(inputs[option])} paths; expected {len(names)}, one per model of {inputs['safety']} in its "
                f"order: {', '.join(names)}"
            )
    rows: dict[str, dict[str, Row]] = {
        name: {
            metric: {"after": values["value"]} | models[name].get("against", {}).get("differences", {}).get(metric, {})
            for metric, values in models[name]["metrics"].items()
        }
        for name in names
    }
    for name, row in exams(names, inputs.get("scores") or []):
        rows[name][EXAM] = row
    for name, row in losses(names, inputs.get("losses") or []):
        rows[name][LOSS] = row
    with atomic_directory(outputs["output"]) as folder:
        write_json(folder / "interventions.json", {"first": names[0], "models": rows})
        (folder / "interventions.md").write_text("\n\n".join(table(rows).markdown()) + "\n", encoding="utf-8")
    return {name: {metric: row["after"] for metric, row in own.items()} for name, own in rows.items()}


def exams(names: Sequence[str], folders: Sequence[Path]) -> list[tuple[str, Row]]:
    """The exam of each model: its accuracy over families, and the difference from the first model."""
    found = []
    for folder in folders:
        examples = read_examples(folder / "examples.parquet", ["acc"]).get("acc")
        if not examples:
            raise StepError(f"{folder}: no accuracies; expected scores of components.benchmarking --suite exam")
        found.append(examples)
    rows: list[tuple[str, Row]] = []
    for name, examples in zip(names, found, strict=False):
        families: dict[str, list[float]] = {}
        for (family, _), (value, _) in examples.items():
            families.setdefault(family, []).append(value)
        accuracy = math.fsum(math.fsum(own) / len(own) for own in families.values()) / len(families)
        rows.append((name, {"after": accuracy} | ((difference([examples], [found[0]]) or {}) if rows else {})))
    return rows


def losses(names: Sequence[str], paths: Sequence[Path]) -> list[tuple[str, Row]]:
    """Bits per byte of each model, and the difference from the first one.

    Raises:
        StepError: the models were scored on different text.
    """
    found = [read_json(path, "expected a file of components.benchmarking.held_out") for path in paths]
    rows: list[tuple[str, Row]] = []
    for name, path, one in zip(names, paths, found, strict=False):
        if one.get("text_sha256") != found[0].get("text_sha256"):
            raise StepError(f"{path}: other text than {paths[0]}; score all models on the same held-out documents")
        sizes = [size * math.log(2) for size in one["bytes"]]
        row: Row = {"after": ratio(one["nats"], sizes).value}
        if rows:
            whole = ratio([a - b for a, b in zip(one["nats"], found[0]["nats"], strict=True)], sizes)
            low, high = interval(whole)
            smallest = detectable(whole.error, degrees=whole.degrees) if whole.error else None
            row |= {"value": whole.value, "low": low, "high": high, "n": whole.n, "detectable": smallest}
        rows.append((name, row))
    return rows


def table(rows: Mapping[str, Mapping[str, Row]]) -> Table:
    """A row per model and metric: its value, and the difference from the first model with what can be detected."""
    first, *others = rows
    lines = [[first, metric, f"{row['after']:.3f}", ""] for metric, row in rows[first].items()]
    for name in others:
        for metric, row in rows[name].items():
            words = difference_words(row) if row.get("value") is not None else ""
            lines.append([name, metric, f"{row['after']:.3f}", words + (" *" if words and told_apart(row) else "")])
    note = f"Differences are from {first}, paired, with 95% intervals; * = the interval excludes 0."
    return Table("Interventions", note, ["model", "metric", "value", "difference"], lines)


COMMAND = Command(
    step="alignment.compare",
    description="Compare models before and after an intervention: safety, exam and held-out loss, paired with the first one.",
    run=run,
    inputs=(
        Argument("safety", "file of components.alignment, with all models"),
        Argument("scores", "scores of the exam, one folder per model in the same order", required=False, many=True),
        Argument(
            "losses",
            "files of components.benchmarking.held_out, one per model in the same order",
            required=False,
            many=True,
        ),
    ),
    outputs=(Argument("output", "directory for interventions.json and interventions.md", holds="interventions.json"),),
)

if __name__ == "__main__":
    main(COMMAND)
