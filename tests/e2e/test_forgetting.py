"""A model that was trained with a document excluded is, byte for byte, the one of data that never had it."""

import json
import shutil
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from components.params import PARAMS_FILE
from components.running import cli

SETTINGS: dict[str, Any] = {
    "engine.kind": "serial",
    "validation.min_tokens": 100,
    "tokenization.vocab_size": 400,
    "tokenization.validation_fraction": 0.1,
    "training.context_length": 64,
    "training.batch_tokens": 512,
    "training.micro_batch_tokens": 512,
    "training.threads": 1,
    "training.validations": 1,
    "training.validation_tokens": 1024,
    "training.max_epochs": 100,
    "small.model.hidden_size": 32,
    "small.model.intermediate_size": 64,
    "small.model.num_hidden_layers": 1,
    "small.model.num_attention_heads": 2,
    "small.tokens": 8192,
}


@pytest.fixture(scope="module")
def texts(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project's pages, a near copy of one that curation drops, and rows."""
    folder = tmp_path_factory.mktemp("sources") / "texts"
    shutil.copytree(root / "docs", folder / "docs", ignore=shutil.ignore_patterns("images", "parameters.md"))
    page = (folder / "docs" / "training.md").read_text(encoding="utf-8")
    (folder / "docs" / "training-copy.md").write_text(page + "\nA copy.\n", encoding="utf-8")
    paragraphs = [part for part in page.split("\n\n") if len(part) > 200]
    rows = [{"text": f"Note {n}.\n\n{part}", "license": ["MIT", "GPL-3.0"][n % 2]} for n, part in enumerate(paragraphs)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def step(name: str, *words: object, settings: Mapping[str, Any], root: Path) -> None:
    command = import_module(f"components.{name}.__main__").COMMAND
    sets = [f"--set={key}={json.dumps(value)}" for key, value in settings.items()]
    given = cli._parser(command).parse_args([*map(str, words), "--params", str(root / PARAMS_FILE), *sets])
    assert cli.execute(command, given) == 0


def train(root: Path, texts: Path, folder: Path, *exclude: str) -> dict[str, bytes]:
    """From raw text to a small model; the bytes of all documents, tokens and weights."""
    settings = SETTINGS | {"ingestion.sources": [{"path": str(texts)}], "ingestion.exclude": list(exclude)}
    run = {"settings": settings, "root": root}
    raw, curated, tokens, model = (folder / name for name in ("raw", "curated", "tokens", "model"))
    step("ingestion", "--output", raw, **run)
    step(
        "curation",
        "--documents",
        raw,
        "--output",
        curated,
        "--ledger",
        folder / "ledger.parquet",
        "--work",
        folder / "work",
        **run,
    )
    step("tokenization", "--documents", curated, "--output", tokens, **run)
    step("training", "--model", "small", "--tokens", tokens, "--output", model, "--curves", folder / "curve.csv", **run)
    files = [
        *curated.glob("part-*.parquet"),
        *tokens.rglob("*.bin"),
        *tokens.rglob("tokenizer.json"),
        *model.glob("*.safetensors"),
    ]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def without_rows(folder: Path, licence: str) -> None:
    lines = (folder / "rows.jsonl").read_text().splitlines(keepends=True)
    (folder / "rows.jsonl").write_text("".join(line for line in lines if json.loads(line)["license"] != licence))


CASES: dict[str, tuple[str, Callable[[Path], None]]] = {
    # Its near copy was dropped, and is trained on now.
    "source": ("source=docs/training.md", lambda folder: (folder / "docs" / "training.md").unlink()),
    "licence": ("license=GPL-3.0", lambda folder: without_rows(folder, "GPL-3.0")),
}


@pytest.mark.timeout(900)
def test_a_forgotten_document_leaves_the_model_that_never_had_it(
    root: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = train(root, texts, tmp_path / "whole")
    for name, (rule, delete) in CASES.items():
        left = shutil.copytree(texts, tmp_path / name / "texts")
        delete(left)
        forgotten, never = train(root, texts, tmp_path / name / "a", rule), train(root, left, tmp_path / name / "b")
        weights = "model/model.safetensors"
        assert forgotten[weights] == never[weights] != whole[weights], name
        kept = {path for path in never if name == "source" or "curated" not in path}  # rows carry their number
        assert {path: forgotten[path] for path in kept} == {path: never[path] for path in kept}, name
