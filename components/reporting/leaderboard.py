"""The leaderboard with one row per model, and flat metrics for `dvc metrics`."""

from typing import Any

from components.reporting.evidence import Case, Evidence
from components.reporting.paired import exam_differences, suite_differences
from components.results.comparability import digest
from components.results.published import EXAM, Measured, standings

TRAINED = ("parameters", "tokens", "steps", "flops", "validation_loss", "validation_loss_stderr", "bits_per_byte")


def leaderboard(case: Case, transfer: dict[str, Any] | None) -> dict[str, Any]:
    """The whole leaderboard as a JSON object: `models`, `not_compared` (sentences on what differs), `exam_differences`, `suite_differences`, `standings` (our models
    beside the published ones), `transfer`."""
    return {
        "models": [_row(model, case) for model in case.models],
        "not_compared": case.not_compared,
        "exam_differences": exam_differences(case),
        "suite_differences": suite_differences(case),
        "standings": standings({model.name: _measured(model) for model in case.models if model.scores or model.suites}),
        "transfer": transfer,
    }


def _measured(model: Evidence) -> list[Measured]:
    """A model's scores on the suites, and its exam as one metric."""
    measured = [score for scores in model.suites.values() for score in scores.measured]
    scores = model.scores
    if scores and scores.overall.n is not None:
        overall = scores.overall
        exam = overall.estimate
        clean = {"acc": overall.clean} if overall.clean else {}
        basis = scores.basis
        data = digest([basis.questions, basis.protocol]) if basis.questions else ""
        measured.append(
            Measured(EXAM, EXAM, {"acc": exam}, 0, "mean of its tasks", overall.overlap, clean, EXAM, data=data)
        )
    return measured


def _row(model: Evidence, case: Case) -> dict[str, Any]:
    """One model. `loss_measure` and `exam_measure` are what may be shown beside the other models' figures (see
    results.comparability)."""
    trained = model.training or {}
    row: dict[str, Any] = {"name": model.name} | {key: trained.get(key) for key in TRAINED}
    row["checkpoint_sha256"] = trained.get("checkpoint_sha256")
    scores = model.scores
    overall = scores.overall if scores else None
    return row | {
        "loss_measure": case.losses(model).measure,
        "exam_measure": case.scores(model).measure,
        "exam_accuracy": overall.value if overall else None,
        "exam_stderr": overall.stderr if overall else None,
        "exam_reworded": {name: a.as_json() for name, a in scores.reworded.items()} if scores else {},
        "exam_clusters": overall.clusters if overall else None,
        "exam_clustered_stderr": overall.clustered_stderr if overall else None,
        "exam_detects": overall.detects if overall else None,
        "chance": overall.chance if overall else None,
        "majority": overall.majority if overall else None,
        "exam_bits_per_byte": scores.bits_per_byte if scores else None,
        "tasks": {name: a.as_json() for name, a in scores.tasks.items()} if scores else {},
        "categories": {name: a.as_json() for name, a in scores.categories.items()} if scores else {},
    }


def summary(board: dict[str, Any]) -> dict[str, Any]:
    """Flat figures for `dvc metrics`, such as `large_validation_loss` and `kl`; unknown ones are left out."""
    flat: dict[str, Any] = {}
    for row in board["models"]:
        for key in ("validation_loss", "validation_loss_stderr", "bits_per_byte", "exam_accuracy", "exam_stderr"):
            flat[f"{row['name']}_{key}"] = row[key]
        if row["exam_reworded"]:
            flat[f"{row['name']}_exam_reworded_accuracy"] = row["exam_reworded"]["overall"]["value"]
    transfer = board["transfer"] or {}
    for key in (
        "max_relative_logit_difference",
        "kl",
        "loss_delta",
        "grown_start_loss",
        "loss_advantage_over_control",
        "tokens_to_control_loss",
        "share_of_control_tokens",
    ):
        flat[key] = transfer.get(key)
    for group, found in (transfer.get("growth") or {}).items():
        if isinstance(found, dict):
            flat[f"growth_share_{group}"] = found["share"]
    if exam := transfer.get("growth_exam"):
        flat["growth_exam_share_new"] = exam["all"]["share"]
    for account in ("sunk", "inclusive"):
        figures = transfer.get("flops", {}).get(account, {})
        flat[f"share_of_control_flops_{account}"] = figures.get("share_of_control_flops")
    for pair in board["exam_differences"]:
        flat[f"exam_difference_over_{pair['against']}"] = pair["value"]
        flat[f"exam_difference_over_{pair['against']}_stderr"] = pair["stderr"]
        flat[f"exam_difference_over_{pair['against']}_p_value"] = float(f"{pair['p_value']:.4g}")
    return {key: value for key, value in flat.items() if value is not None}
