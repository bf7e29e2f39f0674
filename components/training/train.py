"""Trains a Phi: checks the inputs, resumes an interrupted run, runs Lightning's loop, writes checkpoint, curve and
summary."""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.utilities.exceptions import SIGTERMException

from components.errors import StepError
from components.files import atomic_directory, save_tensors, sha256_file
from components.params import ModelParams, Params, TrainingParams
from components.phi import checkpoint, machine
from components.phi.model import Phi
from components.phi.weights import NEW_PARAMETERS, OPTIMIZER
from components.results.comparability import TAG
from components.running.cli import Paths
from components.tokens import Tokens
from components.tracking import Tracker, state_folder, weights_sha256
from components.training.callbacks import Curve, KeepState
from components.training.capacity import check_fits
from components.training.cost import Cost
from components.training.data import BatchLoader, HeldOut
from components.training.distillation import forward_flops, taught_steps
from components.training.module import PhiTraining
from components.training.processes import rank
from components.training.records import basis_of, lineage_of, summarize
from components.training.resume import Due, Group, State, StateFolder, read_state, run_key
from components.training.share import Along, shares
from components.training.start import Start, Training, open_start, sequences_read
from components.training.trainer import interrupt_as_termination, one_tracker, quiet_trainer
from components.training.watch import Watch, matmul_ceiling

