"""Read the results, compare them, and write the report."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from components.files import atomic_directory, write_json
from components.params import Params
from components.reporting.card import model_card
from components.reporting.comparison import compare
from components.reporting.evidence import Case
from components.reporting.figure import draw
from components.reporting.inside import draw_inside, read_inside
from components.reporting.leaderboard import leaderboard, summary
from components.reporting.own_text import own_text, text_figures
from components.reporting.page import html_page
from components.reporting.reading import read_case, read_notes
from components.reporting.tables import markdown
from components.reporting.words import sentences
from components.running.cli import Paths
from components.tracking import Tracker, weights_sha256

INSIDE = "inside.png"
WARNING = ("curation", "tokenization")  # steps with warnings for people in their summaries


def run(inputs: Paths, outputs: Paths, params: Params, tracker: Tracker) -> dict[str, Any]:
    """Write leaderboard.json, leaderboard.md, convergence.png, inside.png, index.html and model_card.md.

    Without a curve there is no first chart, without an interpretation no second, without a checkpoint no model card.

    Returns:
        flat figures for `dvc metrics`.

    Raises:
        StepError: an input is missing or malformed.
    """
    others = (inputs.get(name) for name in ("training", "curves", "transfer", "model", "set_back"))
    case = read_case(inputs["scores"], *others)
    case = replace(case, notes=read_notes([path for step in WARNING if (path := inputs.get(step))]))
    if path := inputs.get("interpretation"):
        weights = weights_sha256(inputs["model"]) if inputs.get("model") else None
        case = replace(case, inside=read_inside(path, weights))
    facts = own_text(inputs, case)
    text = facts | {"sentences": sentences(facts, case.subject)}
    board = leaderboard(case, compare(case)) | {"text": text}
    with atomic_directory(outputs["output"]) as folder:
        write_report(folder, case, board, params.reporting.registered_model, _places(inputs, outputs["output"]))
    tracker.artifact(outputs["output"], "report")
    return summary(board) | {key: value for key, value in text_figures(facts).items() if value is not None}


def write_report(folder: Path, case: Case, board: dict[str, Any], name: str, places: list[tuple[str, str]]) -> None:
    """All files of the report; equal arguments give equal bytes."""
    write_json(folder / "leaderboard.json", board)
    (folder / "leaderboard.md").write_text(markdown(case, board), encoding="utf-8")
    figure = folder / "convergence.png"
    drawn = draw(case, figure)
    opened = folder / INSIDE
    if case.inside:
        draw_inside(case.inside, opened)
    page = html_page(case, board, figure if drawn else None, opened if case.inside else None, places)
    (folder / "index.html").write_text(page, encoding="utf-8")
    if case.config:
        (folder / "model_card.md").write_text(model_card(case, board, name), encoding="utf-8")


def _places(inputs: Paths, output: Path) -> list[tuple[str, str]]:
    """Names and paths of results, as on the command line; of absolute paths only the last part."""
    places: list[tuple[str, Any]] = [
        ("leaderboard", output / "leaderboard.md"),
        ("leaderboard as JSON", output / "leaderboard.json"),
    ]
    if inputs.get("model"):
        places += [("model card", output / "model_card.md"), ("checkpoint", inputs["model"])]
    places += [("scores and every example", path) for path in inputs["scores"]]
    places += [("loss curve", path) for path in inputs.get("curves") or []]
    if inputs.get("transfer"):
        places.append(("proof of the growth", inputs["transfer"]))
    return [(what, path.name if path.is_absolute() else path.as_posix()) for what, path in places]
