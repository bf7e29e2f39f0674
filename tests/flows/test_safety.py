"""`phiforge safety`: which models are measured, in which order, and what is refused."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import safety, settings


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(settings, "project_root", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_model_beside_is_the_one_that_is_compared_with(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(subprocess, "run", lambda words, **_: asked.append(words) or SimpleNamespace(returncode=3))
    assert safety.main(["./after", "--beside", "./before", "--set", "seed=7"]) == 3
    words = asked[0]
    assert words[1:3] == ["-m", "components.alignment"]
    assert words[3:6] == ["--model", str(root / "before"), str(root / "after")]
    assert words[6:] == ["--output", str(root / "reports" / "safety.json"), "--set", "seed=7"]


def test_an_unknown_model_is_refused_before_any_work(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert safety.main(["./missing"]) == 1
    assert "./missing does not exist" in capsys.readouterr().err
