"""The tokens without some documents: nothing of them is left, nothing else is missing, and nothing held out is read."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from components.curation import curate
from components.documents import Document, DocumentWriter
from components.errors import StepError
from components.params import PARAMS_FILE, Params, load_params
from components.running import cli
from components.study.ablation import corpus as ablation
from components.study.without import corpus
from components.tokenization import tokenize
from components.tokens import Tokens
from components.tracking import Tracker
from tests.documents import read_documents

FAMILIES = ("planets", "seasons", "weight")


SETTINGS: dict[str, Any] = {
    "tokenization.vocab_size": 320,
    "tokenization.validation_fraction": 0.1,
    "small.tokens": 20_000,
    "engine.kind": "serial",
}


@pytest.fixture(scope="module")
def params(root: Path) -> Params:
    return load_params(root / PARAMS_FILE, SETTINGS)


@pytest.fixture(autouse=True)
def within(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder to work in, where the steps run in this process: what they do is theirs to test."""

    def step(name: str, words: list[str], file: Path) -> int:
        command = import_module(f"components.{name}.__main__").COMMAND
        assert cli.execute(command, cli._parser(command).parse_args([*words, "--params", str(file)])) == 0
        return 0

    monkeypatch.chdir(tmp_path)
    for module in (corpus, ablation):
        monkeypatch.setattr(module, "run_step", step)


