"""Read and check the results of earlier steps.

A malformed file is refused with its name and key and never repaired: a metric that was lost unnoticed would look like one
that was not measured.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.foreign.confined import refuse_links_out
from components.reporting.checks import mapping, number, read_object, text
from components.reporting.evidence import Case, Curve, Evidence, Scores
from components.reporting.scores import read_scores
from components.results.published import EXAM
from components.tracking import weights_sha256

CURVE_COLUMNS = ("tokens", "flops", "validation_loss")


def read_case(
    scores: list[Path],
    training: list[Path] | None = None,
    curves: list[Path] | None = None,
    transfer: Path | None = None,
    model: Path | None = None,
    set_back: Path | None = None,
) -> Case:
    """Read the files in the step's arguments.

    Raises:
        StepError: a file is missing, malformed or names a model twice.
    """
    scored = _scored(scores)
    training_by = _by_name("--training", training or [], lambda p: p.stem.removeprefix("train_"))
    curves_by = _by_name("--curves", curves or [], lambda p: p.stem)
    names = list(dict.fromkeys([*scored, *training_by, *curves_by]))
    if model:
        _check_checkpoint(model)
    models = tuple(
        Evidence(
            name=name,
            scores=scored.get(name, {}).get(EXAM, (None, None))[1],
            training=read_training(training_by[name]) if name in training_by else None,
            curve=read_curve(curves_by[name]) if name in curves_by else None,
            suites={suite: found for suite, (_, found) in scored.get(name, {}).items() if suite != EXAM},
        )
        for name in names
    )
    subject = model.name if model and model.name in names else "large"
    for found in models:
        _same_weights(found, scored.get(found.name, {}), training_by, model if found.name == subject else None)
    proof = read_transfer(transfer) if transfer else None
    if proof and transfer:
        _grown_from(proof, transfer, training_by, models)
    return Case(
        models=models,
        transfer=proof,
        subject=subject,
        set_back=_set_back(set_back, scored.get(subject, {})) if set_back else None,
        lineage=_optional_object(model / "lineage.json") if model else {},
        config=read_object(model / "config.json") if model else {},
    )


def read_training(path: Path) -> dict[str, Any]:
    """Read a training summary; `validation_loss` must be a number, other metrics may be absent.

    Raises:
        StepError: missing, not JSON, or a figure that is not a number.
    """
    content = read_object(path)
    number(path, content, "validation_loss")
    for key in ("parameters", "tokens", "steps", "flops", "loss", "validation_loss_stderr", "bits_per_byte", "epochs"):
        number(path, content, key, required=False)
    text(path, content, "checkpoint_sha256")
    growth = mapping(path, content, "growth", {})
    for group in growth:
        if group == "along":
            _along(path, growth[group])
        elif group == "gain":
            number(path, growth, group, where="growth.")
        else:
            figures = mapping(path, growth, group, where="growth.")
            for key in ("entries", "share", "damage"):
                number(path, figures, key, where=f"growth.{group}.")
            number(path, figures, "damage_stderr", required=False, where=f"growth.{group}.")
    return content


def read_curve(path: Path) -> Curve:
    """Read a curve (CSV); rows of training without a validation loss are skipped.

    Raises:
        StepError: a column is missing, a field is not a number, tokens do not rise, or no validation is left.
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
                f"{after[1]:.4g}; both must rise from row to row; the file may contain two runs: train again"
            )
    tokens, flops, loss = zip(*rows, strict=True)
    return Curve(tokens=tokens, flops=flops, loss=loss)


def read_transfer(path: Path) -> dict[str, Any]:
    """Read transfer.json; `operator` must be a name, and the metrics of the proof numbers or absent.

    Raises:
        StepError: missing, not JSON, or a figure that is not a number.
    """
    content = read_object(path)
    if not isinstance(content.get("operator"), str):
        raise StepError(f"{path}: `operator` is {content.get('operator')!r}; expected the name of a growth operator")
    for key in ("max_absolute_logit_difference", "max_relative_logit_difference", "kl", "source_loss", "target_loss"):
        number(path, content, key, required=False)
    for key in ("loss_delta", "proof_tokens", "max_relative_logit_difference_float64"):
        number(path, content, key, required=False)
    text(path, content, "source_sha256")
    return content


