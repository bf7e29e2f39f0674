"""The panel as a person meets it: its own server, a real browser, a real Prefect server behind it."""

import base64
import http.client
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

OPERATOR = "operator:correct-horse-battery-staple"
READER = "reader:only-for-looking-at-it"
LOCAL = re.compile(r"(https?|wss?)://([^/@]+@)?(127\.0\.0\.1|localhost)[:/]|(data|blob|about):")


@pytest.fixture(scope="module")
def panel(platform, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[int]:
    """Port of a panel that reads the platform."""
    tools = sys.modules[type(platform).__module__]
    folder = tmp_path_factory.mktemp("panel")
    port = tools.free_port()
    command = [sys.executable, "-m", "ui.serve", "--port", str(port)]
    environment = platform.environment | {"PREFECT_HOME": str(folder / "prefect")}
    environment |= {"PHIFORGE_AUTH": OPERATOR, "PHIFORGE_READER_SECRET": READER.partition(":")[2]}
    process = tools.start(command, environment, folder / "panel.log")
    try:
        tools.wait_for(f"http://127.0.0.1:{port}/_stcore/health", process)
        yield port
    finally:
        tools.stop(process)
    said = Path(folder / "panel.log").read_text(encoding="utf-8")
    assert "Traceback" not in said, said[-3000:]


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
def test_a_person_changes_launches_watches_and_compares(panel: int, platform, chromium: str) -> None:
    from playwright.sync_api import expect, sync_playwright

    outside: list[str] = []
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(60_000)
        page.on("request", lambda request: LOCAL.match(request.url) or outside.append(request.url))

        page.goto(f"http://{OPERATOR}@127.0.0.1:{panel}/phiforge-login")
        expect(page.get_by_role("heading", name="Launch")).to_be_visible()
        assert OPERATOR not in page.url
        beta = page.get_by_role("spinbutton", name="beta1")
        expect(beta).to_have_value("0.9")
        beta.fill("0.8")
        beta.press("Enter")
        expect(page.locator("[class*='st-key-pf-field-changed-training-beta1']")).to_be_visible()
        expect(page.get_by_text("1 changed")).to_be_visible()
        expect(page.locator("code", has_text="overrides='{\"training.beta1\": 0.8}'")).to_be_visible()

        expect(page).to_have_url(re.compile("overrides="))
        page.reload()  # nothing is lost
        expect(page.get_by_role("spinbutton", name="beta1")).to_have_value("0.8")
        beta = page.get_by_role("spinbutton", name="beta1")
        beta.fill("1.5")
        beta.press("Enter")
        expect(page.get_by_text("training.beta1 = 1.5")).to_be_visible()
        expect(page.get_by_role("button", name="Start the run")).to_be_disabled()
        beta.fill("0.7")
        beta.press("Enter")
        expect(page.get_by_role("button", name="Start the run")).to_be_enabled()
        page.get_by_role("button", name="Start the run").click()

        expect(page.get_by_text("training.beta1 0.7").first).to_be_visible()
        assert "run=" in page.url
        page.get_by_role("button", name="Cancel").click()
        page.wait_for_timeout(5_000)  # two refreshes of the page: the question is still there
        page.get_by_role("button", name=re.compile("^Cancel .+")).click()
        expect(page.locator(".pf-title").get_by_text("Cancelled")).to_be_visible()
        running = platform.runs["quiet-falcon"]
        page.get_by_role("button", name="Open quiet-falcon").click()
        expect(page.get_by_role("heading", name="quiet-falcon")).to_be_visible()
        expect(page).to_have_url(re.compile(running))
        expect(page.get_by_role("progressbar").first).to_be_visible()
        expect(page.locator(".js-plotly-plot")).to_be_visible()
        expect(page.get_by_text("validation at step 30").first).to_be_visible()
        say(platform.api, running, "a line that arrives while the page is open")
        expect(page.get_by_text("a line that arrives while the page is open")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="quiet-falcon")).to_be_visible()

        page.get_by_role("link", name="Compare").click()
        expect(page.get_by_role("rowheader", name="large.learning_rate")).to_be_visible()
        expect(page.locator(".js-plotly-plot")).to_be_visible()
        expect(page.get_by_role("rowheader", name="logic")).to_be_visible()

        page.get_by_role("link", name="Leaderboard").click()
        expect(page.get_by_role("rowheader", name="large bright-otter")).to_be_visible()
        expect(page.get_by_role("rowheader", name="Llama-2 70B")).to_be_visible()
        page.get_by_text("Commonsense · acc", exact=True).click()
        expect(page.get_by_role("rowheader", name="Phi-1.5")).to_be_visible()
        expect(page.get_by_role("rowheader", name="Llama-2 70B")).to_have_count(0)
        browser.close()
    assert not outside, f"the panel asked {set(outside)}"


@pytest.mark.browser
def test_a_reader_looks_and_starts_nothing(panel: int, platform, chromium: str) -> None:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(f"http://{READER}@127.0.0.1:{panel}/phiforge-login")
        expect(page.get_by_role("button", name="Start the run")).to_be_disabled()
        expect(page.get_by_text("You are not logged in as operator")).to_be_visible()
        page.get_by_role("link", name="Runs").click()
        page.get_by_role("button", name="Open quiet-falcon").click()
        expect(page.get_by_role("heading", name="quiet-falcon")).to_be_visible()
        expect(page.get_by_role("button", name="Launch again")).to_be_visible()
        expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
        browser.close()
