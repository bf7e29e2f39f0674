"""The panel's server and the parts that its pages share, without a browser."""

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from flows.client import Refused, StageRun, Unavailable, acts, pipeline_graph
from ui import graph, reads, serve, text, timing
from ui import health as health_module
from ui.health import Health


def answer(app: Any, path: str, accept: str = "text/html") -> tuple[int, dict[bytes, list[bytes]], str]:
    """Status, headers and body of a GET."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"accept", accept.encode())]}
    asyncio.run(app(scope, None, send))
    headers: dict[bytes, list[bytes]] = {}
    for name, value in sent[0]["headers"]:
        headers.setdefault(name, []).append(value)
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]).decode()


async def streamlit(scope: Any, receive: Any, send: Any) -> None:
    """Stands in for Streamlit: its page, in two parts."""
    headers = [(b"content-type", b"text/html"), (b"content-length", b"49"), (b"etag", b"x")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'<body><div id="ro', "more_body": True})
    await send({"type": "http.response.body", "body": b'ot"></div></body>'})


def test_the_page_shows_its_outline_before_any_script_runs() -> None:
    status, headers, body = answer(serve.Started(streamlit), "/run")
    assert status == 200
    assert '<body><div id="root"><div class="pf-start"' in body
    assert 'id="pf-away"' in body
    assert headers[b"content-length"] == [str(len(body.encode())).encode()]
    assert b"etag" not in headers
    assert answer(serve.Started(streamlit), "/app.js", "*/*")[2] == '<body><div id="root"></div></body>'


def test_streamlits_own_page_has_what_the_outline_is_put_into() -> None:
    import streamlit as package

    page = (Path(package.__file__).parent / "static" / "index.html").read_bytes()
    assert all(page.count(mark) == 1 for mark in serve.Started(streamlit).parts)


RECORD = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("path", "asked", "status"),
    [
        (f"/phiforge-report/{RECORD}/report/index.html", (RECORD, "report/index.html"), 200),
        (f"/phiforge-report/{RECORD}/validation/raw/index.html", (RECORD, "validation/raw/index.html"), 200),
        (f"/phiforge-report/{RECORD}/../../etc/index.html", None, 200),
        (f"/phiforge-report/{RECORD}/report/model_card.md", None, 200),
        ("/phiforge-report/x/report/index.html", None, 200),
    ],
)
def test_stored_pages_open_without_script(
    monkeypatch: pytest.MonkeyPatch, path: str, asked: tuple[str, str] | None, status: int
) -> None:
    questions: list[tuple[str, str]] = []

    def report(record: str, name: str) -> str:
        questions.append((record, name))
        return "<script>alert(1)</script>"

    monkeypatch.setattr(reads, "report", report)
    found, headers, _ = answer(serve.Reports(streamlit), path)
    assert (questions, found) == ([asked] if asked else [], status)
    if asked:
        (policy,) = headers[b"content-security-policy"]
        assert policy.startswith(b"sandbox; default-src 'none'")
        assert b"script" not in policy


def test_a_stored_page_that_is_missing_or_away_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "report", lambda *_: "")
    path = f"/phiforge-report/{RECORD}/report/index.html"
    assert answer(serve.Reports(streamlit), path)[0] == 404

    def away(*_: str) -> str:
        raise StepError("MLflow <b>at x</b> does not answer")

    monkeypatch.setattr(reads, "report", away)
    assert "MLflow &lt;b&gt;at x&lt;/b&gt; does not answer" in answer(serve.Reports(streamlit), path)[2]


def test_a_service_that_is_away_is_asked_in_the_background_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "EVERY_S", 0.05)
    back, asked = threading.Event(), []

    def question() -> str:
        asked.append(threading.current_thread().name)
        if not back.is_set():
            raise Unavailable("nobody there")
        return "here"

    health = Health({"Prefect": question})
    for _ in range(50):
        with pytest.raises(Unavailable, match="nobody there"):
            health.ask("Prefect", question)
    assert asked.count("MainThread") == 1
    assert health.away["Prefect"].since <= datetime.now(UTC)
    back.set()
    deadline = time.monotonic() + 30
    while health.away and time.monotonic() < deadline:
        time.sleep(0.02)
    assert health.ask("Prefect", question) == "here"


def test_a_refusal_is_no_absence() -> None:
    def refuse() -> None:
        raise Refused("no such deployment")

    health = Health({"Prefect": refuse})
    with pytest.raises(Refused):
        health.ask("Prefect", refuse)
    assert not health.away


@pytest.mark.parametrize(
    "given", ["a\x1b[31mred\x1b[0m", "a\u202eb", "\x00", "<script>alert(1)</script>", "![x](http://e/y)"]
)
def test_hostile_text_is_shown_as_text(given: str) -> None:
    for shown in (text.html(given), text.plain(given)):
        assert not set("\x1b\u202e\x00") & set(shown)
        assert "<" not in shown
    assert "![" not in text.plain(given).replace(r"\!\[", "").replace(r"\![", "")


def test_a_line_of_ten_megabytes_is_cut() -> None:
    started = time.process_time()
    shown = text.html("<" * 10_000_000)
    assert len(shown) < 20_000
    assert " … " in shown
    assert time.process_time() - started < 2


@given(st.lists(st.sampled_from(["COMPLETED", "RUNNING", ""]), min_size=1, max_size=9))
def test_time_left_is_known_only_if_every_remaining_stage_is(kinds: list[str]) -> None:
    stages = [StageRun(str(i), kind=kind, seconds=30.0 if kind else 0.0) for i, kind in enumerate(kinds)]
    usual = {stage.name: 100.0 for stage in stages}
    assert timing.standing([], {}, usual).left is None, "no stage is known yet"
    at = timing.standing(stages, {}, usual)
    assert at.left == 70 * kinds.count("RUNNING") + 100 * kinds.count("")
    assert (at.done, at.total) == (kinds.count("COMPLETED"), len(kinds))
    if kinds[0] != "COMPLETED":
        assert timing.standing(stages, {}, {k: v for k, v in usual.items() if k != "0"}).left is None


def test_a_running_stage_is_judged_by_its_own_progress() -> None:
    stage = StageRun("train", kind="RUNNING", seconds=30.0)
    assert timing.remaining(stage, {"done": 10, "total": 40}, 9.0) == 90
    assert timing.remaining(stage, {"done": 0, "total": 40}, None) is None


def test_the_graph_shows_every_stage_below_what_it_needs(root: Path) -> None:
    needs = {name: before for name, (_, before) in pipeline_graph(root).items()}
    depth = graph.depths(needs)
    assert all(depth[before] < depth[stage] for stage, befores in needs.items() for before in befores)
    assert sorted(stage for row in graph.rows_of(needs) for stage in row) == sorted(needs)
    drawn = graph.draw(needs, [StageRun("ingest", "<b>", "RUNNING", seconds=3.0)], {}, True)
    assert drawn.count("<b>") == len(needs)
    assert "<svg" not in drawn, "Streamlit takes it out of a page's HTML"
    assert "ingest: &lt;b&gt; (3.0 s)" in drawn
    needed = graph.direct(["a", "b"], {"a": [], "b": ["a"]})
    assert needed == ["b"], "a line to b is enough, since b needs a"


def test_acts_are_kept_in_order_and_other_lines_are_left_out(tmp_path: Path) -> None:
    for number in range(3):
        acts.record(tmp_path, "operator", "launch", str(number), 'a "name"\n{\u2028')
    file = acts.state_folder(tmp_path) / acts.FILE
    assert file.stat().st_mode & 0o077 == 0
    with open(file, "a") as lines:
        lines.write('{"at": "yesterday", "by": "x", "what": "y", "of": "z"}\nnot JSON\n[1]\n')
    found = [*acts.latest(tmp_path)]
    assert [act.of for act in found] == ["2", "1", "0"]
    assert found[0].text == 'a "name"\n{\u2028'
    assert datetime.now(UTC) - found[0].time < timedelta(minutes=5)