def read_notes(paths: Sequence[Path]) -> tuple[tuple[str, str], ...]:
    """The warnings in the summaries of earlier steps: step, named after its file, and warning.

    Raises:
        StepError: missing, not JSON, or its warnings are not a list of texts.
    """
    notes = []
    for path in paths:
        warnings = read_object(path).get("warnings", [])
        if not isinstance(warnings, list) or not all(isinstance(warning, str) for warning in warnings):
            raise StepError(
                f"{path}: `warnings` is {warnings!r}; expected a list of texts; run the step that wrote it again"
            )
        notes += [(path.stem, warning) for warning in warnings]
    return tuple(notes)


def _optional_object(path: Path) -> dict[str, Any]:
    return read_object(path) if path.is_file() else {}


def _scored(paths: Sequence[Path]) -> dict[str, dict[str, tuple[Path, Scores]]]:
    """Scores by model and suite; the folder's name is the model's. A model may have several suites."""
    found: dict[str, dict[str, tuple[Path, Scores]]] = {}
    for path in map(Path, paths):
        scores = read_scores(path)
        suites = found.setdefault(path.name, {})
        if scores.suite in suites:
            raise StepError(
                f"--scores: {suites[scores.suite][0]} and {path} both name the model {path.name!r}, with suite "
                f"{scores.suite!r}; rename one of them"
            )
        suites[scores.suite] = path, scores
    return found


def _by_name(argument: str, paths: list[Path], name_of: Any) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        name = name_of(Path(path))
        if name in found:
            raise StepError(f"{argument}: {found[name]} and {path} both name the model {name!r}; rename one of them")
        found[name] = Path(path)
    return found


def _check_checkpoint(directory: Path) -> None:
    if not any(Path(directory).glob("*.safetensors")):
        raise StepError(f"--model {directory} has no model.safetensors; expected a checkpoint of components.training")
    refuse_links_out(directory)


def _along(path: Path, rows: Any) -> None:
    """Refuse a share along training that isn't a list of objects of numbers."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise StepError(f"{path}: `growth.along` is not a list of objects; run the training again")
    for row in rows:
        for key in ("tokens", "validation_loss", "new_damage", "new_damage_stderr", "new_share"):
            number(path, row, key, required=key in ("tokens", "validation_loss"), where="growth.along.")


def _set_back(path: Path, scored: Mapping[str, tuple[Path, Scores]]) -> Scores:
    """Read the scores of a model with entries set back; refuse those of other weights than the model's own scores."""
    found, (own_path, own) = read_scores(path), scored.get(EXAM, (path, None))
    if own is not None and found.weights != own.weights:
        raise StepError(
            f"{path} is of other weights ({(found.weights or '?')[:12]}) than {own_path} ({(own.weights or '?')[:12]}); score "
            "the model with its new entries set back again"
        )
    return found


def _grown_from(proof: Mapping[str, Any], path: Path, training: Mapping[str, Path], models: Sequence[Evidence]) -> None:
    """Refuse the proof of a growth from another small model, because its cost would be wrong."""
    summary = next((m.training for m in models if m.name == "small" and m.training), None)
    trained = summary.get("checkpoint_sha256") if summary else None
    source = proof.get("source_sha256")
    if trained and source and trained != source:
        raise StepError(
            f"{path} describes a growth from other weights ({source[:12]}) than {training['small']} trained "
            f"({trained[:12]}); run the growth again"
        )


def _same_weights(
    found: Evidence, scored: Mapping[str, tuple[Path, Scores]], training: Mapping[str, Path], checkpoint: Path | None
) -> None:
    """Refuse results of different weights under one name: an outdated file would be reported as new."""
    stated: list[tuple[Path, str]] = []
    if found.training and found.training.get("checkpoint_sha256"):
        stated.append((training[found.name], found.training["checkpoint_sha256"]))
    stated += [(path / "scores.json", scores.weights) for path, scores in scored.values() if scores.weights]
    if checkpoint and stated:
        stated.append((checkpoint, weights_sha256(checkpoint)))
    for path, digest in stated[1:]:
        if digest != stated[0][1]:
            raise StepError(
                f"{path} describes other weights ({digest[:12]}) than {stated[0][0]} ({stated[0][1][:12]}), though both are "
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
    tokens, flops, loss = figures
    return tokens, flops, loss
