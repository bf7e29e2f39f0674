"""The panel as a person meets it: its own server, a real browser, a real Prefect server behind it."""

import base64
import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.ui.conftest import free_port, start, stop, wait_for

OPERATOR = "operator:correct-horse-battery-staple"
READER = "reader:only-for-looking-at-it"
LOCAL = re.compile(r"(https?|wss?)://([^/@]+@)?(127\.0\.0\.1|localhost)[:/]|(data|blob|about):")


@pytest.fixture(scope="module")
def panel(platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a panel that reads the platform."""
    with serving(platform.environment, tmp_path_factory.mktemp("panel")) as (port, _):
        yield port


@contextmanager
def serving(environment: dict[str, str], folder: Path) -> Iterator[tuple[int, subprocess.Popen]]:
    """A panel of its own: port and process."""
    port = free_port()
    environment = environment | {"PREFECT_HOME": str(folder / "prefect"), "PHIFORGE_AUTH": OPERATOR}
    environment |= {"PHIFORGE_READER_SECRET": READER.partition(":")[2]}
    process = start([sys.executable, "-m", "ui.serve", "--port", str(port)], environment, folder / "panel.log")
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", process)
        yield port, process
    finally:
        stop(process)
    said = (folder / "panel.log").read_text(encoding="utf-8")
    assert "Uncaught" not in said, said[-3000:]  # of a page; a tab that closes early leaves a trace of Streamlit's own


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=90_000)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        made = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield made
        made.close()


@pytest.fixture
def open_at(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page of a panel in a person's only tab, logged in; nothing outside of this machine may be asked, nor
    what the panel does not have."""
    outside: list[str] = []
    missing: list[str] = []
    opened: list[Any] = []

    def open_it(port: int, path: str = "/", auth: str = OPERATOR, width: int = 1400) -> Any:
        if opened:
            opened.pop().context.close()
        page = browser.new_context(viewport={"width": width, "height": 1000}).new_page()
        page.set_default_timeout(90_000)
        page.on("request", lambda request: LOCAL.match(request.url) or outside.append(request.url))
        page.on("response", lambda answer: answer.status != 404 or missing.append(answer.url))
        page.goto(f"http://{auth}@127.0.0.1:{port}/phiforge-login?to={quote(path, safe='')}", wait_until="commit")
        opened.append(page)
        return page

    yield open_it
    for page in opened:
        page.context.close()
    assert not outside, f"the panel asked {set(outside)}"
    assert not missing, f"the panel has no {set(missing)}"


def open_websocket(port: int, host: str, auth: str = OPERATOR) -> int:
    """HTTP status of a websocket handshake that names itself `host`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {
        "Host": host,
        "Origin": f"http://{host}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        "Authorization": f"Basic {base64.b64encode(auth.encode()).decode()}",
    }
    try:
        connection.request("GET", "/_stcore/stream", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_only_this_machines_names_are_answered(panel: int) -> None:
    """A page elsewhere that rebinds its name to 127.0.0.1 gets no session."""
    assert open_websocket(panel, f"127.0.0.1:{panel}") == 101
    assert open_websocket(panel, f"localhost:{panel}") == 101
    assert open_websocket(panel, "evil.example") == 403
    assert open_websocket(panel, f"127.0.0.1:{panel}", "operator:guess") == 403


def say(api: str, flow_run_id: str, text: str) -> None:
    """Add a line to a run's log."""
    from datetime import UTC, datetime

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import LogCreate

    line = LogCreate(name="flow", level=20, message=text, timestamp=datetime.now(UTC), flow_run_id=flow_run_id)
    with SyncPrefectClient(api) as client:
        client.create_logs([line])


@pytest.mark.browser
def test_a_person_launches_watches_and_compares(panel: int, platform, open_at: Callable[..., Any]) -> None:
    from playwright.sync_api import expect

    page = open_at(panel, "/run?run=x")  # the first page that this server is asked for
    expect(page.get_by_text("The Prefect server has no run x.")).to_be_visible()
    assert OPERATOR not in page.url
    page.get_by_role("link", name="Home").click()
    expect(page.get_by_role("heading", name="Home")).to_be_visible()
    expect(page.get_by_role("button", name="Open quiet-falcon")).to_be_visible()
    expect(page.get_by_role("progressbar").first).to_be_visible()

    page = open_at(panel, '/new_run?overrides={"training.beta1": 0.7}')
    expect(page.locator("code", has_text="--set 'training.beta1=0.7'").or_(
        page.locator("code", has_text="--set training.beta1=0.7")).first).to_be_attached()  # fmt: skip
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_text("training.beta1 0.7").first).to_be_visible()
    assert "run=" in page.url
    expect(page.get_by_text("by operator").first).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_timeout(5_000)  # two refreshes of the page: the question is still there
    page.get_by_role("button", name=re.compile("^Cancel .+")).click()
    expect(page.locator(".pf-title").get_by_text("Cancelled")).to_be_visible()

    running = platform.runs["quiet-falcon"]
    page = open_at(panel, f"/run?run={running}")
    expect(page.get_by_role("heading", name="quiet-falcon")).to_be_visible()
    expect(page.get_by_role("img", name="The pipeline")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_be_visible()
    expect(page.get_by_text("validation at step 30").first).to_be_visible()
    say(platform.api, running, "a line that arrives while the page is open <img src=http://evil.example/x.png>")
    expect(page.get_by_text("a line that arrives while the page is open <img")).to_be_visible()

    page = open_at(panel, f"/compare?runs={platform.runs['patient-heron']},{platform.runs['bright-otter']}")
    expect(page.get_by_text("large.learning_rate").first).to_be_attached()
    page = open_at(panel, "/leaderboard")
    expect(page.get_by_role("rowheader", name="large bright-otter")).to_be_visible()
    page.get_by_text("Commonsense · acc", exact=True).click()
    expect(page.get_by_role("rowheader", name="Phi-1.5")).to_be_visible()
    expect(page.get_by_role("rowheader", name="Llama-2 70B")).to_have_count(0)


@pytest.mark.browser
def test_fast_searches_change_no_parameter(panel: int, open_at: Callable[..., Any]) -> None:
    """Fifty of them, while other processes take the machine's processors."""
    from playwright.sync_api import expect

    asked = '{"training.z_loss": 0.001}'
    page = open_at(panel, f"/new_run?overrides={asked}")
    query = page.get_by_placeholder("Find a parameter in any section")
    expect(query).to_be_visible()
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        for number in range(50):
            query.fill(("tokens", "learning", "", "batch", "large")[number % 5])
            query.press("Enter")
            page.wait_for_timeout((20, 300, 5, 120)[number % 4])
    finally:
        for process in burning:
            process.kill()
            process.wait()
    query.fill("z_loss")
    query.press("Enter")
    expect(page.get_by_role("spinbutton", name="z loss")).to_have_value("0.001")
    assert json.loads(parse_qs(urlsplit(page.url).query)["overrides"][0]) == json.loads(asked)


@pytest.mark.browser
def test_a_crafted_link_is_text_and_loads_nothing(panel: int, open_at: Callable[..., Any]) -> None:
    from playwright.sync_api import expect

    picture = "![x](http://evil.example/x.png)<img src=http://evil.example/y.png>"
    for overrides in ({"training.precision": picture}, {picture: 1}, {"ingestion.sources": picture}):
        page = open_at(panel, f"/new_run?overrides={quote(json.dumps(overrides))}")
        expect(page.get_by_text("![x](http://evil.exam").first).to_be_visible()
        assert not page.locator("img[src*=evil]").count()


@pytest.mark.browser
def test_a_frozen_server_and_an_ended_panel_are_named(
    tmp_path: Path, chromium: str, open_at: Callable[..., Any]
) -> None:
    from playwright.sync_api import expect

    with socket.create_server(("127.0.0.1", 0)) as frozen:  # takes connections and never answers
        address = f"http://127.0.0.1:{frozen.getsockname()[1]}/api"
        environment = {"PREFECT_API_URL": address, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
        with serving(environment, tmp_path) as (port, process):
            page = open_at(port, "/new_run")
            expect(page.get_by_role("alert").get_by_text("did not answer within 3 s")).to_be_visible()
            expect(page.get_by_text(re.compile(r"^Prefect is away since \d\d:\d\d:\d\d"))).to_be_visible()
            expect(page.get_by_role("button", name="Start the run")).to_be_enabled()
            process.terminate()
            process.wait(30)
            expect(page.locator("#pf-away")).to_contain_text("The panel does not answer since")
            expect(page.get_by_text("connected to the internet")).to_be_hidden()


@pytest.mark.browser
def test_a_phone_shows_what_counts_first(panel: int, open_at: Callable[..., Any]) -> None:
    from playwright.sync_api import expect

    page = open_at(panel, "/new_run", width=390)
    start_button = page.get_by_role("button", name="Start the run")
    expect(start_button).to_be_visible()
    assert start_button.bounding_box()["y"] < 2_000
    page = open_at(panel, "/leaderboard", width=390)
    own = page.get_by_role("rowheader", name="large bright-otter")
    expect(own).to_be_visible()
    scores = own.locator("xpath=following-sibling::td").filter(has_text=re.compile(r"\d"))
    assert scores.first.bounding_box()["x"] < 390
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_a_reader_looks_and_starts_nothing(panel: int, platform, open_at: Callable[..., Any]) -> None:
    from playwright.sync_api import expect

    page = open_at(panel, "/new_run", READER)
    expect(page.get_by_role("button", name="Start the run")).to_be_disabled()
    expect(page.get_by_text("You are not logged in as operator")).to_be_visible()
    page = open_at(panel, f"/run?run={platform.runs['quiet-falcon']}", READER)
    expect(page.get_by_role("heading", name="quiet-falcon")).to_be_visible()
    expect(page.get_by_role("button", name="Edit and run")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
