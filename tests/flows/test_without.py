"""`phiforge without` and `phiforge forget`: which documents and parameters their options mean."""

from pathlib import Path

import pytest

from components.documents import Document, DocumentWriter
from components.params import PARAMS_FILE, load_params, parse_overrides
from flows import certificate, forget, run, settings, without
from flows.without import parser, whole_id

PART = Document(
    "One part.",
    "prose",
    "book.txt",
    "MIT",
    "t",
    metadata={"part_of": {"document": "ab" * 16, "number": 1, "parts": 2, "section": 1}},
)
RAW = Document("A text.  ", "prose", "notes/a.md", "MIT", "t")
CURATED = Document("A text.", "prose", "notes/a.md", "MIT", "t", metadata={"raw_id": RAW.id})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, documents in (("raw", [PART, RAW]), ("curated", [PART, CURATED])):
        with DocumentWriter(tmp_path / "data" / name) as writer:
            for document in documents:
                writer.write(document)
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    monkeypatch.setattr(settings, "project_root", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("digits", "whole"),
    [
        (RAW.id, RAW.id),
        (RAW.id[:8], RAW.id),
        (CURATED.id[:10], RAW.id),
        (PART.id[:8], "ab" * 16),
        ("abababab", "ab" * 16),
    ],
)
def test_a_document_is_found_by_any_of_its_ids(project: Path, digits: str, whole: str) -> None:
    assert whole_id(project, digits) == whole


@pytest.mark.parametrize(
    ("digits", "said"), [("abc", "3 digits; expected at least 8"), ("f" * 12, "is no document; expected an id")]
)
def test_an_unknown_document_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], digits: str, said: str
) -> None:
    assert without.main(["--document", digits]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "items", "more"),
    [
        (["--family", "planets"], ["family=planets"], {}),
        (["--family", "planets", "--kind", "code"], ["family=planets+kind=code"], {}),
        (["--family", "planets", "--kind", "code", "--each"], ["kind=code", "family=planets"], {}),
        (["--source", "my notes/a.md", "--licence", "MIT"], ["license=MIT+source=my%20notes%2Fa.md"], {}),
        (
            ["--document", RAW.id[:9], "--both", "--seeds", "1", "2"],
            [f"document={RAW.id}"],
            {"large": True, "seeds": [1, 2]},
        ),
    ],
)
def test_options_become_the_parameters_of_the_study(
    project: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    items: list[str],
    more: dict[str, object],
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(run, "main", lambda given, prog, flow: ran.append(given) or (flow == "without" and 0))
    assert without.main(words) == 0
    given = load_params(root / PARAMS_FILE, parse_overrides([word.removeprefix("--set=") for word in ran[0]])).without
    assert given.items == ["everything", *items]
    assert {name: getattr(given, name) for name in more} == more


def test_nothing_named_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert without.main([]) == 1
    assert "nothing is to be left out; expected --document" in capsys.readouterr().err
    assert forget.main(["--verify", "c.json", "--document", "0123456789abcdef"]) == 1
    assert "--verify checks a certificate and forgets nothing; give it alone" in capsys.readouterr().err
    assert forget.main([]) == 1
    assert (
        "nothing is to be forgotten; expected --document, --source, --license, or --verify" in capsys.readouterr().err
    )


def test_forget_refuses_what_no_raw_document_has_and_plans_the_rest(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate, "state", lambda root: {})  # test_certificate.py has it
    assert forget.main(["--source", "elsewhere"]) == 1
    assert "source=elsewhere: no raw document is named so" in capsys.readouterr().err
    assert forget.main(["--license", "mit", "--plan"]) == 0
    assert "to forget: 2 raw documents" in capsys.readouterr().out
    assert (project / "params.yaml").read_text() == "seed: 1\n"


def test_the_profile_leaves_out_each_family_and_kind_once(root: Path) -> None:
    items = load_params(root / PARAMS_FILE, {}, "without").without.items
    core = [family for line in (root / "components/synthesis/tiers.yaml").read_text().splitlines() if "[" in line
            for family in line.partition("[")[2].rstrip("]").split(", ")]  # fmt: skip
    assert sorted(items) == sorted(
        [
            "everything",
            *(f"kind={kind}" for kind in ("prose", "code", "textbook", "exercise")),
            *(f"family={f}" for f in core),
        ]
    )
    assert parser("x").parse_args(["--profile", "without"]).profile == "without"
