"""Run the panel behind `flows.access`: `python -m ui.serve [--host ADDRESS] [--port N]`."""

import argparse
import os
import sys
from pathlib import Path

import components  # noqa: F401 - sets the opt-outs of telemetry before any tool is imported
from components.errors import StepError
from flows.client import access

SCRIPT = Path(__file__).with_name("app.py")


def main(argv: list[str] | None = None) -> int:
    """Serve until the process is stopped; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ui.serve", description="The panel.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8501, help="port to listen on (default %(default)s)")
    parser.add_argument(
        "--fd", type=int, help="file descriptor of a listening socket inherited from the parent process"
    )
    arguments = parser.parse_args(argv)
    from streamlit.starlette import App

    try:
        auth = access.given_auth(os.environ)
        if not auth:
            raise StepError(f"panel: no credentials; set {access.AUTH} to `operator:SECRET`, or run `make up`")
        app = access.Access(
            App(SCRIPT), auth, access.hosts_of(arguments.port), open_paths=["/_stcore/health"], readers=True
        )
        access.serve(app, arguments.host, arguments.port, arguments.fd)
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
