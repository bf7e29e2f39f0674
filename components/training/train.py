"""Train a Phi: check what was given, run Lightning's loop, write checkpoint, curve and summary."""

import logging
import math
import signal
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from components.cli import Paths
from components.errors import StepError
from components.files import sha256_file
from components.params import ModelParams, Params, TrainingParams
from components.phi import checkpoint, machine
from components.phi.model import Phi, PhiConfig
from components.tokens import Tokens
from components.tracking import Tracker, weights_sha256
from components.training.callbacks import Curve, Watch
from components.training.data import BatchLoader, HeldOut
from components.training.module import PhiTraining


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Train the model of a section and write its checkpoint and, if asked, its curve.

    Equal inputs, parameters and threads give equal bytes on one machine.

    Returns:
        parameters, tokens, steps, epochs, FLOPs, losses in nats a token, bits a byte, hash of the weights.

    Raises:
        StepError: tokens, parameters and initial checkpoint do not fit together, or the loss became NaN.
    """
    section: ModelParams = getattr(params, inputs["model"])
    settings, tokens = params.training, Tokens.open(inputs["tokens"])
    machine.prepare(settings.threads)
    steps = steps_of(section, settings, inputs["model"])
    loader = open_loader(tokens, settings, steps, params.seed)
    held_out = HeldOut.choose(
        tokens.split("validation"), settings.context_length, settings.validation_tokens, settings.micro_batch_tokens
    )
    initial = inputs.get("initial")
    model = starting_model(section, settings, tokens, params.seed, initial)
    curve = Curve(held_out, tracker, settings.batch_tokens, model.config.flops_per_token())
    fit(model, section, settings, tokens, steps, loader, [curve, Watch(tracker, settings.batch_tokens)])
    lineage = lineage_of(inputs["model"], section, params, tokens, steps, model.config, initial)
    checkpoint.save(model, outputs["output"], tokens.tokenizer_dir, lineage)
    if outputs.get("curves"):
        curve.write(outputs["curves"])
    summary = summarize(model, settings, steps, loader, held_out, curve)
    summary["checkpoint_sha256"] = weights_sha256(outputs["output"])
    tracker.model(outputs["output"], "model", summary)
    return summary


def steps_of(section: ModelParams, settings: TrainingParams, name: str) -> int:
    """Optimizer steps: as many whole batches as reach the section's tokens.

    Raises:
        StepError: the budget is less than one batch.
    """
    if section.tokens < settings.batch_tokens:
        raise StepError(
            f"{name}.tokens is {section.tokens:,}, less than one batch of training.batch_tokens {settings.batch_tokens:,}; "
            "raise the one or lower the other"
        )
    return math.ceil(section.tokens / settings.batch_tokens)


def open_loader(tokens: Tokens, settings: TrainingParams, steps: int, seed: int) -> BatchLoader:
    """The run's micro-batches.

    Raises:
        StepError: the training split has fewer tokens than one batch.
    """
    split = tokens.split("train")
    if len(split) < settings.batch_tokens + 1:
        raise StepError(
            f"{tokens.directory} has {len(split):,} training tokens, fewer than one batch of training.batch_tokens "
            f"{settings.batch_tokens:,} needs; give more text or lower batch_tokens"
        )
    micro_batches = steps * (settings.batch_tokens // settings.micro_batch_tokens)
    sequences = settings.micro_batch_tokens // settings.context_length
    return BatchLoader(split, settings.context_length, sequences, micro_batches, seed)


def starting_model(
    section: ModelParams, settings: TrainingParams, tokens: Tokens, seed: int, initial: Path | None
) -> Phi:
    """A model of the section's shape with random weights, or with those of a checkpoint.

    Raises:
        StepError: the checkpoint has another shape or another tokenizer than the tokens.
    """
    dtype, vocabulary = machine.activation_dtype(settings.precision), tokens.manifest.vocab_size
    wanted = PhiConfig.from_shape(section.model, vocabulary, settings.context_length, tokens.manifest.eos_token_id)
    if initial is None:
        return Phi(wanted, dtype).initialize(seed)
    found = checkpoint.read_config(initial)
    if found.vocab_size < vocabulary:
        raise StepError(
            f"--initial {initial} has a vocabulary of {found.vocab_size:,}, the tokens one of {vocabulary:,}; "
            "tokenize with the tokenizer of the checkpoint"
        )
    free = {"vocab_size", "initializer_range"}  # a padded vocabulary is fine, and nothing is drawn
    differing = [
        f"{key} {value} (expected {getattr(wanted, key)})"
        for key, value in asdict(found).items()
        if key not in free and value != getattr(wanted, key)
    ]
    if differing:
        raise StepError(f"--initial {initial} is another model than this section's: {', '.join(differing)}")
    check_tokenizer(initial, tokens)
    return checkpoint.load(initial, dtype)


def check_tokenizer(initial: Path, tokens: Tokens) -> None:
    """Refuse to go on with ids that mean other text than they did.

    Raises:
        StepError: the checkpoint's tokenizer assigns other ids than the one that made the tokens.
    """
    theirs, ours = initial / "tokenizer.json", tokens.tokenizer_dir / "tokenizer.json"
    if not theirs.is_file() or sha256_file(theirs) == sha256_file(ours):
        return
    vocabularies = [checkpoint.load_tokenizer(path.parent).get_vocab() for path in (theirs, ours)]
    if vocabularies[0] != vocabularies[1]:
        raise StepError(
            f"--initial {initial} has another tokenizer than {tokens.directory}: its token ids mean other text; "
            "tokenize with the tokenizer of the checkpoint"
        )


def fit(
    model: Phi,
    section: ModelParams,
    settings: TrainingParams,
    tokens: Tokens,
    steps: int,
    loader: BatchLoader,
    callbacks: list[Any],
) -> None:
    """Run Lightning's Trainer over the loader, quietly: what is said and kept is this step's own affair."""
    split = tokens.split("train")
    module = PhiTraining(model, settings, section.learning_rate, steps, lambda start: split.locate(start)["source"])
    trainer = quiet_trainer(
        max_epochs=1,
        accumulate_grad_batches=settings.batch_tokens // settings.micro_batch_tokens,
        callbacks=callbacks,
    )
    model.train()
    try:
        trainer.fit(module, train_dataloaders=loader)
    except SIGTERMException:
        sys.exit(128 + signal.SIGTERM)  # Lightning's own exception would exit with 0
    if trainer.global_step != steps:
        raise RuntimeError(f"training ended after {trainer.global_step} of {steps} steps")
    model.to("cpu").eval()


def quiet_trainer(**arguments: Any) -> Trainer:
    """A Trainer that prints, logs and saves nothing by itself, on the GPU if there is one."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    return Trainer(
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=1,
        precision="32-true",  # of the weights; the model casts its activations itself
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **arguments,
    )


