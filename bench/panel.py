"""How fast the panel shows its pages, with many runs, documents and versions; its memory; and ten people at once.

    python -m bench.panel [--runs 200] [--documents 1000000] [--versions 50] [--loads 5] [--refreshes 500] [--users 10]

The clients of Prefect and MLflow answer from lists in memory, so the figures are the panel's own: Streamlit, the pages, and the
documents on disk. First content is the heading; complete is when Streamlit's script has ended. Medians of seconds in Chromium,
and CPU seconds of the panel's process for each load. Needs an installed Chromium.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from bench.common import ROOT, Report, Row, machine, parser
from components.documents import DOCUMENT
from tests.ui import fakes
from tests.ui.conftest import free_port, wait_for

FIRST, COMPLETE, GROWTH = (
    1.0,
    2.0,
    1.1,
)  # seconds; and the memory after all refreshes, as a multiple of that after a tenth
COMPARED = "compare?runs=id-baseline,id-baseline-seed-2,id-baseline-seed-3,id-wider,id-wider-seed-2,id-wider-seed-3"
PAGES = {
    "Home": "", "New run": "new_run", "Runs": "runs", "Compare": COMPARED, "Data": "data", "a search": "data?show=Documents&find=owl+night",
    "Models": "models", "Leaderboard": "leaderboard", "Schedules": "schedules",
}  # fmt: skip
ENDED = "[data-testid='stApp'][data-test-script-state='notRunning']"


def make_corpus(folder: Path, documents: int) -> Path:
    """A folder with the data of a run, with so many curated documents of 200 characters."""
    fakes.made_corpus(folder)
    path = folder / "data" / "curated" / "part-00000.parquet"
    with pq.ParquetWriter(path, DOCUMENT) as writer:
        for start in range(0, documents, 10_000):
            rows = [
                fakes.document(f"{number:032x}", f"Note {number}. " + "The mouse sleeps by day. " * 8)
                for number in range(start, min(start + 10_000, documents))
            ]
            writer.write_table(pa.Table.from_pylist(rows, DOCUMENT))
    return folder


def load(browser: Any, address: str, app: psutil.Process) -> Row:
    """Seconds until a page's heading and until its end, in a new tab; CPU seconds of the panel."""
    cpu, began = sum(app.cpu_times()[:2]), time.monotonic()
    page = browser.new_page()
    page.goto(address, wait_until="commit")
    page.locator("h1").first.wait_for()
    first = time.monotonic() - began
    page.locator(ENDED).wait_for()
    whole = time.monotonic() - began
    page.close()
    return {"first": first, "complete": whole, "cpu": sum(app.cpu_times()[:2]) - cpu}


def in_browser(task: Callable[[Any], Any]) -> Any:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        try:
            return task(browser)
        finally:
            browser.close()


def refreshed(browser: Any, address: str, app: psutil.Process, times: int) -> tuple[float, float]:
    """Megabytes of the panel after a tenth of the refreshes, and after all."""
    page = browser.new_page()
    early = 0.0
    for number in range(1, times + 1):
        page.goto(address, wait_until="commit")
        page.locator("h1").first.wait_for()
        page.locator(ENDED).wait_for()
        if number == max(times // 10, 1):
            early = app.memory_info().rss / 1e6
    return early, app.memory_info().rss / 1e6


def main() -> int:
    options = parser(__doc__)
    for name, usual in (
        ("runs", 200),
        ("documents", 1_000_000),
        ("versions", 50),
        ("loads", 5),
        ("refreshes", 500),
        ("users", 10),
    ):
        options.add_argument(f"--{name}", type=int, default=usual)
    given = options.parse_args()
    sizes = {name: getattr(given, name) for name in ("runs", "documents", "versions")}
    report = Report("The panel", machine() | sizes)
    with tempfile.TemporaryDirectory() as place:
        corpus, port = make_corpus(Path(place), given.documents), free_port()
        words = [str(ROOT / "tests" / "ui" / "fake_app.py"), port, given.runs - 10, given.versions - 3, corpus]
        process = subprocess.Popen([sys.executable, *map(str, words)], stdout=subprocess.DEVNULL)
        try:
            wait_for(f"http://127.0.0.1:{port}/_stcore/health", process)
            app = psutil.Process(process.pid)
            addresses = {name: f"http://127.0.0.1:{port}/{path}" for name, path in PAGES.items()}

            def pages(browser: Any) -> dict[str, Row]:
                load(browser, addresses["Home"], app)  # imports
                found: dict[str, Row] = {}
                for name, address in addresses.items():
                    loads = [load(browser, address, app) for _ in range(given.loads)]
                    found[name] = {key: median(one[key] for one in loads) for key in loads[0]}
                return found

            rows = in_browser(pages)
            with ThreadPoolExecutor(given.users) as pool:  # a browser each
                user = lambda _: in_browser(lambda browser: load(browser, addresses["Runs"], app))  # noqa: E731
                together = [one["complete"] for one in pool.map(user, range(given.users))]
            early, late = in_browser(lambda browser: refreshed(browser, addresses["Runs"], app, given.refreshes))
        finally:
            process.terminate()
            process.wait()
    report.table_of(
        "Pages", {"first": "first content, s", "complete": "complete, s", "cpu": "CPU of the panel, s"}, rows
    )
    report.note(
        f"{given.users} people open Runs at once, each in a browser of their own: complete after {median(together):.1f} s (median), {max(together):.1f} s (slowest)."
    )
    report.note(
        f"Memory: {early:.0f} MB after {max(given.refreshes // 10, 1)} refreshes, {late:.0f} MB after {given.refreshes}."
    )
    report.target("slowest first content, s", max(row["first"] for row in rows.values()), FIRST, at_least=False)
    report.target("slowest complete page, s", max(row["complete"] for row in rows.values()), COMPLETE, at_least=False)
    report.target("memory after all refreshes, as a multiple", late / early, GROWTH, at_least=False)
    report.measurements = {"pages": rows, "users": together, "memory": [early, late]}
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
