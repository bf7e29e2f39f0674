"""`phiforge`: each command reaches the code of its make target, from every folder of the project, and help stays cheap."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from components.errors import StepError
from flows import champion, command, run, settings, step
from flows.command import COMMANDS, check_folder, main
from flows.completion import tree
from flows.definitions import DEFINITIONS, PIPELINE

ROOT = Path(__file__).parents[2]
TARGETS = dict(
    re.findall(r"^([a-z]+): .*\n\t@\$\(PY\) -m (flows\.\S+(?: [a-z-]+)?)", (ROOT / "Makefile").read_text(), re.M)
)
HEAVY = {"dvc", "mlflow", "pandas", "prefect", "pydantic", "rich", "torch"}


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() & TARGETS))
def test_a_command_is_what_the_make_target_of_that_name_calls(name: str) -> None:
    entry = COMMANDS[name]
    module, _, flow = TARGETS[name].partition(" ")
    assert entry.module.removesuffix(".__main__") == module
    if module == "flows.run":
        assert entry.options["flow"] == (flow or "pipeline")


def test_every_make_target_for_people_has_a_command() -> None:
    assert TARGETS.keys() - COMMANDS.keys() == {"docs", "secrets"}  # for developers, and for docker compose on a server


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_hands_its_words_over_and_returns_the_status(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    module = import_module(COMMANDS[name].module)
    monkeypatch.setattr(module, "main", lambda argv, prog, **options: called.append((argv, prog, options)) or 7)
    monkeypatch.chdir(ROOT / "docs")
    assert main([name, "--a", "b c"]) == 7
    assert called == [(["--a", "b c"], f"phiforge {name}", COMMANDS[name].options)]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself_under_its_own_name(name: str, capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: phiforge {name} ")


def test_make_run_explains_itself(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        run.main(["--help"])
    assert ended.value.code == 0
    assert f"(default: {PIPELINE.flow})" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("flow", DEFINITIONS)
def test_a_run_takes_texts_and_the_options_of_its_module(flow: str) -> None:
    words = ["--set", "seed=2", "--size", "1M"]
    ours = vars(run.parser(flow=flow).parse_intermixed_args(["my notes", *words, "more.txt"]))
    theirs = vars(run.parser().parse_intermixed_args([flow, *words, "--text", "my notes", "--text", "more.txt"]))
    assert ours.pop("texts") + ours.pop("text") == theirs.pop("texts") + theirs.pop("text") == ["my notes", "more.txt"]
    assert ours == theirs


@pytest.mark.parametrize("words", [["promote", "3", "--reason", "better"], ["rollback", "--reason", "worse"]])
def test_promotion_by_hand_takes_the_options_of_its_module(words: list[str]) -> None:
    assert champion.parser(command=words[0]).parse_args(words[1:]) == champion.parser().parse_args(words)


def test_a_plan_runs_nothing(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a plan that works")

    monkeypatch.setattr(run, "_run", fail)
    monkeypatch.setattr(run, "all_cached", fail)
    for name, text in (("my notes", "The river is cold in spring.\n"), ("more", "The mill stands at its bank.\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(text * 4000)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(settings.HOME, str(ROOT))
    assert main(["plan", "my notes", "--size", "0.3M", "more"]) == 0
    said = capsys.readouterr().out
    assert "found: 2 files" in said
    assert "sizes: size 0.3M" in said
    assert re.search(r"^curate +runs +.* s ", said, re.M)
    assert re.search(r"^time: +\d", said, re.M)


def test_a_plan_as_json_imports_nothing_heavy() -> None:
    """It asks for another machine, too: prices, and the error on published runs."""
    code = """
