"""Train a Phi: check what was given, take up where an interrupted run stood, run Lightning's loop, write checkpoint,
curve and summary."""

import math
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from components.cli import Paths
from components.errors import StepError
from components.files import atomic_directory, sha256_file
from components.params import ModelParams, Params, TrainingParams
from components.phi import checkpoint, machine
from components.phi.model import Phi, PhiConfig
from components.tokens import Tokens
from components.tracking import Tracker, project_home, weights_sha256
from components.training.callbacks import Curve, KeepState, named
from components.training.capacity import check_fits
from components.training.carried import read_carried
from components.training.cost import Cost
from components.training.data import BatchLoader, HeldOut
from components.training.distillation import forward_flops, read_teacher, taught_steps
from components.training.module import PhiTraining
from components.training.resume import Due, State, StateFolder, read_state, run_key
from components.training.trainer import quiet_trainer, rank
from components.training.watch import Watch, matmul_ceiling

OPTIMIZER = Path("state") / "optimizer.safetensors"  # in a checkpoint's directory, where it is kept
STATES = Path(".phiforge") / "training"  # in the project's main folder
FOUND = "PHIFORGE_TRAINING_STATE"  # tells the processes of the other devices which state the first one takes up


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Train the model of a section and write its checkpoint and, if asked, its curve.

    Equal inputs, parameters and threads give equal bytes on one machine, however often the run was interrupted. With
    several devices this runs once in each one's process; all but the first exit when the model is trained.

    Returns:
        parameters, tokens, steps, epochs, FLOPs, losses in nats a token, bits a byte, the same by kind of document,
        hash of the weights.

    Raises:
        StepError: tokens, parameters and initial checkpoint do not fit together, or the loss became NaN.
    """
    section: ModelParams = getattr(params, inputs["model"])
    settings, tokens = params.training, Tokens.open(inputs["tokens"])
    machine.prepare(settings.threads)
    steps = steps_of(section, settings, inputs["model"])
    loader = open_loader(tokens, settings, steps, params.seed)
    held_out = HeldOut.choose(
        tokens.split("validation"),
        settings.context_length,
        settings.validation_tokens,
        settings.micro_batch_tokens,
        settings.document_mask,
    )
    initial = inputs.get("initial")
    model = starting_model(section, settings, tokens, params.seed, initial)
    print(f"memory a device, estimated: {check_fits(model, settings)}", flush=True)
    apart = settings.carried_freeze_fraction or settings.carried_warmup_fraction
    carried = read_carried(initial, model) if initial is not None and apart else None
    taught_by = inputs.get("teacher") if settings.distillation_weight else None
    teacher = read_teacher(taught_by, model, settings)
    start = read_optimizer(initial, settings)
    cost = Cost(
        settings.batch_tokens, model.config.flops_per_token(), forward_flops(teacher), taught_steps(steps, settings)
    )
    curve = Curve(held_out, tracker, cost)
    base = outputs.get("state") or project_home() / STATES
    with resumable(base, run_key(facts_of(section, params, tokens, model, initial, taught_by))) as (folder, found):
        model, optimizer = fit(
            model, section, settings, tokens, steps, loader, curve, tracker, folder, found, carried, teacher, start
        )
        if rank():
            sys.exit(0)  # the first device's process does the rest
        lineage = lineage_of(inputs["model"], section, params, tokens, steps, cost, initial, taught_by)
        save(model, optimizer, outputs, tokens, lineage, curve)
    summary = summarize(model, settings, steps, loader, curve)
    summary["checkpoint_sha256"] = weights_sha256(outputs["output"])
    tracker.model(outputs["output"], "model", summary)
    return summary


def save(
    model: Phi,
    optimizer: dict[str, torch.Tensor],
    outputs: Paths,
    tokens: Tokens,
    lineage: dict[str, Any],
    curve: Curve,
) -> None:
    """Write the checkpoint, with the optimizer's state if there is one, and, if asked, the curve.

    Raises:
        StepError: the disk does not take them; the run's last state is kept, and a restart goes on from it.
    """
    try:
        with atomic_directory(outputs["output"]) as folder:
            checkpoint.save(model, folder, tokens.tokenizer_dir, lineage)
            if optimizer:
                (folder / OPTIMIZER).parent.mkdir()
                save_file(optimizer, folder / OPTIMIZER)
        if outputs.get("curves"):
            curve.write(outputs["curves"])
    except OSError as error:
        raise StepError(
            f"the trained model could not be written to {outputs['output']}: {error.strerror or error}; make room and start "
            "the run again: it goes on from its last state"
        ) from error


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
    return BatchLoader(
        split,
        settings.context_length,
        settings.micro_batch_tokens // settings.context_length,
        steps * micro_batches_of(settings),
        seed,
        devices=settings.devices,
        documents=settings.document_mask,
    )


def micro_batches_of(settings: TrainingParams) -> int:
    """Forward passes of each device in an optimizer step."""
    return settings.batch_tokens // (settings.micro_batch_tokens * settings.devices)


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


def read_optimizer(initial: Path | None, settings: TrainingParams) -> dict[str, torch.Tensor] | None:
    """The optimizer's state beside a start, where it has kept one and `keep_optimizer` asks for it.

    Raises:
        StepError: it cannot be read.
    """
    path = None if initial is None else initial / OPTIMIZER
    if path is None or not settings.keep_optimizer or not path.is_file():
        return None
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise StepError(f"{path} cannot be read ({error}); copy the checkpoint again, or remove the file") from error


def facts_of(
    section: ModelParams, params: Params, tokens: Tokens, model: Phi, initial: Path | None, teacher: Path | None
) -> dict[str, Any]:
    """All that the result depends on: runs that agree in it can take up each other's states."""
    free = {"checkpoint_minutes", "checkpoint_steps"}
    return {
        "section": section.model_dump(mode="json"),
        "training": params.training.model_dump(mode="json", exclude=free),
        "seed": params.seed,
        "tokens": tokens.manifest.fingerprint,
        "initial": None if initial is None else weights_sha256(initial),
        "teacher": None if teacher is None else weights_sha256(teacher),
        "model": asdict(model.config),
        "activations": str(model.dtype),
        "device": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else torch.backends.cpu.get_cpu_capability(),
    }


