"""The start of a training run: random weights, or a checkpoint that fits the tokens."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from components.errors import StepError
from components.files import sha256_file
from components.order import sequences_before
from components.params import ModelParams, Params, TrainingParams
from components.phi import checkpoint, machine
from components.phi.memory import check_room
from components.phi.model import Phi, PhiConfig
from components.phi.new_entries import NewEntries
from components.phi.weights import OPTIMIZER
from components.running.cli import Paths
from components.tokens import Tokens
from components.training.carried import carried_apart, read_new_entries
from components.training.data import BatchLoader
from components.training.distillation import read_teacher
from components.training.optimizers import PhiOptimizer


@dataclass(frozen=True)
class Start:
    """The start of a training run.

    Attributes:
        model: the model, with random or loaded weights.
        initial: the checkpoint that the weights were loaded from.
        added: the entries that growth added to `initial`.
        carried: the entries that growth copied, if they are trained separately (`carried.py`).
        optimizer: the checkpoint's optimizer state, if it is used.
        teacher: a model to distil from at the beginning of the run (`distillation.py`).
        taught_by: the teacher's checkpoint.
    """

    model: Phi
    initial: Path | None = None
    added: NewEntries | None = None
    carried: dict[str, torch.Tensor] | None = None
    optimizer: dict[str, torch.Tensor] | None = None
    teacher: Phi | None = None
    taught_by: Path | None = None


@dataclass(frozen=True)
class Training:
    """One training run.

    Attributes:
        name: the model's section, `small` or `large`.
        params: all parameters.
        tokens: the training and validation tokens.
        steps: number of optimizer steps.
        loader: the micro-batches.
        start: the model and what is loaded with it.
    """

    name: str
    params: Params
    tokens: Tokens
    steps: int
    loader: BatchLoader
    start: Start

    @property
    def section(self) -> ModelParams:
        return getattr(self.params, self.name)

    @property
    def settings(self) -> TrainingParams:
        return self.params.training


def open_start(inputs: Paths, params: Params, tokens: Tokens) -> Start:
    """Read everything that a training run starts from: the inputs `model`, `initial` and `teacher` of the step.

    Raises:
        StepError: a file is missing, or doesn't fit the tokens or the section.
    """
    initial, teacher, settings = inputs.get("initial"), inputs.get("teacher"), params.training
    model = starting_model(getattr(params, inputs["model"]), settings, tokens, params.seed, initial)
    added = None if initial is None else read_new_entries(initial, model, settings)
    return Start(
        model,
        initial,
        added,
        carried_apart(added, settings),
        optimizer=read_optimizer(initial, settings, model),
        teacher=read_teacher(teacher, model, settings),
        taught_by=teacher,
    )


def starting_model(
    section: ModelParams, settings: TrainingParams, tokens: Tokens, seed: int, initial: Path | None
) -> Phi:
    """A model of the section's shape, with random weights or those of a checkpoint.

    Raises:
        StepError: the checkpoint has a different shape from the section, or a different tokenizer from the tokens.
    """
    dtype, vocabulary = machine.activation_dtype(settings.precision), tokens.manifest.vocab_size
    expected = PhiConfig.from_shape(section.model, vocabulary, settings.context_length, tokens.manifest.eos_token_id)
    if initial is None:
        check_room(expected, "params.yaml")
        return Phi(expected, dtype).initialize(seed)
    config = checkpoint.read_config(initial)
    if config.vocab_size < vocabulary:
        raise StepError(
            f"--initial {initial} has a vocabulary of {config.vocab_size:,}, the tokens have one of {vocabulary:,}; "
            "tokenize with the tokenizer of the checkpoint"
        )
    free = {"vocab_size", "initializer_range"}  # a larger vocabulary is only padded, and no weight is random
    differing = [
        f"{key} {value} (expected {getattr(expected, key)})"
        for key, value in asdict(config).items()
        if key not in free and value != getattr(expected, key)
    ]
    if differing:
        raise StepError(
            f"--initial {initial} has a different shape from this section: {', '.join(differing)}; name another checkpoint, or correct the section"
        )
    check_tokenizer(initial, tokens)
    return checkpoint.load(initial, dtype)


def sequences_read(initial: Path | None, tokens: Tokens, length: int, seed: int) -> int:
    """Sequences that a checkpoint and its ancestors were trained on in the order of this run (`sequences_before`)."""
    lineage = {} if initial is None else checkpoint.read_lineage(initial)
    return sequences_before(lineage, tokens.manifest.fingerprint, length, seed)


def check_tokenizer(initial: Path, tokens: Tokens) -> None:
    """Refuse a checkpoint of another tokenizer.

    Raises:
        StepError: the checkpoint's tokenizer assigns other ids than the one that made the tokens.
    """
    theirs, ours = initial / "tokenizer.json", tokens.tokenizer_dir / "tokenizer.json"
    if not theirs.is_file() or sha256_file(theirs) == sha256_file(ours):
        return
    vocabularies = [checkpoint.load_tokenizer(path.parent).get_vocab() for path in (theirs, ours)]
    if vocabularies[0] != vocabularies[1]:
        raise StepError(
            f"--initial {initial} has another tokenizer than {tokens.directory}, with other token ids; tokenize with the "
            "tokenizer of the checkpoint"
        )


def read_optimizer(initial: Path | None, settings: TrainingParams, model: Phi) -> dict[str, torch.Tensor] | None:
    """The optimizer's state of a checkpoint, if it has one and `keep_optimizer` is set.

    Raises:
        StepError: the state cannot be read, or belongs to another model or optimizer.
    """
    path = None if initial is None else initial / OPTIMIZER
    if path is None or not settings.keep_optimizer or not path.is_file():
        return None
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise StepError(f"{path} cannot be read ({error}); copy the checkpoint again, or remove the file") from error
    if misfit := PhiOptimizer(model, settings, 0.0).misfit(tensors):
        raise StepError(
            f"{path} is not a state of the optimizer {settings.optimizer} for this model: {misfit}; set training.optimizer to "
            "what the checkpoint was trained with, or training.keep_optimizer to false"
        )
    return tensors
