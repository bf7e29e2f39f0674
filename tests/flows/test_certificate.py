"""The certificate of a forgotten document: it holds for an honest run, and each way of breaking it is found."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from components.documents import Document, DocumentWriter
from components.errors import StepError
from components.exclusions import parse
from flows import certificate
from flows.certificate import sha256_of, verify

TEXTS = [Document(f"Text {n}.\n", "prose", f"notes/{n}.md", ["MIT", "GPL-3.0"][n % 2], "t") for n in range(6)]
GONE = TEXTS[3]
RULE = parse(f"document={GONE.id}")


def write(folder: Path, documents: list[Document]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with DocumentWriter(folder) as writer:
        for document in documents:
            writer.write(document)


def stored(root: Path, folder: str) -> str:
    """Put a folder into DVC's cache; returns its hash."""
    listing = []
    for path in sorted((root / folder).iterdir()):
        listing.append({"md5": put(root, path.read_bytes()), "relpath": path.name})
    return put(root, json.dumps(listing).encode(), ".dir")


def put(root: Path, content: bytes, ending: str = "") -> str:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + ending
    place = root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return md5


def lock(root: Path, documents: list[Document], weights: bytes, **deps: dict[str, str]) -> None:
    """The results of a run: raw and curated documents, a model, and the dvc.lock with their hashes."""
    write(root / "data" / "raw", documents)
    write(
        root / "data" / "curated",
        [document for document in documents if document.source != "notes/5.md" or GONE not in documents],
    )
    (root / "models" / "small").mkdir(parents=True, exist_ok=True)
    (root / "models" / "small" / "model.safetensors").write_bytes(weights)
    raw, curated, model = (stored(root, name) for name in ("data/raw", "data/curated", "models/small"))
    stages = {
        "ingest": ({"data/inventory.json": "0" * 32}, {"data/raw": raw}),
        "curate": ({"data/raw": raw, "components/curation": "1" * 32}, {"data/curated": curated}),
        "train_small": ({"data/curated": curated}, {"models/small": model}),
    }
    content = {
        name: {
            "cmd": f"python -m {name}",
            "deps": [{"path": path, "md5": md5} for path, md5 in (read | deps.get(name, {})).items()],
            "outs": [{"path": path, "md5": md5} for path, md5 in made.items()],
        }
        for name, (read, made) in stages.items()
    }
    content["dropped"] = {"cmd": "x", "deps": [{"path": "data/raw", "md5": "8" * 32}]}  # of a stage that is no more
    with open(root / "dvc.lock", "w") as file:
        YAML().dump({"schema": "2.0", "stages": content}, file)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    outs = {"ingest": "data/raw", "curate": "data/curated", "train_small": "models/small"}
    stages = {name: {"cmd": f"python -m {name}", "outs": [out]} for name, out in outs.items()}
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    (tmp_path / "params.yaml").write_text(f"ingestion:\n  sources: [{{path: texts}}]\n  exclude: ['{RULE}']\n")
    return tmp_path


def made(root: Path, after: list[Document], **deps: dict[str, str]) -> tuple[Path, dict[str, Any]]:
    """A certificate of a run that left these documents."""
    lock(root, TEXTS, b"before")
    before = certificate.state(root)
    lock(root, after, b"after", **deps)
    outcomes = dict.fromkeys(("ingest", "curate", "train_small"), "ran")
    content = certificate.certificate(root, [RULE], before, outcomes, {"commit": "c", "tree": "t"})
    certificate.write(root / "c.json", content)
    return root / "c.json", content


def holds(root: Path, path: Path) -> dict[str, bool | None]:
    return {check.name: check.holds for check in verify(root, path)}


KEPT = [document for document in TEXTS if document is not GONE]


