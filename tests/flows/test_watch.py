"""Runs that start when text changes: the rule, a check's cost, and real files under the real platform."""

import itertools
import json
import os
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from flows import processes, settings, up
from flows.client import FlowRun, Launch, Unavailable
from flows.watch import Seen, Watch, step


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_a_run_starts_for_each_list_that_stays_and_was_not_run_for(found: list[str]) -> None:
    seen, started = Seen(), []
    for listing in found:
        seen = step(seen, listing, started.append)
    done, expected = found[:1], 0
    for before, now in itertools.pairwise(found):
        if before == now != done[0]:
            done, expected = [now], expected + 1
    assert len(started) == expected == seen.started
    assert len(set(started)) == expected  # each key is new, also for a list that was there before


def test_a_run_that_could_not_be_started_is_tried_again() -> None:
    def refuse(key: str) -> None:
        raise Unavailable("no server")

    keys: list[str] = []
    seen = step(Seen("a", "b"), "b", keys.append)
    with pytest.raises(Unavailable):
        step(Seen("a", "b"), "b", refuse)
    assert step(Seen("a", "b"), "b", keys.append) == seen == Seen("b", "", 1)
    assert keys[0] == keys[1]  # killed after the start: the server gives the same run again


class NoRuns:
    """Fails the test that has it start a run."""

    def recent(self) -> list:
        raise AssertionError("a run would have been started")


class FakeRuns:
    """Runs of a server: one that waits with these parameters, and those that are launched."""

    def __init__(self, **waiting: Any) -> None:
        self.waiting, self.keys = waiting, []

    def recent(self) -> list[FlowRun]:
        given = {"overrides": {}, "profile": None, "kind": "SCHEDULED"} | self.waiting
        return [FlowRun("1", "early-bird", "Scheduled", message="", created=None, started=None, seconds=0, **given)]

    def launch(self, wanted: Launch, key: str) -> FlowRun:
        assert wanted == Launch()
        self.keys.append(key)
        return self.recent()[0]


@pytest.mark.parametrize(
    ("waiting", "launched"),
    [
        ({}, []),
        ({"kind": "PENDING"}, []),
        ({"kind": "RUNNING"}, ["k"]),  # it may have listed the sources before they changed
        ({"overrides": {"seed": 2}}, ["k"]),
        ({"profile": "laptop"}, ["k"]),
        ({"text": "notes"}, ["k"]),
        ({"flow": "growth-study"}, ["k"]),
    ],
)
def test_a_run_that_waits_reads_the_new_text_too(project: Path, waiting: dict, launched: list[str]) -> None:
    runs = FakeRuns(**waiting)
    Watch(project, runs).start("k")
    assert runs.keys == launched