EXECUTION = ("devices", "strategy", "micro_batch_tokens", "compile", "threads")
# For the processes of the other devices: the folder of the states, and the state that the first one restores.
FOLDER, RESTORED = "PHIFORGE_TRAINING_STATES", "PHIFORGE_TRAINING_STATE"


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Train the model of a section and write its checkpoint and, if asked, its curve.

    Equal inputs, parameters and threads give equal bytes on one machine, however often the run was interrupted, unless it
    went on with another `execution_of`: then the summary has the `executions`. On a GPU they are equal up to rounding. With
    several devices this runs once in each device's process; all but the first exit when the model is trained.

    Returns:
        parameters, tokens, steps, epochs, FLOPs, losses in nats per token and bits per byte, both also by kind of
        document, and the hash of the weights.

    Raises:
        StepError: tokens, parameters and initial checkpoint do not match, or the loss became NaN.
    """
    if rank():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - only the first device's process prints
    if rank() < torch.cuda.device_count():
        torch.cuda.set_device(rank())  # before anything asks for memory: that would take some on the first device
    section: ModelParams = getattr(params, inputs["model"])
    settings, tokens = params.training, Tokens.open(inputs["tokens"])
    machine.prepare(settings.threads)
    check_compilable(settings)
    steps = steps_of(section, settings, inputs["model"])
    read = sequences_read(inputs.get("initial"), tokens, settings.context_length, params.seed)
    loader = open_loader(tokens, settings, steps, params.seed, read)
    _check_passes(loader.epochs, len(tokens.split("train")), section, settings, inputs)
    if unread := loader.phases_unread:
        last = len(loader.order.borders) - 1
        print(
            f"note: {inputs['model']}.tokens {section.tokens:,} ends before phase {last - unread + 1} of the {last} phases of "
            f"{tokens.directory}, which is not read; raise it, or shorten the phases (tokenization.curriculum)",
            flush=True,
        )
    held_out = open_held_out(tokens, settings)
    start = open_start(inputs, params, tokens)
    needed = check_fits(start.model, settings, start.teacher, start.added is not None)
    print(f"estimated memory per device: {needed}", flush=True)
    along = None if start.added is None else Along(start.added, open_held_out(tokens, settings, Along.every))
    curve = Curve(held_out, tracker, cost_of(start, settings, steps), along)
    base = outputs.get("state") or state_folder() / "training"
    training = Training(inputs["model"], params, tokens, steps, loader, start)
    basis = basis_of(training, held_out)
    tracker.tags(basis.tag())
    with resumable(base, run_key(facts_of(training))) as (folder, saved):
        model, optimizer = fit(training, curve, tracker, folder, saved)
        if rank():
            sys.exit(0)  # the first device's process does the rest
        save(training, model, optimizer, curve, outputs)
    summary = summarize(training, curve) | {TAG: basis.record()}
    if carried := shares(start.initial, model, held_out):
        summary["growth"] = carried | {"along": curve.along_training()}
    summary["checkpoint_sha256"] = weights_sha256(outputs["output"])
    tracker.model(outputs["output"], "model", summary)
    return summary


def save(training: Training, model: Phi, optimizer: dict[str, torch.Tensor], curve: Curve, outputs: Paths) -> None:
    """Write the checkpoint, with the optimizer's state if there is one, and the curve if it has a path.

    Raises:
        StepError: the disk is full or failing; the run's last state is kept, and a restart resumes from it.
    """
    try:
        with atomic_directory(outputs["output"]) as folder:
            checkpoint.save(model, folder, training.tokens.tokenizer_dir, lineage_of(training, curve.cost))
            if optimizer:
                (folder / OPTIMIZER).parent.mkdir()
                save_tensors(optimizer, folder / OPTIMIZER)
        if outputs.get("curves"):
            curve.write(outputs["curves"])
    except OSError as error:
        raise StepError(
            f"the trained model could not be written to {outputs['output']}: {error.strerror or error}; free some "
            "space and run again: training resumes from its last saved state"
        ) from error


def _check_passes(epochs: float, there: int, section: ModelParams, settings: TrainingParams, inputs: Paths) -> None:
    """Refuse a budget that reads the text so often that the model would memorise it."""
    if epochs > settings.max_epochs:
        name, most = inputs["model"], max(settings.batch_tokens, int(there * settings.max_epochs))
        raise StepError(
            f"{name}.tokens: {section.tokens:,} are {epochs:,.0f} passes over the {there:,} training tokens of "
            f"{inputs['tokens']}; expected at most training.max_epochs {settings.max_epochs:g}; add text to ingestion.sources, or "
            f"--set {name}.tokens={most}"
        )


def steps_of(section: ModelParams, settings: TrainingParams, name: str) -> int:
    """The number of optimizer steps: whole batches, at least the section's tokens.

    Raises:
        StepError: the budget is less than one batch.
    """
    if section.tokens < settings.batch_tokens:
        raise StepError(
            f"{name}.tokens is {section.tokens:,}, less than one batch of training.batch_tokens {settings.batch_tokens:,}; "
            f"raise {name}.tokens or lower training.batch_tokens"
        )
    return math.ceil(section.tokens / settings.batch_tokens)


def check_compilable(settings: TrainingParams) -> None:
    """Refuse a path for which torch.compile would fail with pages of compiler output.

    Raises:
        StepError: the path of PyTorch has a space, which PyTorch doesn't quote for the C++ compiler.
    """
    home = str(Path(torch.__file__).parent)
    if settings.compile and not torch.cuda.is_available() and any(character.isspace() for character in home):
        raise StepError(
            f"training.compile is true, but PyTorch is in {home}, and its CPU compiler needs a path without spaces; move "
            "the project to such a path, or set training.compile to false"
        )


def open_loader(tokens: Tokens, settings: TrainingParams, steps: int, seed: int, read: int = 0) -> BatchLoader:
    """The run's micro-batches, after `read` sequences of the order.

    Raises:
        StepError: the training split has fewer tokens than one batch.
    """
    split = tokens.split("train")
    if len(split) < settings.batch_tokens + 1:
        raise StepError(
            f"{tokens.directory} has {len(split):,} training tokens, less than one batch of training.batch_tokens "
            f"{settings.batch_tokens:,} needs; add text to ingestion.sources, or lower training.batch_tokens"
        )
    return BatchLoader(
        split,
        settings.context_length,
        settings.micro_batch_tokens // settings.context_length,
        steps * micro_batches_of(settings),
        seed,
        devices=settings.devices,
        documents=settings.document_mask,
        read=read,
    )


def open_held_out(tokens: Tokens, settings: TrainingParams, every: int = 1) -> HeldOut:
    """The run's held-out sequences, or every `every`-th of them."""
    return HeldOut.choose(
        tokens.split("validation"),
        settings.context_length,
        settings.validation_tokens,
        settings.micro_batch_tokens,
        settings.document_mask,
        every,
    )


def micro_batches_of(settings: TrainingParams) -> int:
    """Forward passes of each device per optimizer step."""
    return settings.batch_tokens // (settings.micro_batch_tokens * settings.devices)


def cost_of(start: Start, settings: TrainingParams, steps: int) -> Cost:
    """Tokens and FLOPs as a function of the step, the teacher's FLOPs included."""
    flops = start.model.config.flops_per_token()
    return Cost(settings.batch_tokens, flops, forward_flops(start.teacher), taught_steps(steps, settings))


def execution_of(settings: TrainingParams) -> dict[str, Any]:
    """What changes a result only by rounding: a run may go on with another one than it began with, and then its summary
    says so."""
    gpu = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if gpu else torch.backends.cpu.get_cpu_capability()
    return {name: getattr(settings, name) for name in EXECUTION} | {"device": device}


