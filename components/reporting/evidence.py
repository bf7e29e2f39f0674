"""What the earlier steps measured, read and checked: scores, training summaries, curves, the transfer's proof.

Nothing is repaired. A file that is not what its step writes is refused with its name and the key at fault, since a
figure that silently went missing would look like one that nobody measured.
"""

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from components.errors import StepError

ACCURACIES = ("acc", "accuracy", "exact_match", "pass@1", "acc_norm", "f1")  # the first that a task has is its headline
CURVE_COLUMNS = ("tokens", "flops", "validation_loss")


@dataclass(frozen=True)
class Accuracy:
    """An accuracy in [0, 1] with its standard error, the examples behind it and what guessing would reach.

    `stderr`, `n` and `chance` are None where the scores do not say.
    """

    value: float
    stderr: float | None = None
    n: int | None = None
    chance: float | None = None
    metric: str = "acc"

    @property
    def above_chance(self) -> bool | None:
        """Whether the value lies more than two standard errors above guessing; None if that cannot be told."""
        if self.chance is None or self.stderr is None:
            return None
        return self.value > self.chance + 2 * self.stderr

    def as_json(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "value": self.value,
            "stderr": self.stderr,
            "n": self.n,
            "chance": self.chance,
            "above_chance": self.above_chance,
        }


@dataclass(frozen=True)
class Scores:
    """Accuracies of one model: overall, by task and by category."""

    overall: Accuracy
    tasks: dict[str, Accuracy]
    categories: dict[str, Accuracy]


@dataclass(frozen=True)
class Curve:
    """Validations of one training run in order: tokens seen, training FLOPs spent, validation loss (nats a token)."""

    tokens: tuple[float, ...]
    flops: tuple[float, ...]
    loss: tuple[float, ...]


@dataclass(frozen=True)
class Evidence:
    """All that is known of one model; what was not given is None."""

    name: str
    scores: Scores | None = None
    training: dict[str, Any] | None = None
    curve: Curve | None = None


@dataclass(frozen=True)
class Case:
    """Everything that a report is written from. Models stand in the order in which they were named.

    `lineage` and `config` are those of the checkpoint that is described and registered, `subject` is its model's name.
    """

    models: tuple[Evidence, ...]
    transfer: dict[str, Any] | None = None
    subject: str = "large"
    lineage: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def model(self, name: str) -> Evidence | None:
        return next((m for m in self.models if m.name == name), None)


def read_case(
    scores: list[Path],
    training: list[Path] | None = None,
    curves: list[Path] | None = None,
    transfer: Path | None = None,
    model: Path | None = None,
) -> Case:
    """Read what the arguments of the step name.

    Raises:
        StepError: a file is missing, malformed or names a model twice.
    """
    scores_by = _by_name("--scores", scores, lambda p: p.name)
    training_by = _by_name("--training", training or [], lambda p: p.stem.removeprefix("train_"))
    curves_by = _by_name("--curves", curves or [], lambda p: p.stem)
    names = list(dict.fromkeys([*scores_by, *training_by, *curves_by]))
    models = tuple(
        Evidence(
            name=name,
            scores=read_scores(scores_by[name]) if name in scores_by else None,
            training=read_training(training_by[name]) if name in training_by else None,
            curve=read_curve(curves_by[name]) if name in curves_by else None,
        )
        for name in names
    )
    return Case(
        models=models,
        transfer=read_transfer(transfer) if transfer else None,
        subject=model.name if model and model.name in names else "large",
        lineage=_optional_object(model / "lineage.json") if model else {},
        config=read_object(model / "config.json") if model else {},
    )


def read_scores(directory: Path) -> Scores:
    """Read `scores.json` of a scores directory.

    The overall accuracy is the plain mean over tasks, so that a task with many examples does not outweigh the others;
    its standard error is sqrt(sum of squared standard errors) / number of tasks, which takes tasks as independent.

    Raises:
        StepError: missing, not JSON, no task, or a task without an accuracy in [0, 1].
    """
    path = Path(directory) / "scores.json"
    content = read_object(path)
    tasks = {
        name: _accuracy(path, f"tasks.{name}", entry)
        for name, entry in sorted(_mapping(path, content, "tasks").items())
    }
    if not tasks:
        raise StepError(f"{path}: `tasks` is empty; expected at least one task; run the benchmark again")
    categories = {
        name: _accuracy(path, f"categories.{name}", entry)
        for name, entry in sorted(_mapping(path, content, "categories", {}).items())
    }
    return Scores(overall=mean_accuracy(list(tasks.values())), tasks=tasks, categories=categories)


def mean_accuracy(parts: list[Accuracy]) -> Accuracy:
    """Plain mean of independent accuracies with its standard error; chance is the mean of the chances."""
    count = len(parts)
    errors = [p.stderr for p in parts]
    sizes = [p.n for p in parts]
    chances = [p.chance for p in parts]
    return Accuracy(
        value=math.fsum(p.value for p in parts) / count,
        stderr=None if None in errors else math.sqrt(math.fsum(e * e for e in errors)) / count,
        n=None if None in sizes else sum(sizes),
        chance=None if None in chances else math.fsum(chances) / count,
        metric="mean",
    )


def read_training(path: Path) -> dict[str, Any]:
    """Read a training summary; `validation_loss` must be a number, other figures may be absent.

    Raises:
        StepError: missing, not JSON, or a figure that is no number.
    """
    content = read_object(path)
    number(path, content, "validation_loss")
    for key in ("parameters", "tokens", "steps", "flops", "loss", "bits_per_byte"):
        number(path, content, key, required=False)
    return content


