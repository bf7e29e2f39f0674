"""The step: fine-tune a checkpoint on rows, and write the tuned checkpoint, its adapter, its curve and the summary."""

import math
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from components.errors import StepError
from components.files import atomic_directory, sha256_file, write_json
from components.foreign.tokenizer_files import copy_tokenizer
from components.params import Params, TrainingParams, TuningParams
from components.phi import checkpoint, machine
from components.phi.model import Phi
from components.phi.template import TEMPLATE
from components.phi.weights import to_state, write_state
from components.running.cli import Paths
from components.running.revision import code_sha256
from components.tokens import Tokens
from components.tracking import Tracker, state_folder, weights_sha256
from components.training.capacity import check_fits
from components.training.cost import Cost
from components.training.data import HeldOut
from components.training.records import origin_of
from components.training.resume import run_key
from components.training.start import Start, check_tokenizer
from components.training.train import execution_of, open_held_out, resumable, run_loop
from components.tuning.adapters import adapter_state, add_adapters, merged_state, save_adapter
from components.tuning.examples import Example, Writer, hold_out, separate
from components.tuning.loop import Answers, TuningCurve, TuningModule
from components.tuning.objectives import DPO, UNLEARNING, WITH_REFERENCE, objective_of, reference_log_probs
from components.tuning.packing import Loader, Packed
from components.tuning.rows import read_rows

ADAPTER = "adapter"  # its folder inside the tuned checkpoint; loaders of weights don't look there
LORA, PLAIN = "lora", "plain"
CODE = ("tuning/**/*.py", "order.py", "params/tuning.py")


