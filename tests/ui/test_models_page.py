"""The page of models: every version with its decisions, and the acts of an operator."""

import subprocess
from typing import Any

import pytest

from flows.client import access
from flows.client.registry import State
from tests.ui.fakes import Lists, Open, Versions, html, opener, settle
from ui import acts, reads

pytestmark = pytest.mark.usefixtures("versions")


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch, root: Any) -> Any:
    yield from opener(monkeypatch, root)


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "registry", Versions)


def test_versions_have_their_decisions_and_gates(open_page: Open) -> None:
    at = open_page("models", Lists())
    page = html(at)
    assert at.selectbox(key="version").value == "2", "the champion comes first"
    for words in (
        "champion</span>",
        "not promoted",
        "champion before",
        "loss -0.250 [-0.300, -0.200]",
        "ToxiGen -0.002",
    ):
        assert words in page
    assert page.index("Version 3") < page.index("Version 1")
    at = settle(at.selectbox(key="version").select("3").run())
    assert "Version 3 was not promoted" in html(at)


@pytest.mark.parametrize(
    ("version", "key", "words"), [("3", "promote", ["promote", "3"]), ("2", "rollback", ["rollback"])]
)
def test_an_operator_promotes_and_rolls_back_with_a_reason(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, version: str, key: str, words: list[str]
) -> None:
    done: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess:
        done.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(acts.subprocess, "run", run)
    at = settle(open_page("models", Lists()).selectbox(key="version").select(version).run())
    other = {"promote", "rollback"} - {key}
    keys = {button.key for button in at.button}
    assert f"{key}_sure" in keys
    assert not {f"{name}_sure" for name in other} & keys
    assert at.button(key=f"{key}_sure").disabled, "a reason is asked for"
    settle(at.text_input(key=f"{key}_reason").set_value("reads better").run())
    settle(at.button(key=f"{key}_sure").click().run())
    assert done[0][1:] == ["-m", "flows.champion", *words, "--reason", f"reads better ({access.OPERATOR})"]


def test_somebody_else_only_views(open_page: Open) -> None:
    at = open_page("models", Lists(), role="")
    assert not [button.key for button in at.button if button.key and button.key.endswith("_sure")]


def test_a_project_without_models_says_how_to_get_one(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Versions, "state", lambda *_: State())
    assert "No models yet" in html(open_page("models", Lists()))


def test_the_trace_is_what_the_command_prints(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    at = open_page("models", Lists())
    (button,) = [button for button in at.button if button.label == "Trace it"]
    at = settle(button.click().run())
    assert any("error:" in block.value for block in at.code), "nothing is registered in this project"
