"""Runs, Compare and New run in a real browser, on a made-up history without servers."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest

from tests.ui.conftest import free_port, start, stop, wait_for

LOCAL = re.compile(r"(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|(data|blob|about):")
COMPARE = "compare?runs=id-baseline,id-baseline-seed-2,id-baseline-seed-3,id-wider,id-wider-seed-2,id-wider-seed-3"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log, port = tmp_path_factory.mktemp("app") / "app.log", free_port()
    app = str(Path(__file__).with_name("fake_app.py"))
    process = start([sys.executable, app, str(port)], {}, log)
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)
    assert "Uncaught" not in (said := log.read_text(encoding="utf-8")), said[-3000:]


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        made = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield made
        made.close()


def opened(browser: Any, address: str, width: int = 1280) -> Any:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(90_000)
    page.on("request", lambda request: LOCAL.match(request.url) or pytest.fail(f"asked {request.url}"))
    page.goto(address)
    page.locator("h1").first.wait_for()
    return page


@pytest.mark.slow  # it clicks places of a canvas between two refreshes, which a busy machine may miss
@pytest.mark.browser
def test_runs_are_ticked_compared_and_opened(browser: Any, address: str) -> None:
    page = opened(browser, f"{address}/runs")
    table = page.get_by_test_id("stDataFrame")
    table.wait_for()
    for row in (2, 6):  # wider, seed 3; baseline, seed 3
        table.click(position={"x": 16, "y": 33 * row + 16})
        page.get_by_text(f"{row // 2 if row == 2 else 2} ticked").wait_for()
    page.wait_for_timeout(7_000)  # two refreshes: the ticks stay
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("rowheader", name="training.beta2").wait_for()
    assert "id-wider-seed-3" in page.url
    page.goto(f"{address}/runs")
    page.get_by_test_id("stDataFrame").click(position={"x": 90, "y": 33 + 16})
    page.get_by_role("heading", name="quiet-falcon").wait_for()
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("path", ["runs", COMPARE, "new_run", "exam", "inside", "tune"])
def test_a_phone_shows_no_page_wider_than_itself(browser: Any, address: str, path: str) -> None:
    page = opened(browser, f"{address}/{path}", width=390)
    page.get_by_role("rowheader", name="large").first.wait_for() if "compare" in path else page.wait_for_timeout(2_000)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    if path == "new_run":
        page.get_by_role("button", name="Start the run").wait_for()
        box = page.get_by_role("button", name="Start the run").bounding_box()
        assert 0 <= box["y"] <= 900 - box["height"], "the button is in view without scrolling"
    page.close()


@pytest.mark.browser
def test_two_people_chat_and_an_answer_goes_on_from_another_token(browser: Any, address: str) -> None:
    pages = [opened(browser, f"{address}/chat?beside=small"), opened(browser, f"{address}/chat", width=390)]
    for page, prompt in zip(pages, ("one two <img src=x>", "three four"), strict=True):
        page.get_by_label("Text").fill(prompt)
        page.get_by_label("Text").press("Tab")
        page.get_by_role("button", name="Continue").click()
    for page, words in zip(pages, (" src=x> <img two one", " four three"), strict=True):
        answer = page.get_by_role("group", name="Answer of large")
        answer.wait_for()
        assert answer.inner_text() == words.lstrip() or answer.inner_text() == words
        assert page.locator("img[src=x]").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page = pages[0]
    assert page.get_by_role("group", name="Answer of small").is_visible()
    page.get_by_role("group", name="Answer of large").get_by_role("button").nth(1).focus()
    page.get_by_text("Go on from here with").wait_for()
    page.get_by_role("button", name=re.compile("or <b>")).click()
    page.get_by_role("group", name="Answer of large").get_by_text("or <b>").wait_for()
    page.get_by_text("Training data: 1 passage").first.click()
    page.get_by_text("MIT").first.wait_for()
    for page in pages:
        page.close()


@pytest.mark.browser
def test_a_switch_changes_one_model_and_hostile_tokens_stay_text(browser: Any, address: str) -> None:
    page = opened(browser, f"{address}/inside?look=one+%3Cimg+src=x%3E")
    page.get_by_role("button", name="1", exact=True).click()
    page.get_by_role("rowheader", name="large, switched").wait_for()
    page.get_by_text("off␣1␣0␣False").wait_for()
    assert page.get_by_role("rowheader", name="grown").is_visible()
    page.get_by_role("button", name="Ask 20 questions of each family").click()
    page.get_by_role("rowheader", name="planets").wait_for()
    assert page.locator("img[src=x]").count() == 0
    page.close()


PAGES = (
    "",
    "new_run",
    "runs",
    COMPARE,
    "data",
    "data?show=Documents",
    "models",
    "leaderboard",
    "schedules",
    "chat",
    "exam",
    "inside",
    "tune",
)
SCREENS = ((1280, "light"), (390, "dark"), (1280, "dark"), (390, "light"))


EACH_ONCE = [(path, *SCREENS[place % 4]) for place, path in enumerate(PAGES)]
EVERY = [(path, *screen) for path in PAGES for screen in SCREENS]


@pytest.mark.browser
@pytest.mark.parametrize(
    "visits", [pytest.param(EACH_ONCE, id="each once"), pytest.param(EVERY, id="all", marks=pytest.mark.slow)]
)
def test_no_page_has_a_serious_fault_of_accessibility(browser: Any, address: str, visits: Any) -> None:
    """By axe-core, on every page: names of controls, contrast, keyboard, headings."""
    axe = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    found = {}
    for path, width, scheme in visits:
        page = opened(browser, f"{address}/{path}", width)
        page.emulate_media(color_scheme=scheme)
        page.locator(".pf-outline").first.wait_for(state="hidden")
        page.wait_for_timeout(1_000)
        page.evaluate(axe)
        said = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        faults = [(one["id"], one["nodes"][0]["html"]) for one in said if one["impact"] in ("serious", "critical")]
        if faults:
            found[path, width, scheme] = faults
        page.close()
    assert found == {}
