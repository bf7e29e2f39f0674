"""What a run prints first: what its text holds and the plan, or the reason why it is refused; nothing has begun by then."""

import io
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest
from rich.console import Console

from components.errors import StepError
from components.params import load_params
from components.running.contents import Contents, FileType
from flows import preview as module
from flows import run
from flows.definitions import GROWTH_STUDY, PIPELINE
from flows.preview import found, planned, preview, show
from flows.sizes import Asked, sources_of

SENTENCE = "The water of the river is cold in spring, since it comes from the snow of the mountains, where it melts.\n"
CONTENTS = Contents(
    types=[FileType(".pdf", 3, 9_000_000, 600_000, 3), FileType("", 1, 1_000, 1_000, 1)],
    is_exact=False,
    looked_at=3,
    empty=1,
    refused=["a.pdf: needs a password"],
    not_read=["2 files that end in .png, which no reader takes (a.png, b.png)"],
    elsewhere=["s3://bucket/x"],
    columns=["'body' in notes"],
    titles=["Rivers", "Berge"],
    languages=[("en", 0.75), ("de", 0.247), ("fr", 0.003)],
    code=[("Python", 1.0)],
)


def screen(is_terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=is_terminal, highlight=False, width=100)


def test_what_was_found_is_told_in_lines() -> None:
    assert found(CONTENTS) == [
        ("found", "4 files, about 601 kB of text in about 4 documents"),
        ("", "3 .pdf, 9.0 MB, 600 kB of text in them"),
        ("", "1 without an ending, 1 kB"),
        ("not inspected", "s3://bucket/x"),
        ("languages", "text: en 75%, de 25%"),
        ("", "code: Python 100%"),
        ("not read", "2 files that end in .png, which no reader takes (a.png, b.png)"),
        ("cannot be read", "1 of 3 files read have no text"),
        ("", "a.pdf: needs a password"),
        ("text in rows", "field 'body' in notes; text_column overrides it"),
        ("titles", "Rivers"),
        ("", "Berge"),
    ]
    assert found(Contents()) == []


@pytest.mark.parametrize("is_terminal", [False, True])
def test_no_title_steers_the_terminal(is_terminal: bool) -> None:
    console = screen(is_terminal)
    show(console, "Your text", [("titles", "a\x1b[2Jb\u202ec [bold]d")])
    printed = console.file.getvalue()
    assert "a\\x1b[2Jb\\u202ec [bold]d" in printed
    assert "\x1b[2J" not in printed


def test_without_a_terminal_each_line_stays_whole() -> None:
    console = screen()
    show(console, "The plan", [("stages", "word " * 100), ("", "more")])
    assert console.file.getvalue().splitlines() == ["The plan", "  stages: " + "word " * 100, "    more"]


def test_the_plan_names_sizes_stages_and_minutes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GPU", root / "no such device")
    params = load_params(root / "params.yaml", {"small.tokens": 20_480})
    plan = planned(root, params, PIPELINE, 1_000_000)
    assert plan.sizes.startswith(
        "size 1M: smaller model 128 wide with 3 blocks on 20,480 tokens, larger model 160 wide"
    )
    assert plan.stages[:2] == ["inventory", "ingest"]
    assert plan.stages[-1] == "report"
    assert "about " in plan.time
    assert [label for label, _ in plan.lines()] == ["sizes", "stages", "time"]
    assert planned(root, params, GROWTH_STUDY, 1_000_000).time == ""
    assert planned(root, params, PIPELINE, 1_000_000, with_time=False).time == ""
    monkeypatch.setattr(module, "GPU", root / "params.yaml")
    assert [label for label, _ in planned(root, params, PIPELINE, 1_000_000).lines()] == ["sizes", "stages"]