import sys
from flows.command import main
status = main(["plan", "--json", "--on", "8xh200", "--set", "small.tokens=2048000"])
sys.exit(status or ", ".join({"torch", "prefect", "mlflow", "streamlit", "pandas", "scipy"} & set(sys.modules)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    trained = {stage["name"]: stage for stage in plan["stages"] if stage["flops"]}
    assert list(trained) == ["train_small", "train_large", "train_control"]
    assert plan["models"][0]["tokens"] == 2_048_000
    assert plan["dollars"] > 0
    assert plan["machine"]["devices"] == 8
    assert {run["name"] for run in plan["published"]} > {"phi-2", "phi-1.5", "tinyllama"}


def test_help_imports_nothing_heavy() -> None:
    """What makes it quick; a measured time would say more about the machine."""
    code = f"""
import sys
from flows.command import main
try:
    main([])
except SystemExit:
    sys.exit(", ".join({HEAVY} & set(sys.modules)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, entry in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(entry.help)}$", done.stdout, re.M)


def test_the_version_is_that_of_pyproject(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "version", {"phiforge": "1.2.3"}.get)
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, "phiforge 1.2.3\n")


def test_an_unknown_command_is_refused_with_those_that_there_are(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["walk"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "'walk'" in said
    assert all(name in said for name in COMMANDS)


def test_a_folder_outside_the_project_is_refused_unless_the_project_is_named(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "my project"
    (project / "docs").mkdir(parents=True)
    monkeypatch.delenv(settings.HOME, raising=False)
    monkeypatch.setattr(settings, "project_root", lambda: project)
    for inside in (project, project / "docs"):
        check_folder(inside)
    with pytest.raises(StepError, match=rf"started in {tmp_path}; expected {project}"):
        check_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["plan"]) == 1
    assert capsys.readouterr().err.startswith("error: phiforge: started in ")
    monkeypatch.setenv(settings.HOME, str(project))
    check_folder(tmp_path)


def test_a_step_is_the_command_of_components_in_the_projects_folder() -> None:
    ways = [["-m", "flows.command", "step", "curation"], ["-m", "components.curation"]]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for words in (["--help"], ["--documents", "docs", "--output", "data", "--ledger", "a", "--set", "sed=1"]):
        said = [
            subprocess.run([sys.executable, *way, *words], cwd=place, env=environment, capture_output=True, check=False)
            for way, place in zip(ways, (ROOT / "docs", ROOT), strict=True)
        ]
        assert len({(done.returncode, done.stdout, done.stderr) for done in said}) == 1
        assert said[0].stdout or said[0].stderr


def test_every_step_is_listed_with_what_it_does() -> None:
    listed = step.steps()
    assert listed.keys() == {path.parent.name for path in (ROOT / "components").glob("*/__main__.py")}
    assert all(len(told) > 10 and told[0].isupper() and not told.endswith(".") for told in listed.values()), listed


@pytest.mark.parametrize("name", ["curaton", "files", "../flows", "curation.", "curation.nothing", "", "."])
def test_what_is_not_a_step_is_refused(name: str, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step.os, "execve", lambda *_: pytest.fail("it was started"))
    assert step.main([name]) == 1
    assert capsys.readouterr().err.startswith(f"error: step {name!r} does not exist; expected ")
    step.check_name("curation.why")


@cache
def script_of(shell: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["completion", shell]) == 0
    return printed.getvalue()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("pla", "plan"),
        ("run --siz", "--size"),
        ("run --size ", "auto 0.3M 0.6M 1M 3M 10M"),
        ("run Makef", "Makefile"),
        ("step cur", "curation"),
        ("promote --rea", "--reason"),
        ("completion ", "bash zsh"),
    ],
)
def test_bash_completes_commands_options_values_and_files(typed: str, offered: str) -> None:
    words = ["phiforge", *typed.split(" ")]
    ask = f'COMP_WORDS=({" ".join(map(repr, words))}); COMP_CWORD={len(words) - 1}; _shtab_phiforge; echo "${{COMPREPLY[*]}}"'
    told = subprocess.run(
        ["bash", "-c", f"{script_of('bash')}\n{ask}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == offered


def test_zsh_gets_every_command() -> None:
    script = script_of("zsh")
    assert script.startswith("#compdef phiforge")
    assert all(f"{name}:'{entry.help}'" in script for name, entry in COMMANDS.items())


def test_completion_knows_the_options_of_every_command() -> None:
    [commands] = [action.choices for action in tree()._actions if action.choices]
    for name, entry in COMMANDS.items():
        own = entry.load().parser(**entry.options)
        assert set(own._option_string_actions) - {"-h", "--help"} <= set(commands[name]._option_string_actions)
