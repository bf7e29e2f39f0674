"""From a folder of text to an answer of its model, as a new user does it: `flows.run --text`, then `flows.chat`.

Two corpora, small: pages in German, and JSON lines whose text lies under a name that nobody expects.
"""

import ast
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.ingestion.python_library import library_files
from tests.e2e.project import call, environment, make_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

SMALL = {
    "small.tokens": 30_000,
    "large.tokens": 15_000,
    "training.threads": 1,
    "transfer.threads": 1,
    "transfer.proof_tokens": 512,
    "synthesis.chapters": 40,
    "synthesis.exercises": 800,
    "synthesis.exam_examples": 10,
}
WORDS = {
    "place": "Im Garten|Am Fluss|Hinter dem Haus|In der alten Stadt|Auf dem Berg|Unter der Brücke|Vor der Schule|Am Rand des Waldes",
    "verb": "sucht|findet|zeichnet|beschreibt|bewacht|verkauft|putzt|vergisst|versteckt|kennt|lobt|trägt",
    "who": "die Lehrerin|der Bäcker|ein müder Hund|das kleine Mädchen|unser Nachbar|die alte Gärtnerin|ein fremder Maler|mein Bruder",
    "what": "einen grünen Apfel|das verlorene Buch|eine lange Brücke|den schnellen Zug|ein warmes Brot|die blaue Lampe|jeden Schlüssel",
    "when": "am frühen Morgen|nach der Arbeit|bei schönem Wetter|vor dem Essen|in der Nacht|an jedem zweiten Tag|seit vielen Jahren",
    "why": "weil es regnet|obwohl niemand zusieht|damit alle lachen|bevor der Winter kommt|während die Glocke schlägt|wenn das Licht ausgeht",
}  # fmt: skip


def german(folder: Path) -> int:
    """Pages of German sentences."""
    chance = random.Random(1)
    words = {name: choices.split("|") for name, choices in WORDS.items()}
    for page in range(60):
        sentences = [
            "{place} {verb} {who} {what} {when}, {why}.".format(**{name: chance.choice(w) for name, w in words.items()})
            for _ in range(30)
        ]
        paragraphs = [" ".join(sentences[start : start + 6]) for start in range(0, 30, 6)]
        (folder / f"Seite {page}.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")
    return 60


def odd_rows(folder: Path) -> int:
    """Docstrings of Python's library in rows with an odd name for the text, among other fields."""
    stories = []
    for path in library_files():
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and len(text := ast.get_docstring(node) or "") > 300:
                stories.append({"_id": {"n": len(stories)}, "headline": node.name, "story": text, "tags": ["python"]})
        if len(stories) > 200:
            break
    (folder / "export.ndjson").write_text("".join(json.dumps(row) + "\n" for row in stories), encoding="utf-8")
    return len(stories)


def run(root: Path, tmp_path: Path, text: Path) -> tuple[str, dict[str, Any], Path]:
    """What a run on a text says, its leaderboard, and the project that it ran in."""
    project = make_project(root, tmp_path / "a project", {})
    sets = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    said = call(project, "flows.run", "--text", str(text), "--size", "0.3M", *sets)
    (workspace,) = (path for path in (project / "workspaces").iterdir() if path.is_dir())
    return said, json.loads((workspace / "reports" / "final" / "leaderboard.json").read_text()), project


def check_result(board: dict[str, Any], documents: int) -> None:
    """Nearly all was kept, the corpus has most of the training tokens, and the models learned something of it."""
    text = board["text"]
    assert text["documents"]["read"] >= documents  # long ones are cut
    assert text["documents"]["kept"] >= 0.9 * text["documents"]["read"]
    assert text["training"]["by_kind"]["prose"] >= 0.5 * text["training"]["tokens"]
    bits = {cost["by"]: cost["bits_per_byte"] for cost in text["held_out"]["costs"]}
    assert bits["large"] < bits["nothing known"]
    assert len(text["continuations"]) == 3
    assert all(sample["prompt"] and sample["truth"] for sample in text["continuations"])


def chat(project: Path, prompt: str) -> str:
    command = [sys.executable, "-m", "flows.chat", "--temperature", "0", "--max-tokens", "8"]
    done = subprocess.run(
        command, cwd=project, env=environment(), input=prompt, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_german_pages_become_a_german_model_that_answers(root: Path, tmp_path: Path) -> None:
    text = tmp_path / "meine Seiten"
    text.mkdir()
    pages = german(text)
    said, board, project = run(root, tmp_path, text)
    check_result(board, pages)
    assert f"{pages} files" in said
    (curation,) = (project / "workspaces").glob("*/reports/curate.json")
    assert json.loads(curation.read_text())["languages"]["kept"] == ["de"]
    assert chat(project, "Im Garten sucht").strip()


def test_rows_with_an_odd_name_for_their_text_are_read(root: Path, tmp_path: Path) -> None:
    text = tmp_path / "export"
    text.mkdir()
    rows = odd_rows(text)
    _, board, project = run(root, tmp_path, text)
    check_result(board, rows)
    (ingestion,) = (project / "workspaces").glob("*/reports/ingest.json")
    assert [entry["column"] for entry in json.loads(ingestion.read_text())["text_columns"]] == ["story"]
    assert chat(project, "Return the").strip()
