"""What is written down of a training: its summary, and the lineage of its checkpoint."""

from pathlib import Path
from typing import Any

import torch

from components.params import ModelParams, Params, TrainingParams
from components.phi import checkpoint
from components.phi.model import Phi
from components.tokens import Tokens
from components.tracking import weights_sha256
from components.training.callbacks import Curve
from components.training.cost import Cost
from components.training.data import BatchLoader
from components.training.start import Start


def summarize(model: Phi, settings: TrainingParams, steps: int, loader: BatchLoader, curve: Curve) -> dict[str, Any]:
    """The run in figures that do not depend on how fast it was."""
    last = curve.rows[-1]
    return {
        "parameters": model.config.parameter_count(),
        "tokens": steps * settings.batch_tokens,
        "steps": steps,
        "epochs": round(loader.epochs, 4),
        "flops": last["flops"],
        "loss": last["loss"],
        "first_validation_loss": curve.rows[0]["validation_loss"],
        "validation_loss": last["validation_loss"],
        "validation_loss_stderr": curve.last.stderr,
        "validation_tokens": int(curve.held_out.tokens.sum()),
        "bits_per_byte": last["bits_per_byte"],
        "by_kind": curve.last.by_kind(),
        "activations": str(model.dtype).removeprefix("torch."),
    }


def lineage_of(
    name: str,
    section: ModelParams,
    params: Params,
    tokens: Tokens,
    steps: int,
    loader: BatchLoader,
    cost: Cost,
    start: Start,
) -> dict[str, Any]:
    """What the checkpoint came from: data, settings, seed, and the lineage of its start and of its teacher."""
    return {
        "step": "training",
        "model": name,
        "seed": params.seed,
        "steps": steps,
        "training_tokens": cost.tokens(steps),
        "flops": cost.flops(steps),
        "tokens_fingerprint": tokens.manifest.fingerprint,
        "tokenizer_sha256": tokens.manifest.tokenizer_sha256,
        "by_kind": tokens.manifest.splits["train"]["by_kind"],
        "tokens_read_by_kind": loader.tokens_by_kind(),
        "params": {name: section.model_dump(mode="json"), "training": params.training.model_dump(mode="json")},
        "torch": torch.__version__,
        "initial": _origin(start.initial),
        "teacher": _origin(start.taught_by),
    }


def _origin(directory: Path | None) -> dict[str, Any] | None:
    """A checkpoint that this one came from: its weights and its own lineage."""
    if directory is None:
        return None
    return {"weights_sha256": weights_sha256(directory), "lineage": checkpoint.read_lineage(directory)}