@contextmanager
def resumable(base: Path, key: str) -> Iterator[tuple[StateFolder | None, State | None]]:
    """The folder for a run's states and the last one in it. The states go when the block ends well.

    In the processes of further devices: no folder, and the state that the first process has found.
    """
    if rank():
        path = os.environ.get(FOUND)
        yield None, read_state(Path(path)) if path else None
        return
    folder = StateFolder(base, key)
    try:
        found = folder.latest()
        if found is not None:
            os.environ[FOUND] = str(folder.path_of(found.step))
            print(f"going on after step {found.step}, from the state that an interrupted run has left", flush=True)
        yield folder, found
        folder.clear()
    finally:
        os.environ.pop(FOUND, None)
        folder.close()


def fit(
    model: Phi,
    section: ModelParams,
    settings: TrainingParams,
    tokens: Tokens,
    steps: int,
    loader: BatchLoader,
    curve: Curve,
    tracker: Tracker,
    folder: StateFolder | None = None,
    found: State | None = None,
    carried: Mapping[str, torch.Tensor] | None = None,
    teacher: Phi | None = None,
    optimizer: dict[str, torch.Tensor] | None = None,
) -> tuple[Phi, dict[str, torch.Tensor]]:
    """Train `model`, from its start or from the state `found`; returns it trained, with what is kept of the optimizer."""
    split = tokens.split("train")
    first = 0 if found is None else found.step
    if found is not None:
        model.load_state_dict(named(found, "model"))
    loader.first, loader.rank = first * micro_batches_of(settings), rank()
    module = PhiTraining(
        model,
        settings,
        section.learning_rate,
        steps,
        lambda start: split.locate(start)["source"],
        first,
        carried,
        teacher,
    )
    callbacks: list[Any] = [curve]
    if not rank():
        ceiling = settings.devices * matmul_ceiling("cuda" if torch.cuda.is_available() else "cpu", model.dtype)
        callbacks.append(Watch(tracker, curve.cost, ceiling))
    due = Due(settings.checkpoint_minutes, settings.checkpoint_steps)
    callbacks.append(KeepState(curve, folder, found, due, optimizer))
    trainer = quiet_trainer(settings, accumulate_grad_batches=micro_batches_of(settings), callbacks=callbacks)
    model.train()
    model.recompute = settings.recompute
    if settings.compile and not torch.cuda.is_available():
        torch.use_deterministic_algorithms(True)  # else compiled sums over threads change from run to run
    try:
        trainer.fit(module, train_dataloaders=loader)
    except SIGTERMException:
        sys.exit(128 + signal.SIGTERM)  # Lightning's own exception would exit with 0
    if module.step != steps:
        raise RuntimeError(f"training ended after {module.step} of {steps} steps")
    return module.trained()


def summarize(model: Phi, settings: TrainingParams, steps: int, loader: BatchLoader, curve: Curve) -> dict[str, Any]:
    """The run in figures that do not depend on how fast it was."""
    last = curve.rows[-1]
    return {
        "parameters": model.parameter_count(),
        "tokens": steps * settings.batch_tokens,
        "steps": steps,
        "epochs": round(loader.epochs, 4),
        "flops": last["flops"],
        "loss": last["loss"],
        "first_validation_loss": curve.rows[0]["validation_loss"],
        "validation_loss": last["validation_loss"],
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
    cost: Cost,
    initial: Path | None,
    teacher: Path | None,
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
        "params": {name: section.model_dump(mode="json"), "training": params.training.model_dump(mode="json")},
        "torch": torch.__version__,
        "initial": _origin(initial),
        "teacher": _origin(teacher),
    }


def _origin(directory: Path | None) -> dict[str, Any] | None:
    """A checkpoint that this one came from: its weights and its own lineage."""
    if directory is None:
        return None
    return {"weights_sha256": weights_sha256(directory), "lineage": checkpoint.read_lineage(directory)}
