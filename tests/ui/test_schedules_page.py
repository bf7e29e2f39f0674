"""The page of schedules: switched, changed and started by an operator; housekeeping says what it would free."""

import subprocess
from typing import Any

import pytest

from flows.client import schedules
from tests.ui.fakes import Lists, Open, html, opener, settle
from tests.ui.fakes import schedules as made_up


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch, root: Any) -> Any:
    monkeypatch.setattr(schedules, "schedules", lambda _: made_up())
    yield from opener(monkeypatch, root)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the server was asked for."""
    asked: list[tuple[Any, ...]] = []
    for name in ("switch", "change", "start"):
        monkeypatch.setattr(
            schedules,
            name,
            lambda _, schedule, *rest, name=name: asked.append((name, schedule.id, *rest)) or ("id", "run"),
        )
    return asked


def test_each_schedule_says_when_it_is_due(open_page: Open) -> None:
    page = html(open_page("schedules", Lists()))
    for words in ("pipeline · nightly", "30 2 * * *", "Europe/Berlin", "would be next", "next:", ", 02:30; "):
        assert words in page


def test_an_operator_switches_changes_and_starts(open_page: Open, done: list[tuple[Any, ...]]) -> None:
    at = open_page("schedules", Lists())
    settle(at.toggle(key="on-s3-True").set_value(False).run())
    at = open_page("schedules", Lists())
    cron = at.text_input(key="cron-s3-30 2 * * *")
    at = settle(cron.set_value("half past two").run())
    assert any("not a cron expression" in error.value for error in at.error)
    at = open_page("schedules", Lists())
    at = settle(at.text_input(key="cron-s3-30 2 * * *").set_value("0 4 * * *").run())
    settle(at.button(key="save-s3").click().run())
    at = settle(open_page("schedules", Lists()).button(key="start-s2").click().run())
    assert done == [("switch", "s3", False), ("change", "s3", "0 4 * * *", "Europe/Berlin"), ("start", "s2")]


def test_somebody_else_only_views(open_page: Open) -> None:
    at = open_page("schedules", Lists(), role="")
    assert not at.toggle
    assert [button.key for button in at.button if button.key] == ["would_free"]


def test_housekeeping_counts_before_it_removes(
    open_page: Open, done: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = subprocess.CompletedProcess([], 0, "Would free 12.0 MB:\n  3 workspaces", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: said)
    at = open_page("schedules", Lists())
    assert "free_sure" not in {button.key for button in at.button}
    at = settle(at.button(key="would_free").click().run())
    assert any("Would free 12.0 MB" in block.value for block in at.code)
    settle(at.button(key="free_sure").click().run())
    assert done == [("start", "s2")]
