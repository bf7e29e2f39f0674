"""The start of a training run: random weights, or a checkpoint that fits the tokens."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from components.errors import StepError
from components.files import sha256_file
from components.params import ModelParams, Params, TrainingParams
from components.phi import checkpoint, machine
from components.phi.memory import check_room
from components.phi.model import Phi, PhiConfig
from components.phi.weights import OPTIMIZER
from components.tokens import Tokens
from components.training.carried import read_carried
from components.training.data import BatchLoader
from components.training.distillation import read_teacher
from components.training.optimizers import PhiOptimizer


@dataclass(frozen=True)
class Start:
    """The start of a training run.

    Attributes:
        model: random or loaded.
        initial: the checkpoint that it was loaded from.
        carried: which of its entries growth copied, if they are trained separately.
        optimizer: the checkpoint's optimizer state, if it is used.
        teacher, taught_by: a model to distil from, and its checkpoint.
    """

    model: Phi
    initial: Path | None = None
    carried: dict[str, torch.Tensor] | None = None
    optimizer: dict[str, torch.Tensor] | None = None
    teacher: Phi | None = None
    taught_by: Path | None = None


@dataclass(frozen=True)
class Training:
    """One training run.

    Attributes:
        name: of the model's section, `small` or `large`.
        params: all parameters.
        tokens: what is trained on.
        steps: of the optimizer.
        loader: the batches.
        start: what the run starts from.
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


def open_start(
    section: ModelParams,
    settings: TrainingParams,
    tokens: Tokens,
    seed: int,
    initial: Path | None,
    teacher: Path | None,
) -> Start:
    """Read everything that a training run of this section starts from.

    Raises:
        StepError: something is missing, or doesn't fit the tokens or the section.
    """
    model = starting_model(section, settings, tokens, seed, initial)
    return Start(
        model,
        initial,
        carried=None if initial is None else read_carried(initial, model, settings),
        optimizer=read_optimizer(initial, settings, model),
        teacher=read_teacher(teacher, model, settings),
        taught_by=teacher,
    )


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
        check_room(wanted, "params.yaml")
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
        raise StepError(
            f"--initial {initial} is another model than this section's: {', '.join(differing)}; name another checkpoint, or correct the section"
        )
    check_tokenizer(initial, tokens)
    return checkpoint.load(initial, dtype)


def sequences_read(initial: Path | None, tokens: Tokens, length: int, seed: int) -> int:
    """Sequences that a checkpoint and its ancestors were trained on in the order of this run, which goes on after them.

    An ancestor with other tokens or another seed had another order, so what it read is not known to come first: the count
    ends there.
    """
    lineage, count = {} if initial is None else checkpoint.read_lineage(initial), 0
    while lineage:
        if lineage.get("tokens_fingerprint") not in (None, tokens.manifest.fingerprint):
            break
        if lineage.get("step") == "training":
            if lineage["seed"] != seed:
                break
            count += lineage["training_tokens"] // length
        lineage = (lineage.get("initial") or {}).get("lineage") or {}
    return count


def check_tokenizer(initial: Path, tokens: Tokens) -> None:
    """Refuse a checkpoint whose token ids mean other text.

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


def read_optimizer(initial: Path | None, settings: TrainingParams, model: Phi) -> dict[str, torch.Tensor] | None:
    """The optimizer's state of a start, if it has one and `keep_optimizer` asks for it.

    Raises:
        StepError: it cannot be read, or belongs to another model or optimizer.
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
