"""Read the evidence, compare, judge, write the report, and put the larger model into the registry."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from components.cli import Paths
from components.files import atomic_directory, write_json
from components.params import Params
from components.reporting.card import model_card
from components.reporting.comparison import Gate, compare, judge
from components.reporting.evidence import Case
from components.reporting.figure import draw
from components.reporting.leaderboard import leaderboard, summary
from components.reporting.own_text import own_text, text_figures
from components.reporting.page import html_page
from components.reporting.reading import read_case, read_notes
from components.reporting.tables import markdown
from components.reporting.words import sentences
from components.tracking import Tracker

WARNING = ("curation", "tokenization")  # steps whose summaries say what a person should know
PROMOTED, WAITING = "champion", "candidate"


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write leaderboard.json, leaderboard.md, convergence.png, index.html and model_card.md; register the model.

    The figure is left out where no curve is given, the model card and the registry where no checkpoint is.

    Returns:
        flat figures for `dvc metrics`.

    Raises:
        StepError: an input is missing or malformed.
    """
    settings, checkpoint = params.reporting, inputs.get("model")
    case = read_case(inputs["scores"], inputs.get("training"), inputs.get("curves"), inputs.get("transfer"), checkpoint)
    case = replace(case, notes=read_notes([path for step in WARNING if (path := inputs.get(step))]))
    gate = judge(case, settings.max_loss_over_control)
    facts = own_text(inputs, case)
    text = facts | {"sentences": sentences(facts, case.subject)}
    board = leaderboard(case, compare(case), gate) | {"text": text}
    with atomic_directory(outputs["output"]) as folder:
        write_report(folder, case, board, settings.registered_model, _places(inputs, outputs["output"]))
    print(f"gate {'passed' if gate.passed else 'not passed'}: {gate.reason}", flush=True)
    tracker.artifact(outputs["output"], "report")
    tracker.tags({"gate": "passed" if gate.passed else "not passed", "gate.reason": gate.reason})
    if checkpoint:
        alias = PROMOTED if gate.passed else WAITING
        tracker.register(checkpoint, settings.registered_model, alias, version_tags(case, gate))
    return summary(board) | {key: value for key, value in text_figures(facts).items() if value is not None}


def write_report(folder: Path, case: Case, board: dict[str, Any], name: str, places: list[tuple[str, str]]) -> None:
    """All files of the report; equal arguments give equal bytes."""
    write_json(folder / "leaderboard.json", board)
    (folder / "leaderboard.md").write_text(markdown(case, board), encoding="utf-8")
    figure = folder / "convergence.png"
    drawn = draw(case, figure)
    page = html_page(case, board, figure if drawn else None, places)
    (folder / "index.html").write_text(page, encoding="utf-8")
    if case.config:
        (folder / "model_card.md").write_text(model_card(case, board, name), encoding="utf-8")


def version_tags(case: Case, gate: Gate) -> dict[str, str]:
    """What the registry says of a version beside its weights."""
    model = case.model(case.subject)
    figures: dict[str, Any] = {"gate": gate.reason}
    if model and model.training:
        figures["validation_loss"] = model.training["validation_loss"]
    if model and model.scores:
        figures["exam_accuracy"] = model.scores.overall.value
    return {key: str(value) for key, value in figures.items()}


def _places(inputs: Paths, output: Path) -> list[tuple[str, str]]:
    """What lies where, as the command line named it; of an absolute path only the last part, which reads anywhere."""
    found: list[tuple[str, Any]] = [
        ("leaderboard", output / "leaderboard.md"),
        ("the same as JSON", output / "leaderboard.json"),
    ]
    if inputs.get("model"):
        found += [("model card", output / "model_card.md"), ("checkpoint", inputs["model"])]
    found += [("scores and every example", path) for path in inputs["scores"]]
    found += [("loss curve", path) for path in inputs.get("curves") or []]
    if inputs.get("transfer"):
        found.append(("proof of the transfer", inputs["transfer"]))
    return [(what, path.name if path.is_absolute() else path.as_posix()) for what, path in found]