def test_another_flow_can_be_started(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIFORGE_WATCH_FLOW", "corpus")
    started = []

    class Started(FakeRuns):
        def launch(self, wanted: Launch, key: str) -> FlowRun:
            started.append(wanted.flow)
            return self.recent()[0]

    Watch(project, Started(), settings.watch_flow()).start("k")  # the run of the pipeline that waits is another matter
    Watch(project, Started(flow="corpus"), settings.watch_flow()).start("k")
    assert started == ["corpus"]
    monkeypatch.setenv("PHIFORGE_WATCH_FLOW", "night")
    with pytest.raises(StepError, match=r"PHIFORGE_WATCH_FLOW: 'night' was given; expected one of pipeline, corpus"):
        settings.watch_flow()


@pytest.fixture
def texts(project: Path) -> Path:
    """The toy project with a folder of text as its source."""
    params = project / "params.yaml"
    params.write_text(params.read_text() + "ingestion:\n  sources: [{path: trace/texts}]\n")
    folder = project / "trace" / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("one text")
    return folder


def test_what_a_run_would_not_read_anew_is_not_a_change(project: Path, texts: Path) -> None:
    watch = Watch(project, NoRuns())
    first = watch.listing()
    os.utime(texts / "a.txt")
    (texts / ".b.txt.part").write_text("a download that is not done")
    assert watch.listing() == first
    (texts / "b.txt").write_text("another text")
    assert watch.listing() != first
    shutil.rmtree(texts)
    with pytest.raises(StepError, match=r"the sources could not be listed: .*'trace/texts' does not exist"):
        watch.check()


@pytest.mark.slow
def test_a_check_that_finds_nothing_costs_less_than_three_cpu_seconds(project: Path, texts: Path) -> None:
    for number in range(10_000):
        file = texts / f"{number % 100:02}" / f"{number}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"text {number} " * 50)
    watch = Watch(project, NoRuns())
    watch.check()
    before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    watch.check()
    after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cost = sum(a.ru_utime + a.ru_stime - b.ru_utime - b.ru_stime for a, b in zip(after, before, strict=True))
    print(f"{cost:.2f} CPU s for 10,000 files")
    assert cost < 3


@pytest.mark.slow
def test_changed_text_starts_one_run(running, toy, tmp_path):
    root = running.make_project(toy, tmp_path / "my project")
    texts = root / "trace" / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("one text")
    params = root / "params.yaml"
    params.write_text(params.read_text() + "ingestion:\n  sources: [{path: trace/texts}]\n")
    seen = root / ".phiforge" / "watch" / "seen.json"
    every = {settings.WATCH: "0.05"}

    def started() -> int:
        return json.loads(seen.read_text())["started"] if seen.exists() else 0

    def count(platform: Any) -> int:
        with platform.operator() as client:
            return client.post("/flow_runs/count", json={}).json()

    with running.platform(root, panel=False, **every) as platform:
        assert processes.wait_until(seen.exists, 60)
        with open(texts / "b.txt", "w") as growing:
            for _ in range(60):  # slower than the checks, faster than two of them
                growing.write("more " * 100)
                growing.flush()
                time.sleep(0.5)
        assert count(platform) == 0
        assert processes.wait_until(lambda: started() == 1, 120)
        with platform.operator() as client:
            [run] = client.post("/flow_runs/filter", json={}).json()
        assert run["parameters"] == {}
        assert platform.finished(run["id"])["type"] == "COMPLETED"

        with platform.operator() as client:  # while a run waits for the pool, a change starts no other
            client.patch("/work_pools/local", json={"is_paused": True}).raise_for_status()
            waiting = platform.launch()
            (texts / "c.txt").write_text("a third text")
            assert processes.wait_until(lambda: started() == 2, 120)
            assert "is already waiting" in settings.log_file(root, "watch").read_text()
            client.patch("/work_pools/local", json={"is_paused": False}).raise_for_status()
        assert platform.finished(waiting)["type"] == "COMPLETED"
        assert count(platform) == 2
    (texts / "a.txt").unlink()  # while nothing looks
    with running.platform(root, panel=False, **every) as platform:
        assert processes.wait_until(lambda: started() == 3, 120)
        assert count(platform) == 3


@pytest.mark.parametrize("given", ["often", "-1", "inf", "nan"])
def test_minutes_that_are_none_are_refused(project: Path, monkeypatch: pytest.MonkeyPatch, capfd, given: str) -> None:
    monkeypatch.setenv(settings.WATCH, given)
    assert up.main([]) == 1
    assert f"PHIFORGE_WATCH_MINUTES: '{given}' was given; expected minutes" in capfd.readouterr().err


def test_nothing_looks_unless_asked(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def names() -> set[str]:
        ports = {"prefect": 1, "mlflow": 2}
        return {service.name for service in up.services(project, ports, "http://127.0.0.1:1/api", "a:b", 2)}

    monkeypatch.delenv(settings.WATCH, raising=False)
    assert names() == {"prefect", "mlflow", "worker"}
    monkeypatch.setenv(settings.WATCH, "10")
    assert names() == {"prefect", "mlflow", "worker", "watch"}
