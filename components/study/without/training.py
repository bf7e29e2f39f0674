"""One training run of the study, and its record."""

import json
from pathlib import Path
from typing import Any

from components.params import Params, PromotionParams
from components.running.cli import Paths
from components.study.steps import examine, run_step, scratch_folder, train, write_params
from components.study.without.record import Model, Record
from components.tokens import Tokens
from components.tracking import Tracker


def train_and_examine(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Train the small model, and the larger one from it if without.large is true; write their record.

    Raises:
        StepError: the tokens are broken, or a step failed; the step has printed why.
    """
    settings = params_of(inputs["seed"], params)
    with scratch_folder(settings, inputs) as scratch:
        file, tokens = write_params(settings, scratch), ["--tokens", str(inputs["tokens"])]
        small, grown, large = (scratch / name for name in ("small", "grown", "large"))
        models = {}
        if train(["--model", "small", *tokens], small, scratch, file):
            models["small"] = measure(small, inputs, scratch, file)
        if params.without.large and "small" in models:
            run_step("transfer", ["--source", str(small), "--target", "large", *tokens, "--output", str(grown)], file)
            if train(["--model", "large", *tokens, "--initial", str(grown)], large, scratch, file):
                models["large"] = measure(large, inputs, scratch, file)
    record = Record(inputs["item"], inputs["seed"], models)
    record.write(outputs["output"])
    return {name: {"exam_accuracy": model.exam, "bits_per_byte": model.bits_per_byte} for name, model in models.items()}


def params_of(seed: int, params: Params) -> Params:
    """The parameters of one training run: the pipeline's, with the seed; after growth with the learning rate of that."""
    threads = {"threads": params.without.threads}
    return params.model_copy(
        update={
            "seed": seed,
            "large": params.large.model_copy(update={"learning_rate": params.transfer.learning_rate}),
            "training": params.training.model_copy(update=threads),
            "transfer": params.transfer.model_copy(update=threads),
            "promotion": PromotionParams(),  # held-out text for the loss, whatever promotions are decided on
            "benchmarking": params.benchmarking.model_copy(update=threads),
        }
    )


def measure(checkpoint: Path, inputs: Paths, scratch: Path, params: Path) -> Model:
    """A model's answers to the exam, and its loss on each held-out document."""
    import pyarrow.parquet as pq

    examine(checkpoint, inputs["exam"], scratch, params)
    output = scratch / "held_out.json"
    words = [
        "--checkpoint",
        str(checkpoint),
        "--tokens",
        str(inputs["tokens"]),
        "--kinds",
        "all",
        "--output",
        str(output),
    ]
    run_step("benchmarking.held_out", words, params)
    found = json.loads(output.read_text(encoding="utf-8"))
    index = Tokens.open(inputs["tokens"]).split("validation").documents
    kinds = dict(zip(index["id"].to_pylist(), index["kind"].to_pylist(), strict=True))
    losses: dict[str, list[list[float]]] = {}
    for name, nats, size in zip(found["documents"], found["nats"], found["bytes"], strict=True):
        losses.setdefault(kinds[name], []).append([nats, size])
    rows = pq.read_table(scratch / "scores" / "examples.parquet", columns=["task", "id", "acc"]).to_pylist()
    answers: dict[str, list[float]] = {}
    for row in sorted(rows, key=lambda row: (row["task"], row["id"])):
        answers.setdefault(row["task"], []).append(row["acc"])
    return Model(answers, losses, found["text_sha256"])
