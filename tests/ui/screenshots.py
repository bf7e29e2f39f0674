"""Pictures of the panel's pages for the documentation, on the made-up history: `python -m tests.ui.screenshots`.

Those of the playground show the models of the project's last run, and are left out without one. Writes docs/images/panel-PAGE.png, 1100 pixels wide, in 96 colours. Needs an installed Chromium.
"""

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from flows.client.playground import known_models
from tests.ui.conftest import free_port, wait_for

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "images"
COMPARED = "compare?runs=id-baseline,id-baseline-seed-2,id-baseline-seed-3,id-wider,id-wider-seed-2,id-wider-seed-3"
PAGES = {"home": "", "new-run": "new_run", "runs": "runs", "compare": COMPARED, "data": "data", "models": "models",
         "leaderboard": "leaderboard", "schedules": "schedules"}  # fmt: skip
PLAYGROUND = {"chat": "chat?model=large&beside=control&temperature=0.0&max_tokens=40", "inside": "inside", "exam": "exam?answers=answered+differently",
              "tune": "tune"}  # fmt: skip
PROMPT = "Question: Which planet is closer to the Sun, Saturn or Venus?\nAnswer:"
WIDTH, TALLEST, COLOURS = 1100, 900, 96


def main() -> None:
    port = free_port()
    real = bool(known_models(ROOT))
    words = [str(ROOT / "tests" / "ui" / "fake_app.py"), str(port), *(["--real-models"] if real else [])]
    app = subprocess.Popen([sys.executable, *words])
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", app)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
                args=["--no-sandbox", "--disable-gpu"],
            )
            for name, path in (PAGES | (PLAYGROUND if real else {})).items():
                page = browser.new_page(viewport={"width": WIDTH, "height": TALLEST}, color_scheme="light")
                page.goto(f"http://127.0.0.1:{port}/{path}")
                page.locator("h1").first.wait_for()
                page.locator(".pf-outline").first.wait_for(state="hidden")
                if name == "chat":
                    page.get_by_label("Text").fill(PROMPT)
                    page.get_by_label("Text").press("Tab")
                    page.get_by_role("button", name="Continue").click()
                    page.get_by_role("group", name="Answer of large").get_by_role(
                        "button", name=re.compile(r"\w")
                    ).first.hover()
                page.wait_for_timeout(3_000)  # charts and tables are drawn
                picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                target = FOLDER / f"panel-{name}.png"
                picture.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
                print(f"{target.relative_to(ROOT)}: {target.stat().st_size:,} bytes")
                page.close()
            browser.close()
    finally:
        app.terminate()
        app.wait()


if __name__ == "__main__":
    main()