def read_curve(path: Path) -> Curve:
    """Read a curves CSV; rows without a validation loss (training points only) are passed over.

    Raises:
        StepError: a column is missing, a field is no number, tokens do not rise, or no validation is left.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [c for c in CURVE_COLUMNS if c not in (reader.fieldnames or [])]
            if missing:
                raise StepError(
                    f"{path}: column {missing[0]!r} is missing; expected {', '.join(CURVE_COLUMNS)}; "
                    "write the curve with components.training"
                )
            rows = [_curve_row(path, reader.line_num, row) for row in reader if row["validation_loss"]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StepError(f"{path} cannot be read as CSV: {error}") from error
    if not rows:
        raise StepError(f"{path}: no row has a validation_loss; train with training.validations of at least 1")
    for before, after in pairwise(rows):
        if after[0] <= before[0] or after[1] < before[1]:
            raise StepError(
                f"{path}: tokens go from {before[0]:.0f} to {after[0]:.0f} and FLOPs from {before[1]:.4g} to "
                f"{after[1]:.4g}; both must rise from row to row; the file may hold two runs: train again"
            )
    tokens, flops, loss = zip(*rows, strict=True)
    return Curve(tokens=tokens, flops=flops, loss=loss)


def read_transfer(path: Path) -> dict[str, Any]:
    """Read transfer.json; `operator` must be a name, the figures of the proof must be numbers where they are there.

    Raises:
        StepError: missing, not JSON, or a figure that is no number.
    """
    content = read_object(path)
    if not isinstance(content.get("operator"), str):
        raise StepError(f"{path}: `operator` is {content.get('operator')!r}; expected the name of a growth operator")
    for key in ("max_absolute_logit_difference", "max_relative_logit_difference", "kl", "source_loss", "target_loss"):
        number(path, content, key, required=False)
    number(path, content, "loss_delta", required=False)
    return content


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        StepError: missing, unreadable, not JSON (NaN and Infinity included) or not an object.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no figure")

    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=refuse)
    except FileNotFoundError:
        raise StepError(f"{path} is not there; run the step that writes it") from None
    except (OSError, ValueError) as error:
        raise StepError(f"{path} cannot be read as JSON: {error}; run the step that writes it again") from error
    if not isinstance(content, dict):
        raise StepError(f"{path} holds a {type(content).__name__}; expected a JSON object")
    return content


def number(path: Path, content: Mapping[str, Any], key: str, required: bool = True, where: str = "") -> float | None:
    """The finite number at `key`, or None if it is absent and not required.

    Raises:
        StepError: absent though required, or something else than a finite number.
    """
    value = content.get(key)
    if value is None and not required:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        given = "is missing" if key not in content else f"is {value!r}"
        raise StepError(f"{path}: `{where}{key}` {given}; expected a number; run the step that writes it again")
    return value


def _optional_object(path: Path) -> dict[str, Any]:
    return read_object(path) if path.is_file() else {}


def _by_name(argument: str, paths: list[Path], name_of: Any) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        name = name_of(Path(path))
        if name in found:
            raise StepError(
                f"{argument}: {found[name]} and {path} both name the model {name!r}; one of them must be renamed"
            )
        found[name] = Path(path)
    return found


def _mapping(path: Path, content: Mapping[str, Any], key: str, default: Any = None) -> dict[str, Any]:
    value = content.get(key, default)
    if not isinstance(value, dict):
        given = "is missing" if key not in content else f"is a {type(value).__name__}"
        raise StepError(f"{path}: `{key}` {given}; expected an object; run the benchmark again")
    return value


def _accuracy(path: Path, where: str, entry: Any) -> Accuracy:
    """The headline accuracy of a task or category, with its chance if the entry or the file states one."""
    metrics = (
        {k: v for k, v in entry.items() if isinstance(v, dict) and "value" in v} if isinstance(entry, dict) else {}
    )
    metric = next((m for m in ACCURACIES if m in metrics), None)
    if metric is None:
        raise StepError(
            f"{path}: `{where}` has no accuracy; expected one of {', '.join(ACCURACIES)} with value, stderr and n"
        )
    figures, inside = metrics[metric], f"{where}.{metric}."
    value = number(path, figures, "value", where=inside)
    if not 0 <= value <= 1:
        raise StepError(f"{path}: `{inside}value` is {value}; expected an accuracy from 0 to 1, not a percentage")
    stderr = number(path, figures, "stderr", required=False, where=inside)
    if stderr is not None and stderr < 0:
        raise StepError(f"{path}: `{inside}stderr` is {stderr}; expected a standard error of at least 0")
    n = number(path, figures, "n", required=False, where=inside)
    return Accuracy(
        value=value, stderr=stderr, n=None if n is None else int(n), chance=_chance(path, where, entry), metric=metric
    )


def _chance(path: Path, where: str, entry: Mapping[str, Any]) -> float | None:
    chance = entry.get("chance")
    if isinstance(chance, dict):
        return number(path, chance, "value", where=f"{where}.chance.")
    return number(path, entry, "chance", required=False, where=f"{where}.")


def _curve_row(path: Path, line: int, row: Mapping[str, str]) -> tuple[float, float, float]:
    figures = []
    for column in CURVE_COLUMNS:
        try:
            value = float(row[column])
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise StepError(f"{path}, line {line}: {column} is {row[column]!r}; expected a number; train again")
        figures.append(value)
    return tuple(figures)
