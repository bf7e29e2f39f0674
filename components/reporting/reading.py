"""Read and check what the earlier steps wrote.

Nothing is repaired. A file that is not what its step writes is refused with its name and the key at fault, since a
figure that silently went missing would look like one that nobody measured.
"""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.reporting.evidence import Accuracy, Case, Curve, Evidence, Scores, mean_accuracy
from components.tracking import weights_sha256

ACCURACIES = ("acc", "accuracy", "exact_match", "pass@1", "acc_norm", "f1")  # the first that a task has is its headline
CURVE_COLUMNS = ("tokens", "flops", "validation_loss")


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
    if model:
        _check_checkpoint(model)
    models = tuple(
        Evidence(
            name=name,
            scores=read_scores(scores_by[name]) if name in scores_by else None,
            training=read_training(training_by[name]) if name in training_by else None,
            curve=read_curve(curves_by[name]) if name in curves_by else None,
        )
        for name in names
    )
    subject = model.name if model and model.name in names else "large"
    for found in models:
        _same_weights(found, scores_by, training_by, model if found.name == subject else None)
    proof = read_transfer(transfer) if transfer else None
    if proof:
        _grown_from(proof, transfer, training_by, models)
    return Case(
        models=models,
        transfer=proof,
        subject=subject,
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
    return Scores(
        overall=mean_accuracy(list(tasks.values())),
        tasks=tasks,
        categories=categories,
        bits_per_byte=_mean_bits(path, content["tasks"]),
        weights=_text(path, content.get("checkpoint"), "weights_sha256"),
        examples=read_examples(Path(directory) / "examples.parquet"),
    )


def read_examples(path: Path) -> dict[tuple[str, str], float] | None:
    """Whether each example was answered right, by task and id; None if there is no such file.

    Raises:
        StepError: not Parquet, without the columns task, id and acc, or an example stands there twice.
    """
    if not path.is_file():
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path, columns=["task", "id", "acc"]).to_pylist()
        found = {(str(row["task"]), str(row["id"])): float(row["acc"]) for row in rows}
    except (OSError, pa.ArrowException, KeyError, TypeError) as error:
        raise StepError(
            f"{path} cannot be read as examples with task, id and acc ({error}); run the benchmark again"
        ) from error
    if len(found) < len(rows):
        raise StepError(f"{path}: {len(rows) - len(found)} examples stand there twice; run the benchmark again")
    return found


def read_training(path: Path) -> dict[str, Any]:
    """Read a training summary; `validation_loss` must be a number, other figures may be absent.

    Raises:
        StepError: missing, not JSON, or a figure that is no number.
    """
    content = read_object(path)
    number(path, content, "validation_loss")
    for key in ("parameters", "tokens", "steps", "flops", "loss", "bits_per_byte", "epochs"):
        number(path, content, key, required=False)
    _text(path, content, "checkpoint_sha256")
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
    for key in ("loss_delta", "proof_tokens", "max_relative_logit_difference_float64"):
        number(path, content, key, required=False)
    _text(path, content, "source_sha256")
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
        value=value,
        stderr=stderr,
        n=None if n is None else int(n),
        chance=_baseline(path, where, entry, "chance"),
        metric=metric,
        majority=_baseline(path, where, entry, "majority"),
    )


def _baseline(path: Path, where: str, entry: Mapping[str, Any], name: str) -> float | None:
    """A baseline of a task or category, written as a metric (`{"value": 0.25}`) or as a plain number."""
    found = entry.get(name)
    if isinstance(found, dict):
        return number(path, found, "value", where=f"{where}.{name}.")
    return number(path, entry, name, required=False, where=f"{where}.")


def _mean_bits(path: Path, tasks: Mapping[str, Any]) -> float | None:
    """Mean over tasks of their bits a byte; None unless every task has it."""
    if not all(isinstance(task.get("bits_per_byte"), dict) for task in tasks.values()):
        return None
    values = [
        number(path, task["bits_per_byte"], "value", where=f"tasks.{name}.bits_per_byte.")
        for name, task in tasks.items()
    ]
    return math.fsum(values) / len(values)


def _text(path: Path, content: Any, key: str) -> str | None:
    value = content.get(key) if isinstance(content, Mapping) else None
    if value is not None and not isinstance(value, str):
        raise StepError(f"{path}: `{key}` is {value!r}; expected text; run the step that writes it again")
    return value


def _check_checkpoint(directory: Path) -> None:
    if not any(Path(directory).glob("*.safetensors")):
        raise StepError(f"--model {directory} has no model.safetensors; expected a checkpoint of components.training")


def _grown_from(proof: Mapping[str, Any], path: Path, training: Mapping[str, Path], models: Sequence[Evidence]) -> None:
    """Refuse the proof of a growth from another small model: its cost would be counted in wrongly."""
    small = next((m for m in models if m.name == "small" and m.training), None)
    trained = small.training.get("checkpoint_sha256") if small else None
    source = proof.get("source_sha256")
    if trained and source and trained != source:
        raise StepError(
            f"{path} is of a growth from other weights ({source[:12]}) than {training['small']} trained "
            f"({trained[:12]}); run the growth again"
        )


def _same_weights(
    found: Evidence, scores: Mapping[str, Path], training: Mapping[str, Path], checkpoint: Path | None
) -> None:
    """Refuse figures of different weights under one name: a stale file would be reported as if it were new."""
    stated: list[tuple[Path, str]] = []
    if found.training and found.training.get("checkpoint_sha256"):
        stated.append((training[found.name], found.training["checkpoint_sha256"]))
    if found.scores and found.scores.weights:
        stated.append((scores[found.name] / "scores.json", found.scores.weights))
    if checkpoint and stated:
        stated.append((checkpoint, weights_sha256(checkpoint)))
    for path, digest in stated[1:]:
        if digest != stated[0][1]:
            raise StepError(
                f"{path} is of other weights ({digest[:12]}) than {stated[0][0]} ({stated[0][1][:12]}), though both are "
                f"named {found.name!r}; run training and benchmark of this model again"
            )


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