def test_own_text_is_looked_at_and_sized_by_its_text(root: Path, tmp_path: Path) -> None:
    """What lies beside the text counts for nothing, whatever its size."""
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (tmp_path / "venv" / "a.py").write_text("x = 1\n" * 400_000)
    (tmp_path / "notes.md").write_text("# Notes\n\n" + (SENTENCE + "\n") * 400)
    console = screen()
    asked = Asked({"ingestion.sources": sources_of(str(tmp_path), tmp_path)})
    overrides = preview(root, asked, PIPELINE, console).overrides
    assert overrides["small.model.hidden_size"] == 64
    assert overrides["ingestion.part_chars"] == 1_000
    printed = console.file.getvalue()
    for line in ("1 .md, 42 kB", "not read: 1 folder of a virtual environment (venv)", "titles: Notes", "size 0.3M"):
        assert line in printed
    load_params(root / "params.yaml", overrides)


@pytest.mark.parametrize("overrides", [{}, {"ingestion.part_chars": 0}, {"ingestion.part_chars": 1_000}])
@pytest.mark.parametrize("profile", [None, "laptop"])
def test_one_text_that_the_run_would_not_cut_is_refused_first(
    root: Path, tmp_path: Path, profile: str | None, overrides: dict
) -> None:
    """A profile keeps the length of parts that params.yaml says; without one it follows the text."""
    (tmp_path / "a.txt").write_text((SENTENCE + "\n") * 200)
    asked = Asked({"ingestion.sources": [{"path": str(tmp_path)}], **overrides}, profile)
    is_cut = overrides == {"ingestion.part_chars": 1_000} or not (profile or overrides)
    with nullcontext() if is_cut else pytest.raises(StepError, match=r"min_documents.*a lower ingestion\.part_chars"):
        assert preview(root, asked, PIPELINE, screen()).overrides["ingestion.sources"]


def test_the_default_run_says_its_plan_in_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "survey", lambda *_: pytest.fail("there is no text of the user's"))
    console = screen()
    assert preview(root, Asked({"seed": 2}), PIPELINE, console).overrides == {"seed": 2}
    (line,) = console.file.getvalue().splitlines()
    assert line.startswith("The plan: size 1M: smaller model 128 wide with 3 blocks on 1,500,000 tokens")


def test_a_refusal_is_told_after_what_was_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Contents(titles=["Rivers"], refusal="ingestion.sources: too \x1b[2J little; name more text")
    monkeypatch.setattr(module, "survey", lambda *_: refused)
    console = screen()
    with pytest.raises(StepError, match=r"too \\x1b\[2J little; name more text$"):
        preview(root, Asked({"ingestion.sources": [{"path": "x"}]}), PIPELINE, console)
    assert console.file.getvalue().splitlines() == ["Your text", "  titles: Rivers"]


def test_a_run_that_is_refused_has_begun_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    (tmp_path / "a.txt").write_text("The cat sat on the mat.\n")
    monkeypatch.setattr(run, "connect", lambda *_: pytest.fail("it has begun"))
    assert run.main(["--text", str(tmp_path)]) == 1
    printed = capfd.readouterr()
    assert "found: 1 file, 24 bytes of text in 1 document" in printed.out
    assert "error: ingestion.sources: 24 bytes of text in" in printed.err
    assert run.main(["--set", "ingestion.sources=[{path: /no/such/place}]"]) == 1
    assert capfd.readouterr().err == (
        "error: ingestion.sources: '/no/such/place' does not exist (looked for /no/such/place); correct it in params.yaml\n"
    )


def test_make_hands_a_path_on_as_it_is(root: Path, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_bytes((root / "Makefile").read_bytes())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in (
        "pyproject.toml",
        "requirements.lock",
        "requirements-cuda.lock",
        ".venv/installed",
        ".venv/bin/phiforge",
    ):
        (tmp_path / name).touch()
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    text = "-a \"b\" 'c' `touch x` $(touch y); *, d"
    command = ["make", "--no-print-directory", "run", "TEXT=" + text.replace("$", "$$")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["-m", "flows.run", f"--text={text}"]
    assert not list(tmp_path.glob("[xy]"))
