"""One training run of the growth study: the commands that make it, and its record."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.params import Params
from components.phi import checkpoint
from components.phi.model import PhiConfig
from components.running.cli import Paths
from components.study.growth.arms import ARMS, EQUAL_COST, SCRATCH, Arm
from components.study.growth.record import Record, read_record
from components.study.steps import examine, run_step, scratch_folder, track, train, write_params
from components.tracking import Tracker

GROWTH = ("max_relative_logit_difference", "kl", "loss_delta")
CAPACITY = ("share", "damage", "damage_stderr")


def train_and_examine(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Train the model of an arm and write its record.

    A run that diverges is a result too: its record has no loss. If the best trial is this very run, its record is copied,
    since the same command gives the same bytes.

    Raises:
        StepError: the arguments don't fit together, or a step failed; the step has printed why.
    """
    arm, seed, horizon = ARMS[inputs["arm"]], inputs["seed"], inputs["horizon"]
    if (inputs["rate"] is None) == (inputs["best"] is None):
        raise StepError("give either --rate, for a trial, or --best, for the learning rate of the best trial")
    rate = inputs["rate"]
    if rate is None:
        best = read_record(inputs["best"])
        if best.arm != arm.name:
            raise StepError(f"{inputs['best']} is a trial of arm {best.arm!r}; give the best trial of {arm.name!r}")
        if (best.seed, best.horizon) == (seed, horizon):
            best.write(outputs["output"])
            print(f"same run as the trial at {best.learning_rate:g}; its record is copied", flush=True)
            return figures(best)
        rate = best.rate
    small = source_of(inputs["small"], seed)
    budget = tokens_of(arm, horizon, params, inputs["small"], small)
    settings = params_of(arm, seed, rate, budget, params)
    with scratch_folder(settings, inputs) as scratch:
        run = Run(arm, rate, horizon, small["flops"] if arm.uses_small else 0)
        record = make(run, settings, inputs, scratch, outputs.get("checkpoint"))
    record.write(outputs["output"])
    track(record.curve, settings.training.batch_tokens, tracker)
    return figures(record)


def source_of(small: Path, seed: int) -> dict[str, Any]:
    """The lineage of the small model.

    Raises:
        StepError: it was trained with another seed, or isn't ours.
    """
    lineage = checkpoint.read_lineage(small)
    if not all(isinstance(lineage.get(key), int | float) for key in ("flops", "training_tokens")):
        raise StepError(f"{small} has no lineage.json with the cost of its training; train it with components.training")
    if lineage.get("seed") != seed:
        raise StepError(
            f"{small} was trained with seed {lineage.get('seed')}; expected seed {seed}; give the model of that seed"
        )
    return lineage


def tokens_of(arm: Arm, horizon: float | str, params: Params, path: Path, small: dict[str, Any]) -> int:
    """The number of training tokens of an arm.

    Raises:
        StepError: EQUAL_COST isn't defined for this arm.
    """
    if horizon != EQUAL_COST:
        return round(params.large.tokens * float(horizon))
    source = checkpoint.read_config(path)
    large = PhiConfig.from_shape(params.large.model, source.vocab_size, source.max_position_embeddings)
    whole, flops_small, flops_large = params.large.tokens, source.flops_per_token(), large.flops_per_token()
    if arm.name == SCRATCH:
        return whole + round(small["flops"] / flops_large)
    if arm.continued:
        return round(whole * flops_large / flops_small)
    raise StepError(f"--horizon {EQUAL_COST} is for scratch and continued; {arm.name} takes a share of large.tokens")


def params_of(arm: Arm, seed: int, rate: float, tokens: int, params: Params) -> Params:
    """The parameters of one training run."""
    section = getattr(params, arm.section)
    base = params.transfer.learning_rate if arm.starts_trained else section.learning_rate
    if arm.continued:  # all of its weights come from the small model, as the copied ones of a grown model do
        base *= params.training.carried_lr_ratio
    section = section.model_copy(update={"tokens": tokens, "learning_rate": base * rate})
    taught = {"distillation_weight": params.study.distillation_weight if arm.taught else 0.0}
    threads = {"threads": params.study.threads}
    return params.model_copy(
        update={
            "seed": seed,
            arm.section: section,
            "training": params.training.model_copy(update=threads | taught),
            "transfer": params.transfer.model_copy(update=threads),
            "benchmarking": params.benchmarking.model_copy(update=threads),
        }
    )


@dataclass(frozen=True)
class Run:
    """A training run to make: its arm, learning rate and horizon, and the FLOPs that the small model had cost before."""

    arm: Arm
    rate: float
    horizon: float | str
    source_flops: int


def make(run: Run, params: Params, inputs: Paths, scratch: Path, model: Path | None) -> Record:
    """Grow, train and examine a model; returns the record. The model stays at `model` if that is given."""
    arm, model = run.arm, model or scratch / "model"
    file, data = write_params(params, scratch), ["--tokens", str(inputs["tokens"])]
    growth, start = None, ["--initial", str(inputs["small"])] if arm.continued else []
    if arm.operator:
        grown = scratch / "grown"
        words = ["--source", str(inputs["small"]), "--target", arm.section, "--operator", arm.operator]
        run_step("transfer", [*words, *data, "--output", str(grown)], file)
        proof = json.loads((grown / "transfer.json").read_text(encoding="utf-8"))
        growth, start = {name: proof[name] for name in GROWTH if name in proof}, ["--initial", str(grown)]
    start += ["--teacher", str(inputs["small"])] if arm.taught else []
    section = getattr(params, arm.section)
    record: dict[str, Any] = {
        "arm": arm.name,
        "seed": params.seed,
        "rate": run.rate,
        "horizon": run.horizon,
        "learning_rate": section.learning_rate,
        "source_flops": run.source_flops,
        "growth": growth,
    }
    summary = train(["--model", arm.section, *data, *start], model, scratch, file)
    if summary is None:
        return Record.diverged(tokens=section.tokens, **record)
    kept = {name: summary[name] for name in ("parameters", "tokens", "flops", "validation_loss", "bits_per_byte")}
    carried = summary.get("growth")
    capacity = carried and {"gain": carried["gain"]} | {name: carried["new"][name] for name in CAPACITY}
    examine(model, inputs["exam"], scratch, file)
    exam = json.loads((scratch / "exam.json").read_text(encoding="utf-8"))["exam"]
    exam = {name: exam[name] for name in ("accuracy", "stderr", "chance", "majority", "examples", "tasks")}
    return Record(**record | kept, curve=summary["curve"], exam=exam, capacity=capacity)


def figures(record: Record) -> dict[str, Any]:
    """The record's metrics, flat."""
    metrics: dict[str, Any] = {"learning_rate": record.learning_rate, "tokens": record.tokens, "flops": record.flops}
    if record.validation_loss is not None:
        metrics["final_validation_loss"] = record.validation_loss
    if record.exam:
        metrics["exam_accuracy"] = record.exam["accuracy"]
    return metrics