def summarize(
    model: Phi, settings: TrainingParams, steps: int, loader: BatchLoader, held_out: HeldOut, curve: Curve
) -> dict[str, Any]:
    """The run in figures that do not depend on how fast it was."""
    last = curve.rows[-1]
    nats = last["validation_loss"]
    return {
        "parameters": model.parameter_count(),
        "tokens": steps * settings.batch_tokens,
        "steps": steps,
        "epochs": round(loader.epochs, 4),
        "flops": last["flops"],
        "loss": last["loss"],
        "first_validation_loss": curve.rows[0]["validation_loss"],
        "validation_loss": nats,
        "validation_tokens": held_out.tokens,
        "bits_per_byte": nats * held_out.tokens / math.log(2) / held_out.bytes,
        "activations": str(model.dtype).removeprefix("torch."),
    }


def lineage_of(
    name: str,
    section: ModelParams,
    params: Params,
    tokens: Tokens,
    steps: int,
    config: PhiConfig,
    initial: Path | None,
) -> dict[str, Any]:
    """What the checkpoint came from: data, settings, seed, and the lineage of its start."""
    trained = steps * params.training.batch_tokens
    return {
        "step": "training",
        "model": name,
        "seed": params.seed,
        "steps": steps,
        "training_tokens": trained,
        "flops": trained * config.flops_per_token(),
        "tokens_fingerprint": tokens.manifest.fingerprint,
        "tokenizer_sha256": tokens.manifest.tokenizer_sha256,
        "by_kind": tokens.manifest.splits["train"]["by_kind"],
        "params": {name: section.model_dump(mode="json"), "training": params.training.model_dump(mode="json")},
        "torch": torch.__version__,
        "initial": None
        if initial is None
        else {"weights_sha256": weights_sha256(initial), "lineage": checkpoint.read_lineage(initial)},
    }
