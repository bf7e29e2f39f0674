"""What happens around every step: checks first, one clear last line, the summary last."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from components.errors import StepError
from components.files import atomic_directory
from components.running.cli import Argument, Command, main


def command(work: Any) -> Command:
    return Command(
        step="demo",
        description="A step for tests.",
        run=work,
        inputs=(Argument("documents", "in", many=True), Argument("seed", "option", required=False, type=int)),
        outputs=(Argument("output", "out", holds="*"),),
        sections=("seed",),
    )


def call(work: Any, tmp_path: Path, *more: str) -> int:
    (tmp_path / "in").mkdir(exist_ok=True)
    argv = [
        "--documents",
        str(tmp_path / "in"),
        "--output",
        str(tmp_path / "out"),
        "--params",
        str(tmp_path / "params.yaml"),
    ]
    (tmp_path / "params.yaml").write_text("seed: 3\n")
    with pytest.raises(SystemExit) as ended:
        main(command(work), [*argv, *more])
    return ended.value.code


def test_the_step_gets_paths_options_and_typed_parameters(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def work(inputs, outputs, params, tracker):
        seen.update(inputs=inputs, outputs=outputs, seed=params.seed)
        return {"rows": 2, "by": {"kind": 1.5}}

    assert call(work, tmp_path, "--seed", "9", "--set", "seed=4", "--summary", str(tmp_path / "s.json")) == 0
    assert seen["inputs"] == {"documents": [tmp_path / "in"], "seed": 9}
    assert seen["outputs"] == {"output": tmp_path / "out", "summary": tmp_path / "s.json"}
    assert seen["seed"] == 4
    assert json.loads((tmp_path / "s.json").read_text()) == {"rows": 2, "by": {"kind": 1.5}}


def test_a_refusal_is_one_last_line_and_no_traceback(tmp_path: Path, capsys) -> None:
    def work(*_: Any) -> dict[str, Any]:
        raise StepError("the corpus is empty; name another")

    assert call(work, tmp_path, "--summary", str(tmp_path / "s.json")) == 1
    assert capsys.readouterr().err == "error: demo: the corpus is empty; name another\n"
    assert not (tmp_path / "s.json").exists()


def test_a_defect_shows_its_traceback_and_ends_with_one_line(tmp_path: Path, capsys) -> None:
    assert call(lambda *_: {}["x"], tmp_path) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "error: demo: KeyError: 'x'"


class PanicException(BaseException):
    """As libraries in Rust raise it."""


def test_a_panic_ends_with_one_line_too(tmp_path: Path, capsys) -> None:
    def work(*_: Any) -> dict[str, Any]:
        raise PanicException("index out of bounds")

    assert call(work, tmp_path) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: demo: PanicException: index out of bounds"


def test_a_library_cannot_fill_the_log(tmp_path: Path, capsys) -> None:
    def work(*_: Any) -> dict[str, Any]:
        raise ValueError("x" * 10**7)

    assert call(work, tmp_path) == 1
    said = capsys.readouterr().err
    assert len(said) < 60_000
    assert said.splitlines()[-1].startswith("error: demo: ValueError: xxx")


@pytest.mark.parametrize("name", ["pipe", "device", "socket"])
def test_an_input_is_a_file_or_a_folder(name: str, tmp_path: Path, hostile_places: dict[str, Path], capsys) -> None:
    assert call(lambda *_: {}, tmp_path, "--documents", str(hostile_places[name])) == 1
    assert capsys.readouterr().err.endswith("is a pipe, a socket or a device, not a file; name a file or a folder\n")


@pytest.mark.parametrize("name", ["pipe", "folder", "large", "device", "socket"])
def test_parameters_are_in_a_file(name: str, tmp_path: Path, hostile_places: dict[str, Path], capsys) -> None:
    assert call(lambda *_: {}, tmp_path, "--params", str(hostile_places[name])) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("name", ["pipe", "folder", "device", "socket"])
def test_a_summary_replaces_no_more_than_a_file(name: str, tmp_path: Path, hostile_places: dict[str, Path]) -> None:
    assert call(lambda *_: {}, tmp_path, "--summary", str(hostile_places[name])) == 1


def test_a_message_of_several_lines_still_ends_in_one(tmp_path: Path, capsys) -> None:
    def work(*_: Any) -> dict[str, Any]:
        raise ValueError("first\n  second\n")

    assert call(work, tmp_path) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: demo: ValueError: first second"


@pytest.mark.parametrize("kind", [StepError, ValueError])
def test_no_message_steers_a_terminal(tmp_path: Path, capsys, kind: type[Exception]) -> None:
    def work(*_: Any) -> dict[str, Any]:
        raise kind("\x1b]0;title\x07\x1b[31m \u202egpj.txt, \u6f22")

    assert call(work, tmp_path) == 1
    said = capsys.readouterr().err
    assert r"\x1b]0;title\x07\x1b[31m \u202egpj.txt, \u6f22".replace(r"\u6f22", "\u6f22") in said
    assert not {"\x1b", "\x07", "\u202e"} & set(said)


@pytest.mark.parametrize("output", [".", "..", "holds the input"])
def test_an_output_never_replaces_what_the_run_needs(tmp_path: Path, monkeypatch, capsys, output: str) -> None:
    work = tmp_path / "work"
    (work / "holds the input" / "in").mkdir(parents=True)
    (work / "params.yaml").write_text("")
    monkeypatch.chdir(work)
    with pytest.raises(SystemExit) as ended:
        main(command(lambda *_: pytest.fail("ran")), ["--documents", "holds the input/in", "--output", output])
    assert ended.value.code == 1
    assert f"--output: {output} would be replaced as a whole" in capsys.readouterr().err


def test_an_interrupt_is_one_line(tmp_path: Path, capsys) -> None:
    def work(*_: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    assert call(work, tmp_path) == 130
    assert capsys.readouterr().err == "error: demo: interrupted\n"


def test_bad_parameters_are_refused_before_any_work(tmp_path: Path, capsys) -> None:
    assert call(lambda *_: pytest.fail("ran"), tmp_path, "--set", "sed=1") == 1
    assert "unknown key 'sed'; the nearest known key is 'seed'" in capsys.readouterr().err


def test_a_missing_input_is_named(tmp_path: Path, capsys) -> None:
    (tmp_path / "params.yaml").write_text("")
    with pytest.raises(SystemExit) as ended:
        main(command(None), ["--documents", "nowhere", "--output", "o", "--params", str(tmp_path / "params.yaml")])
    assert ended.value.code == 1
    assert "--documents: nowhere does not exist" in capsys.readouterr().err


def outputs_command() -> Command:
    def work(inputs: Any, outputs: Any, *_: Any) -> dict[str, Any]:
        with atomic_directory(outputs["output"]) as folder:
            (folder / "made.json").write_text("{}")
        return {}

    return Command(
        step="demo",
        description="A step for tests.",
        run=work,
        inputs=(Argument("input", "in"),),
        outputs=(Argument("output", "out", holds="made.json"), Argument("curves", "file", required=False)),
    )


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        (["--output", "in"], "it is or contains an input"),
        (["--output", "in/../in"], "it is or contains an input"),
        (["--output", "out", "--curves", "params.yaml"], "it is or contains an input"),
        (["--output", "mine"], "it contains no made.json, so another program made it"),
        (["--output", "file"], "is a file; expected a folder"),
        (["--output", "file/below"], "file is a file"),
        (["--output", "out", "--curves", "mine"], "is a folder; expected a file"),
        (["--output", "out", "--summary", "mine"], "is a folder; expected a file"),
        (["--output", "out", "--curves", ""], "the current folder"),
        (["--output", "out", "--curves", "out"], "overlap, so one would replace the other"),
        (["--output", "out", "--curves", "c", "--summary", "c"], "overlap, so one would replace the other"),
        (["--output", "out", "--summary", "out/s.json"], "overlap, so one would replace the other"),
        (["--output", "in/out"], "is inside the input"),
        (["--output", "out", "--curves", "in/precious"], "is inside the input"),
        (["--output", "out", "--curves", "pipe"], "is not a regular file"),
        (["--output", "link"], "is a link; expected a folder; name its target"),
    ],
)
def test_an_output_is_refused_before_it_can_do_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, outputs: list[str], reason: str
) -> None:
    for folder in ("in", "mine"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "precious").write_text("p")
    (tmp_path / "file").write_text("f")
    (tmp_path / "params.yaml").write_text("")
    (tmp_path / "link").symlink_to("elsewhere")
    os.mkfifo(tmp_path / "pipe")
    before = sorted((path, path.is_file() and path.read_bytes()) for path in tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(outputs_command(), ["--input", "in", *outputs])
    assert ended.value.code == 1
    assert reason in capsys.readouterr().err
    assert sorted((path, path.is_file() and path.read_bytes()) for path in tmp_path.rglob("*")) == before


def test_what_a_step_has_made_and_an_empty_folder_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "params.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main(outputs_command(), ["--input", "in", "--output", "out", "--summary", "s.json"])
        assert ended.value.code == 0


def test_a_full_disk_is_one_line_without_a_traceback(tmp_path: Path, capsys: Any) -> None:
    def work(*_: Any) -> dict[str, Any]:
        raise OSError(errno.ENOSPC, "No space left on device", "out/part-00000.parquet")

    assert call(work, tmp_path) == 1
    assert capsys.readouterr().err == (
        "error: demo: disk full for out/part-00000.parquet: No space left on device; free some space and run again\n"
    )


def test_an_output_that_cannot_be_made_is_one_line_without_a_traceback(
    tmp_path: Path, monkeypatch, capsys: Any
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "params.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(outputs_command(), ["--input", "in", "--output", "/proc/x/out"])
    assert ended.value.code == 1
    assert "error: demo: /proc/x cannot be written (No such file or directory); name another folder" in (
        error := capsys.readouterr().err
    )
    assert "Traceback" not in error


def test_help_names_the_defaults_that_there_are(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command(None), ["--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--params FILE parameters (default: params.yaml)" in shown
    assert shown.count("(default: ") == 1
