"""Run the panel behind `flows.access`: `python -m ui.serve [--host ADDRESS] [--port N]`."""

import argparse
import contextlib
import importlib
import os
import re
import sys
import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import anyio.to_thread

import components  # noqa: F401 - sets the opt-outs of telemetry before any tool is imported
from components.errors import StepError
from flows.client import access, configure, pipeline_graph, project_root, team
from ui import reads
from ui.text import html

SCRIPT = Path(__file__).with_name("app.py")
START = Path(__file__).with_name("assets") / "start.html"
# A person waits: one question of at most three seconds to each server, and no second one before the page has said so.
IMPATIENT = {
    "PREFECT_CLIENT_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
}
SLOW = ("prefect.client.orchestration", "mlflow.tracking", "plotly.graph_objects", "dvc.repo")  # seconds to import


class Started:
    """The panel's application, whose page shows something before its scripts have been loaded.

    The browser draws what is added to Streamlit's page at once: the outline of a page, and a notice for when this server does
    not answer any more.
    """

    def __init__(self, app: access.App) -> None:
        self.app = app
        outline = b'<div class="pf-start" aria-label="Loading"><b>Phiforge</b>' + b"<i></i>" * 9 + b"</div>"
        self.parts = {b'<div id="root">': b'<div id="root">' + outline, b"</body>": START.read_bytes() + b"</body>"}

    async def __call__(self, scope: access.Scope, receive: access.Receive, send: access.Send) -> None:
        accepted = dict(scope.get("headers", ())).get(b"accept", b"")
        if scope["type"] != "http" or b"text/html" not in accepted:
            await self.app(scope, receive, send)
            return
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        start: dict[str, Any] = {}
        body = b""

        async def collect(message: MutableMapping[str, Any]) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = dict(message)
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                for mark, text in self.parts.items():
                    body = body.replace(mark, text)
                kept = [pair for pair in start["headers"] if pair[0].lower() not in (b"content-length", b"etag")]
                await send(start | {"headers": [*kept, (b"content-length", str(len(body)).encode())]})
                await send({"type": "http.response.body", "body": body})

        await self.app(dict(scope) | {"headers": plain}, receive, collect)


class Reports:
    """Pages that stages stored in MLflow, at `/phiforge-report/RECORD/PATH`, without script and without network, since anyone
    who may write to MLflow may have stored another."""

    POLICY = b"sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"

    def __init__(self, app: access.App) -> None:
        self.app = app

    async def __call__(self, scope: access.Scope, receive: access.Receive, send: access.Send) -> None:
        asked = re.fullmatch(rf"/{reads.REPORT_PATH}/([0-9a-f]{{32}})/([\w/]+/index\.html)", scope.get("path", ""))
        if scope["type"] != "http" or not asked:
            await self.app(scope, receive, send)
            return
        try:
            text = await anyio.to_thread.run_sync(reads.report, asked[1], asked[2])
        except StepError as error:
            text = f"<!doctype html><p>{html(error)}"
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", self.POLICY)]
        await send({"type": "http.response.start", "status": 200 if text else 404, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode() or b"no such report"})


def prepare() -> None:
    """Load what the pages need, so that the first visitor does not wait for it."""
    for name in SLOW:
        with contextlib.suppress(ImportError):  # the page that needs it says so
            importlib.import_module(name)
    with contextlib.suppress(StepError):
        pipeline_graph(project_root())


def main(argv: list[str] | None = None) -> int:
    """Serve until the process is stopped; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ui.serve", description="The panel.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8501, help="port to listen on (default %(default)s)")
    parser.add_argument(
        "--fd", type=int, help="file descriptor of a listening socket inherited from the parent process"
    )
    arguments = parser.parse_args(argv)
    os.environ.update(IMPATIENT)
    from streamlit.starlette import App

    threading.Thread(target=prepare, daemon=True, name="prepare").start()
    try:
        auth = access.server_auth(os.environ, "panel")
        configure(project_root())
        app = access.Access(
            Started(Reports(App(SCRIPT))),
            auth,
            access.hosts_of(arguments.port),
            open_paths=["/_stcore/health"],
            readers=True,
            team=team(),
        )
        access.serve(app, arguments.host, arguments.port, arguments.fd)
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