def test_an_honest_run_passes_and_says_what_it_did(project: Path) -> None:
    path, content = made(project, KEPT)
    found = holds(project, path)
    assert found == {**dict.fromkeys(found, True), "earlier results": None}
    assert content["removed"]["documents"] == [{"id": GONE.id, "source": GONE.source, "license": GONE.license}]
    assert [entry["source"] for entry in content["newly_kept"]] == ["notes/5.md"]
    assert [stage["outcome"] for stage in content["stages"]] == ["ran"] * 3
    assert content["weights"]["models/small"]["before"] != content["weights"]["models/small"]["after"]
    assert GONE.text.strip() not in path.read_text()


def forge(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a certificate and give it a hash that fits."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content | {"sha256": sha256_of({k: v for k, v in content.items() if k != "sha256"})}))


def unhashed(root: Path, path: Path) -> None:
    path.write_text(path.read_text().replace('"ran"', '"cached"', 1))


def back(root: Path, path: Path) -> None:
    write(root / "data" / "raw", TEXTS)


def no_exclusion(root: Path, path: Path) -> None:
    (root / "params.yaml").write_text("ingestion:\n  sources: [{path: texts}]\n")


def other_weights(root: Path, path: Path) -> None:
    (root / "models" / "small" / "model.safetensors").write_bytes(b"other")


def other_removal(root: Path, path: Path) -> None:
    forge(
        path, lambda content: content["removed"]["documents"].append({"id": TEXTS[0].id, "source": "", "license": ""})
    )


def written_from_it(root: Path, path: Path) -> None:
    write(
        root / "data" / "textbooks",
        [Document("A chapter.", "textbook", "c", "CC0-1.0", "t", metadata={"seed_document": GONE.id})],
    )


BROKEN: dict[str, tuple[Callable[[Path, Path], None], set[str]]] = {
    "the certificate was changed": (unhashed, {"unchanged"}),
    "the document is back": (back, {"present files", "absent"}),
    "the exclusion was taken out": (no_exclusion, {"stays out"}),
    "the model was exchanged": (other_weights, {"present files"}),
    "it claims another removal": (other_removal, {"deletion again", "absent"}),
    "a chapter was written from it": (written_from_it, {"absent"}),
}


@pytest.mark.parametrize("case", BROKEN)
def test_each_way_of_breaking_it_is_found(project: Path, case: str) -> None:
    change, wrong = BROKEN[case]
    path, _ = made(project, KEPT)
    change(project, path)
    assert {name for name, value in holds(project, path).items() if value is False} == wrong


def test_a_run_that_also_lost_another_document_is_not_proved(project: Path) -> None:
    path, _ = made(project, KEPT[1:])
    assert {name for name, value in holds(project, path).items() if value is False} == {"deletion"}


@pytest.mark.parametrize(
    ("deps", "said"),
    [
        ({"train_small": {"data/curated": "9" * 32}}, "train_small has read another data/curated"),
        ({"train_small": {"data/inventory.json": "0" * 32}}, "train_small has read data/inventory.json"),
    ],
)
def test_a_stage_that_read_something_else_breaks_the_chain(
    project: Path, deps: dict[str, dict[str, str]], said: str
) -> None:
    path, _ = made(project, KEPT, **deps)
    (check,) = (check for check in verify(project, path) if check.name == "chain")
    assert (check.holds, check.detail) == (False, said)


def test_it_can_still_be_checked_once_the_earlier_results_are_gone(project: Path) -> None:
    path, content = made(project, KEPT)
    for md5 in content["before"]["outs"].values():
        (project / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]).unlink()
    found = holds(project, path)
    assert found == {**dict.fromkeys(found, True), "deletion again": None}


@pytest.mark.parametrize("content", ["{}", '{"removed": {"rules": ["family=x"]}}', "[]"])
def test_another_file_is_refused(project: Path, content: str) -> None:
    (project / "c.json").write_text(content)
    with pytest.raises(StepError, match=r"certificate|expected a JSON object"):
        verify(project, project / "c.json")