@dataclass(frozen=True)
class Data:
    """What a run reads.

    Attributes:
        train: examples to train on.
        held: held-out examples; None if there are none.
        retain: examples to retain when unlearning.
        rows: number of rows in the files.
        dropped: examples longer than a sequence.
    """

    train: Packed
    held: Packed | None
    retain: Packed | None
    rows: int
    dropped: int


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Fine-tune a checkpoint.

    Equal inputs, parameters and threads give equal bytes on one machine, however often the run was interrupted.

    Returns:
        rows, answer tokens, steps, trained parameters, FLOPs, and the losses before and after.

    Raises:
        StepError: the checkpoint, a row or a parameter is refused, or the loss became NaN.
    """
    own, folder = params.tuning, inputs["model"]
    check_inputs(inputs, own)
    machine.prepare(params.training.threads)
    config = checkpoint.read_config(folder)
    length = min(config.max_position_embeddings, params.training.context_length)
    writer = Writer.open(folder, own.template == PLAIN)
    data = read_data(inputs, own, writer, length, params.seed)
    settings = settings_of(params, length, len(data.train.bins), data.train.sides)
    model = checkpoint.load(folder, machine.activation_dtype(settings.precision))
    text = text_of(inputs, folder, settings)
    facts = facts_of(inputs, params, settings, model)
    bins = settings.micro_batch_tokens // length // data.train.sides
    if own.objective in WITH_REFERENCE:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        for packed in (data.train, data.held, data.retain):
            if packed is not None:
                refer(packed, model.to(device), bins, device)
        model.to("cpu")
    base = to_state(model)
    if own.method == LORA:
        add_adapters(model, own, params.seed)
    else:
        print(f"estimated memory: {check_fits(model, settings)}", flush=True)
    answers = None if data.held is None else Answers(batches_of(data.held, bins), own.objective == DPO)
    per_step = settings.batch_tokens // length // data.train.sides
    steps = max(1, math.ceil(len(data.train.bins) * own.epochs / per_step))
    loader = Loader(data.train, bins, per_step // bins, steps, data.retain)
    read = settings.batch_tokens * (1 if data.retain is None else 2)
    curve = TuningCurve(answers, text, tracker, Cost(read, config.flops_per_token()))
    module = TuningModule(
        Start(model, folder),
        settings,
        own.learning_rate,
        steps,
        describe=lambda number: ", ".join(data.train.examples[i].where for i in data.train.bins[number][:3]),
        objective=objective_of(own),
    )
    with resumable(outputs.get("state") or state_folder() / "tuning", run_key(facts)) as (states, saved):
        run_loop(module, loader, curve, tracker, states, saved)
        summary = summarize(module, curve, data, own)
        save(module, base, inputs, outputs["output"], writer, params, summary, facts)
        if outputs.get("curves"):
            curve.write(outputs["curves"])
    if own.merge or own.method != LORA:
        summary["checkpoint_sha256"] = weights_sha256(outputs["output"])
        tracker.model(outputs["output"], "model", summary)
    return summary


def check_inputs(inputs: Paths, own: TuningParams) -> None:
    """Refuse data for another objective.

    Raises:
        StepError: rows to retain are given without an objective that reads them.
    """
    if inputs.get("retain") and own.objective not in UNLEARNING:
        raise StepError(
            f"--retain is given, but tuning.objective is {own.objective}; expected {' or '.join(UNLEARNING)}; leave it out"
        )


def read_data(inputs: Paths, own: TuningParams, writer: Writer, length: int, seed: int) -> Data:
    """Read, render and pack the rows.

    Raises:
        StepError: a row is refused, or none fits into a sequence.
    """
    rows = read_rows(inputs["data"], own.objective == DPO)
    fit, long = _fitting(writer.examples(rows), length, "--data")
    train, held = hold_out(fit, 0.0 if own.objective in UNLEARNING else own.held_out, seed)
    retain = None
    if inputs.get("retain"):
        kept, _ = _fitting(writer.examples(read_rows(inputs["retain"], False)), length, "--retain")
        retain = Packed(kept, length, writer.end, seed)
    return Data(
        Packed(train, length, writer.end, seed),
        Packed(held, length, writer.end, seed) if held else None,
        retain,
        len(rows),
        len(long),
    )


def _fitting(examples: list[Example], length: int, option: str) -> tuple[list[Example], list[Example]]:
    fit, long = separate(examples, length)
    if not fit:
        raise StepError(
            f"{option}: each of the {len(examples):,} rows is longer than {length} tokens, as {examples[0].where}; expected at "
            "most the model's positions and training.context_length; shorten them, or raise it"
        )
    if long:
        where = ", ".join(one.where for one in long[:3])
        print(
            f"note: {len(long):,} of {len(examples):,} rows of {option} are longer than {length} tokens and left out: {where}",
            flush=True,
        )
    return fit, long


def settings_of(params: Params, length: int, bins: int, sides: int) -> TrainingParams:
    """The settings of the training loop: those of `training` for the machine, and fine-tuning's own for the rest."""
    own = params.tuning
    per_step = min(bins, max(1, own.batch_tokens // (length * sides)))
    most = max(1, params.training.micro_batch_tokens // (length * sides))
    micro = max(size for size in range(1, min(most, per_step) + 1) if per_step % size == 0)
    changes = {
        "context_length": length,
        "batch_tokens": per_step * sides * length,
        "micro_batch_tokens": micro * sides * length,
        "document_mask": True,
        "optimizer": "adamw",
        "schedule": "cosine",
        "final_lr_fraction": 0.05,
        "weight_decay": 0.0,
        "z_loss": 0.0,
        "ema_decay": 0.0,
        "distillation_weight": 0.0,
        "carried_freeze_fraction": 0.0,
        "carried_warmup_fraction": 0.0,
        "keep_optimizer": False,
        "compile": False,
        "devices": 1,
    }
    return TrainingParams.model_validate(params.training.model_dump() | changes)


def text_of(inputs: Paths, folder: Path, settings: TrainingParams) -> HeldOut | None:
    """Held-out text of the pre-training, if a tokens directory is given.

    Raises:
        StepError: it has another tokenizer than the checkpoint.
    """
    if not inputs.get("tokens"):
        return None
    tokens = Tokens.open(inputs["tokens"])
    check_tokenizer(folder, tokens)
    plain = settings.model_copy(update={"document_mask": False, "micro_batch_tokens": settings.batch_tokens})
    return open_held_out(tokens, plain)


def facts_of(inputs: Paths, params: Params, settings: TrainingParams, model: Phi) -> dict[str, Any]:
    """Everything that the result depends on."""
    free = {"checkpoint_minutes", "checkpoint_steps", "recompute"}
    folder = inputs["model"]
    given = sorted(
        path for path in folder.iterdir() if path.name in (TEMPLATE, "tokenizer.json", "tokenizer_config.json")
    )
    return {
        "tuning": params.tuning.model_dump(mode="json", exclude={"model", "data", "merge"}),
        "training": settings.model_dump(mode="json", exclude=free),
        "seed": params.seed,
        "model": weights_sha256(folder),
        "tokenizer": {path.name: sha256_file(path) for path in given},
        "data": [sha256_file(path) for path in inputs["data"]],
        "retain": [sha256_file(path) for path in inputs.get("retain") or []],
        "tokens": Tokens.open(inputs["tokens"]).manifest.fingerprint if inputs.get("tokens") else None,
        "execution": execution_of(settings),
        "activations": str(model.dtype),
        "code": code_sha256(CODE),
    }


def batches_of(packed: Packed, bins: int) -> list[Any]:
    """All examples once, in micro-batches of so many bins."""
    return [packed.batch(range(i, min(i + bins, len(packed.bins)))) for i in range(0, len(packed.bins), bins)]


def refer(packed: Packed, model: Phi, bins: int, device: torch.device) -> None:
    """Set the log-probabilities of the examples under the start."""
    batches = [batch.to(device) for batch in batches_of(packed, bins)]
    numbers = [list(chain(*packed.bins[i : i + bins])) for i in range(0, len(packed.bins), bins)]
    packed.references = reference_log_probs(model, batches, numbers, len(packed.examples), packed.sides)


def summarize(module: TuningModule, curve: TuningCurve, data: Data, own: TuningParams) -> dict[str, Any]:
    """The metrics of the run, except those that depend on its speed."""
    first, last = curve.rows[0], curve.rows[-1]
    examples = data.train.examples
    compared = ("held_out_loss", "preferred", "validation_loss", "bits_per_byte")
    return (
        {
            "rows": data.rows,
            "too_long": data.dropped,
            "trained_on": len(examples),
            "held_out": 0 if data.held is None else len(data.held.examples),
            "answer_tokens": int(sum((targets >= 0).sum() for one in examples for targets in one.targets)),
            "fill": round(
                sum(sum(one.lengths) for one in examples)
                / (len(data.train.bins) * data.train.sides * data.train.length),
                4,
            ),
            "steps": module.steps,
            "epochs": own.epochs,
            "tokens": last["tokens"],
            "flops": last["flops"],
            "trained_parameters": sum(p.numel() for p in module.model.parameters() if p.requires_grad),
            "loss": last["loss"],
        }
        | {name: {"before": first[name], "after": last[name]} for name in compared if name in last}
        | ({"executions": curve.executions} if len(curve.executions) > 1 else {})
    )


def save(
    module: TuningModule,
    base: dict[str, torch.Tensor],
    inputs: Paths,
    output: Path,
    writer: Writer,
    params: Params,
    summary: dict[str, Any],
    facts: dict[str, Any],
) -> None:
    """Write the tuned checkpoint with its chat template and, with lora, the adapter in its folder."""
    own, folder, model = params.tuning, inputs["model"], module.model.to("cpu")
    lineage = {
        "step": "tuning",
        "initial": origin_of(folder),
        "seed": params.seed,
        "steps": module.steps,
        "training_tokens": summary["tokens"],
        "flops": summary["flops"],
        "tuning": facts["tuning"],
        "data_sha256": facts["data"],
        "retain_sha256": facts["retain"],
        "rows": summary["rows"],
        "torch": torch.__version__,
    }
    with atomic_directory(output) as made:
        if own.method == LORA:
            adapter = adapter_state(model)
            (made / ADAPTER).mkdir()
            save_adapter(adapter, own, made / ADAPTER)
            state = merged_state(base, adapter, own.alpha / own.rank)
        else:
            state = to_state(model)
        write_checkpoint(made, folder, state, writer.template, lineage, weights=own.merge or own.method != LORA)


def write_checkpoint(
    made: Path,
    source: Path,
    state: dict[str, torch.Tensor],
    template: str,
    lineage: dict[str, Any],
    weights: bool = True,
) -> None:
    """Write a checkpoint's files into a folder: weights in Hugging Face's names, tokenizer, chat template, lineage."""
    config = checkpoint.read_config(source)
    if weights:
        checkpoint.write_config(config, made, torch.float32)
        write_state(config, state, made, torch.float32, None)
    copy_tokenizer(source, made)
    (made / TEMPLATE).write_text(template, encoding="utf-8")
    write_json(made / checkpoint.LINEAGE, lineage)
