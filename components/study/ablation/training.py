"""One training run of the ablation, and its record."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.params import Params
from components.phi import checkpoint
from components.running.cli import Paths
from components.study.ablation.arms import EXERCISE
from components.study.ablation.record import Record
from components.study.steps import examine, scratch_folder, track, train, write_params
from components.tokens import Tokens, TokenSplit
from components.tracking import Tracker


def train_and_examine(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Train the small model on an arm's tokens and write its record. The record of a run that diverges has no loss.

    Raises:
        StepError: the tokens are broken, or a step failed; the step has printed why.
    """
    settings = params_of(inputs["seed"], inputs["horizon"], params)
    with scratch_folder(settings, inputs) as scratch:
        record = make(inputs, settings, scratch, outputs.get("checkpoint"))
    record.write(outputs["output"])
    track(record.curve, settings.training.batch_tokens, tracker)
    return figures(record)


def params_of(seed: int, horizon: float, params: Params) -> Params:
    """The parameters of one training run: the small model's, for `horizon` times the ablation's tokens."""
    threads = {"threads": params.ablation.threads}
    return params.model_copy(
        update={
            "seed": seed,
            "small": params.small.model_copy(update={"tokens": round(params.ablation.tokens * horizon)}),
            "training": params.training.model_copy(update=threads),
            "benchmarking": params.benchmarking.model_copy(update=threads),
        }
    )


def make(inputs: Paths, params: Params, scratch: Path, model: Path | None) -> Record:
    """Train and examine a model; returns the record. The model stays at `model` if that is given."""
    file, model = write_params(params, scratch), model or scratch / "model"
    record: dict[str, Any] = {
        "arm": inputs["arm"],
        "seed": params.seed,
        "horizon": inputs["horizon"],
        "learning_rate": params.small.learning_rate,
        "documents": Tokens.open(inputs["tokens"]).manifest.splits["train"]["distinct_documents"],
    }
    summary = train(["--model", "small", "--tokens", str(inputs["tokens"])], model, scratch, file)
    if summary is None:
        return Record.diverged(tokens=params.small.tokens, **record)
    examine(model, inputs["exam"], scratch, file)
    return Record(
        **record,
        parameters=summary["parameters"],
        tokens=summary["tokens"],
        flops=summary["flops"],
        loss=loss_of_documents(summary["by_kind"]),
        whole_loss=summary["validation_loss"],
        losses={kind: row["validation_loss"] for kind, row in summary["by_kind"].items()},
        curve=summary["curve"],
        read=tokens_read(checkpoint.read_lineage(model), Tokens.open(inputs["tokens"]).split("train")),
        exam=exam_of(json.loads((scratch / "scores" / "scores.json").read_text(encoding="utf-8"))),
    )


def loss_of_documents(by_kind: Mapping[str, Mapping[str, float]]) -> float:
    """Nats per token over held-out curated documents and textbooks, without exercises: those have the exam's form, which
    an arm without exercises has never seen."""
    rows = [row for kind, row in by_kind.items() if kind != EXERCISE] or list(by_kind.values())
    return sum(row["tokens"] * row["validation_loss"] for row in rows) / sum(row["tokens"] for row in rows)


def tokens_read(lineage: Mapping[str, Any], stream: TokenSplit) -> dict[str, dict[str, int]]:
    """Per kind: the number of `tokens` that the training run has read, and of `distinct` tokens in its stream."""
    documents = stream.documents.group_by(["id", "kind"]).aggregate([("length", "max")])
    sizes = documents.group_by("kind").aggregate([("length_max", "sum")])
    distinct = dict(zip(sizes["kind"].to_pylist(), sizes["length_max_sum"].to_pylist(), strict=True))
    return {
        kind: {"tokens": tokens, "distinct": int(distinct[kind])}
        for kind, tokens in lineage["tokens_read_by_kind"].items()
    }


def exam_of(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy, chance and majority of the exam, overall and by category, and accuracy by family (`tasks`)."""

    def three(metrics: Mapping[str, Any]) -> dict[str, float]:
        names = {"accuracy": "acc", "chance": "chance", "majority": "majority"}
        return {name: metrics[metric]["value"] for name, metric in names.items()}

    categories = {name: three(metrics) for name, metrics in scores["categories"].items()}
    tasks = {name: metrics["acc"]["value"] for name, metrics in scores["tasks"].items()}
    whole = {"examples": scores["overall"]["acc"]["n"], "categories": categories, "tasks": tasks}
    return three(scores["overall"]) | whole


def figures(record: Record) -> dict[str, Any]:
    """The record's metrics, flat."""
    metrics: dict[str, Any] = {"tokens": record.tokens, "flops": record.flops}
    if record.loss is not None:
        metrics |= {"loss": record.loss, "final_validation_loss": record.whole_loss}
    if record.exam:
        metrics["exam_accuracy"] = record.exam["accuracy"]
    return metrics