def facts_of(training: Training) -> dict[str, Any]:
    """Everything that the result depends on but its `execution_of`: runs with equal facts can resume from each other's
    states."""
    free, start = {"checkpoint_minutes", "checkpoint_steps", "recompute", *EXECUTION}, training.start
    return {
        "section": training.section.model_dump(mode="json"),
        "training": training.settings.model_dump(mode="json", exclude=free),
        "seed": training.params.seed,
        "tokens": training.tokens.manifest.fingerprint,
        "read": training.loader.read,
        "initial": None if start.initial is None else weights_sha256(start.initial),
        "beside_initial": {
            str(name): sha256_file(start.initial / name)
            for name, used in ((OPTIMIZER, start.optimizer), (NEW_PARAMETERS, start.added))
            if start.initial is not None and used is not None
        },
        "teacher": None if start.taught_by is None else weights_sha256(start.taught_by),
        "model": asdict(start.model.config),
        "activations": str(start.model.dtype),
    }


@contextmanager
def resumable(base: Path, key: str) -> Iterator[tuple[StateFolder | None, State | None]]:
    """The folder for a run's states and the last state in it. The states are removed when the block succeeds. In the
    processes of further devices: no folder, and the state that the first process restores.
    """
    if rank():
        path = os.environ.get(RESTORED)
        yield None, read_state(Path(path)) if path else None
        return
    folder = StateFolder(base, key)
    os.environ[FOLDER] = str(folder.directory)
    try:
        saved = folder.latest()
        if saved is not None:
            os.environ[RESTORED] = str(folder.path_of(saved.step))
            print(f"resuming after step {saved.step}, from an interrupted run's state", flush=True)
        yield folder, saved
        folder.clear()
    finally:
        for name in (FOLDER, RESTORED):
            os.environ.pop(name, None)
        folder.close()


def fit(
    training: Training,
    curve: Curve,
    tracker: Tracker,
    folder: StateFolder | None = None,
    saved: State | None = None,
) -> tuple[Phi, dict[str, torch.Tensor]]:
    """Train a model from its start, or from a saved state; returns the trained model and the optimizer's state, which is
    empty unless training.keep_optimizer."""
    split = training.tokens.split("train")
    module = PhiTraining(
        training.start,
        training.settings,
        training.section.learning_rate,
        training.steps,
        describe=lambda position: split.locate(position)["source"],
    )
    run_loop(module, training.loader, curve, tracker, folder, saved)
    return module.trained()


def run_loop(
    module: PhiTraining,
    loader: Any,
    curve: Curve,
    tracker: Tracker,
    folder: StateFolder | None = None,
    saved: State | None = None,
) -> None:
    """Train a module from its start, or from a saved state, until its last step.

    Args:
        loader: the micro-batches, with the attributes `first` and `rank` of `BatchLoader`.
    """
    start, settings, model = module.start, module.settings, module.model
    if saved is not None:
        model.load_state_dict(dict(Group(saved, "model")))
        module.first_step = saved.step
        curve.executions = list(saved.values["executions"])
    curve.begin(execution_of(settings), module.first_step)
    loader.first, loader.rank = module.first_step * micro_batches_of(settings), rank()
    callbacks: list[Any] = [curve]
    if not rank():
        ceiling = settings.devices * matmul_ceiling("cuda" if torch.cuda.is_available() else "cpu", model.dtype)
        callbacks.append(Watch(tracker, curve, ceiling))
    due = Due(settings.checkpoint_minutes, settings.checkpoint_steps)
    directory = Path(os.environ[FOLDER]).absolute() if FOLDER in os.environ else None
    states = KeepState(curve, folder, directory, saved, due, start.optimizer)
    callbacks = [LambdaCallback(on_train_start=states.listen), *callbacks, states]
    trainer = quiet_trainer(settings, accumulate_grad_batches=micro_batches_of(settings), callbacks=callbacks)
    model.train()
    model.recompute = settings.recompute
    with interrupt_as_termination() as stopped_by, one_tracker(settings.devices):
        try:
            trainer.fit(module, train_dataloaders=loader)
        except SIGTERMException:  # raised between two batches, or before a validation is added to the curve
            states.keep(module)
            states.wait()
            if not rank() and folder is not None:
                stopped = f"stopped after step {module.step} of {module.steps}"
                print(f"{stopped}; the same command resumes there", flush=True)
            # Lightning's own exception would exit with 0; if a further process exits with another status, Lightning
            # kills the others.
            sys.exit(0 if rank() else 128 + stopped_by[0])
    states.wait()
    if module.step != module.steps:
        raise RuntimeError(f"training ended after {module.step} of {module.steps} steps")
