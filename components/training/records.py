"""The records of a training run: its summary, and the lineage of its checkpoint."""

import hashlib
from pathlib import Path
from typing import Any

import torch

from components.phi import checkpoint
from components.results.comparability import Basis, digest
from components.tracking import weights_sha256
from components.training.callbacks import Curve
from components.training.cost import Cost
from components.training.data import HeldOut
from components.training.start import Training


def summarize(run: Training, curve: Curve) -> dict[str, Any]:
    """The metrics of the run, except those that depend on its speed."""
    last = curve.rows[-1]
    return {
        "parameters": run.start.model.config.parameter_count(),
        "tokens": run.steps * run.settings.batch_tokens,
        "steps": run.steps,
        "epochs": round(run.loader.epochs, 4),
        "flops": last["flops"],
        "loss": last["loss"],
        "first_validation_loss": curve.rows[0]["validation_loss"],
        "validation_loss": last["validation_loss"],
        "validation_loss_stderr": curve.last.stderr,
        "validation_tokens": int(curve.held_out.tokens.sum()),
        "bits_per_byte": last["bits_per_byte"],
        "by_kind": curve.last.by_kind(),
        "activations": str(run.start.model.dtype).removeprefix("torch."),
    } | ({"executions": curve.executions} if len(curve.executions) > 1 else {})


def basis_of(run: Training, held_out: HeldOut) -> Basis:
    """What the validation loss is measured on."""
    split, targets = run.tokens.split("validation"), hashlib.sha256()
    for batch in held_out.batches:
        targets.update(batch.targets.numpy().astype("<i8").tobytes())
    measured = sum(len(batch.targets) for batch in held_out.batches)
    return Basis(
        tokenizer=run.tokens.manifest.tokenizer_sha256,
        documents=digest(split.documents["id"].to_pylist()),
        targets=targets.hexdigest(),
        whole=measured == (len(split) - 1) // run.settings.context_length,
    )


def lineage_of(run: Training, cost: Cost) -> dict[str, Any]:
    """The origin of the checkpoint: data, settings, seed, and the lineage of its start and teacher."""
    manifest = run.tokens.manifest
    return {
        "step": "training",
        "model": run.name,
        "seed": run.params.seed,
        "steps": run.steps,
        "training_tokens": cost.tokens(run.steps),
        "flops": cost.flops(run.steps),
        "tokens_fingerprint": manifest.fingerprint,
        "tokenizer_sha256": manifest.tokenizer_sha256,
        "by_kind": manifest.splits["train"]["by_kind"],
        "tokens_read_by_kind": run.loader.tokens_by_kind(),
        "params": {run.name: run.section.model_dump(mode="json"), "training": run.settings.model_dump(mode="json")},
        "torch": torch.__version__,
        "initial": origin_of(run.start.initial) if run.start.initial else None,
        "teacher": origin_of(run.start.taught_by) if run.start.taught_by else None,
    }


def origin_of(directory: Path) -> dict[str, Any]:
    """A checkpoint that another one was made from: the hash of its weights and its own lineage."""
    return {"weights_sha256": weights_sha256(directory), "lineage": checkpoint.read_lineage(directory)}