def prose(root: Path, number: int) -> str:
    """Real paragraphs that the rules keep: of this project's own pages."""
    pages = sorted((root / "docs").glob("*.md"))
    page = pages[number % len(pages)].read_text(encoding="utf-8")
    start = (number // len(pages)) * 1500
    return f"Part {number}. " + page[start : start + 1500].strip() + "\n"


def exercises(number: int) -> Document:
    """Six exercises of three families."""
    families = [FAMILIES[(number + place) % 3] for place in range(6)]
    pieces = [
        f"Question: What is {number} and {place} of {family}?\nAnswer: {number + place}"
        for place, family in enumerate(families)
    ]
    return Document(
        "\n\n".join(pieces) + "\n",
        "exercise",
        "curriculum/exercises/mixed",
        "CC0-1.0",
        "t",
        metadata={"families": families},
    )


def write(folder: Path, documents: list[Document]) -> Path:
    with DocumentWriter(folder) as writer:
        for document in documents:
            writer.write(document)
    return folder


@pytest.fixture(scope="module")
def project(root: Path, params: Params, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Raw documents of two licences with a near copy, curated by the step; textbooks of two of them, and exercises."""
    folder = tmp_path_factory.mktemp("project")
    texts = [text for number in range(60) if len(text := prose(root, number)) > 900]
    raw = [
        Document(text, "prose", f"notes/{n % 2}/{n}.md", ["MIT", "GPL-3.0"][n % 2], "t") for n, text in enumerate(texts)
    ]
    copy = Document(raw[4].text.replace("Part 4.", "The fourth part."), "prose", "copies/4.md", "MIT", "t")
    write(folder / "raw", [*raw, copy])
    outputs = {"output": folder / "curated", "ledger": folder / "ledger.parquet"}
    curate.run({"documents": folder / "raw", "work": folder / "work"}, outputs, params, Tracker())
    kept = list(read_documents(folder / "curated"))
    seeds = {seed.source: seed.id for seed in kept}
    chapters = [
        Document(
            f"Chapter {n} about {source}.\n" * 8,
            "textbook",
            f"curriculum/{n}",
            "CC0-1.0",
            "t",
            metadata={"seed_document": seeds[source]},
        )
        for n, source in enumerate([*seeds][:8])
    ]
    write(folder / "textbooks", [*chapters, *map(exercises, range(40))])
    inputs = {"documents": [folder / "curated", folder / "textbooks"]}
    tokenize.run(inputs, {"output": folder / "tokens"}, params, Tracker())
    return {"folder": folder, "seeds": seeds, "copy": copy, "raw": raw, "params": params}


def made(project: dict[str, Any], item: str, output: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Summary, and the distinct documents of the training stream."""
    inputs = {name: project["folder"] / name for name in ("raw", "curated", "textbooks", "tokens")}
    summary = corpus.write_tokens({"item": item} | inputs, {"output": output}, project["params"], Tracker())
    rows = Tokens.open(output).split("train").documents.to_pylist()
    held_out = (project["folder"] / "tokens" / "validation" / "shard-00000.bin").read_bytes()
    assert (output / "validation" / "shard-00000.bin").read_bytes() == held_out
    held_out_ids = {row["id"] for row in Tokens.open(output).split("validation").documents.to_pylist()}
    assert not held_out_ids & {row["id"] for row in rows}
    return summary, list({row["id"]: row for row in rows}.values())


@pytest.fixture
def everything(project: dict[str, Any], tmp_path: Path) -> list[dict[str, Any]]:
    return made(project, "everything", tmp_path / "everything")[1]


def test_everything_leaves_out_nothing_but_the_held_out(
    project: dict[str, Any], everything: list[dict[str, Any]]
) -> None:
    pipeline = Tokens.open(project["folder"] / "tokens").split("train").documents
    # One document more is held out, since tokenization always holds one out.
    assert len({*pipeline["id"].to_pylist()} - {row["id"] for row in everything}) <= 1


def test_a_family_is_cut_out_of_its_documents(
    project: dict[str, Any], everything: list[dict[str, Any]], tmp_path: Path
) -> None:
    summary, rows = made(project, "family=planets", tmp_path / "tokens")
    before, after = (sum(row["bytes"] for row in of if row["kind"] == "exercise") for of in (everything, rows))
    assert 0.6 * before < after < 0.75 * before  # two of three families stay
    assert {row["id"] for row in rows if row["kind"] != "exercise"} >= {
        r["id"] for r in everything if r["kind"] == "prose"
    }
    held = sum(
        row["kind"] == "exercise" for row in Tokens.open(tmp_path / "tokens").split("validation").documents.to_pylist()
    )
    assert summary["left_out"]["documents"] == 40 - held


@pytest.mark.parametrize(
    ("item", "left"),
    [
        ("kind=textbook", {"prose", "exercise"}),
        ("kind=exercise", {"prose", "textbook"}),
        ("kind=prose", {"exercise"}),  # all the raw text; the chapters were written from it
    ],
)
def test_a_kind_is_left_out(project: dict[str, Any], tmp_path: Path, item: str, left: set[str]) -> None:
    assert {row["kind"] for row in made(project, item, tmp_path / "tokens")[1]} == left


def test_a_document_goes_with_its_chapters_and_its_copy_comes_in(project: dict[str, Any], tmp_path: Path) -> None:
    gone = project["raw"][4]
    assert gone.source in project["seeds"]
    assert project["copy"].source not in project["seeds"]  # dropped as a near copy
    summary, rows = made(project, f"document={gone.id}", tmp_path / "tokens")
    sources = {row["source"] for row in rows}
    assert gone.source not in sources
    assert project["copy"].source in sources
    assert summary["newly_kept"] == 1
    chapter = f"curriculum/{[*project['seeds']].index(gone.source)}"
    assert chapter not in sources
    assert len([source for source in sources if source.startswith("curriculum/") and "exercises" not in source]) >= 5


def test_a_licence_and_a_folder_are_left_out(project: dict[str, Any], tmp_path: Path) -> None:
    _, rows = made(project, "license=gpl-3.0+source=copies", tmp_path / "tokens")
    assert {row["source"].split("/")[1] for row in rows if row["kind"] == "prose"} == {"0"}


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("family=plumets", "no exercises or textbooks of plumets"),
        ("source=elsewhere", "source=elsewhere: no raw document is named so"),
    ],
)
def test_what_names_nothing_is_refused(project: dict[str, Any], tmp_path: Path, item: str, said: str) -> None:
    with pytest.raises(StepError, match=said):
        made(project, item, tmp_path / "tokens")
    assert not (tmp_path / "tokens").exists()


def test_textbooks_of_an_earlier_version_are_refused(project: dict[str, Any], tmp_path: Path) -> None:
    """They name fewer families than they have exercises."""
    broken = exercises(1)
    broken.metadata = json.loads(json.dumps({"families": ["planets"]}))
    folder = write(tmp_path / "textbooks", [broken])
    inputs = {name: project["folder"] / name for name in ("raw", "curated", "tokens")} | {"textbooks": folder}
    with pytest.raises(StepError, match="has 6 exercises and names 1 families"):
        corpus.write_tokens(
            {"item": "family=planets"} | inputs, {"output": tmp_path / "tokens"}, project["params"], Tracker()
        )
