"""The Prefect API that a run speaks to: one that is up already, or an embedded one for the length of the run.

Prefect would start a server by itself, but that one outlives a killed run and says what it likes on the terminal. Ours
is under the guard, writes to a log, and runs none of the services that only schedules and workers need.
"""

import atexit
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path
from subprocess import STDOUT, Popen

from components.errors import StepError
from components.files import atomic_file
from flows import processes
from flows.settings import IDLE_SERVICES, log_file, state_folder

STARTUP_S = 180
# A gentle end: Prefect writes the last states of tasks from a queue in memory.
STOP_S = 15


def running_api(root: Path) -> str | None:
    """Address of the API that this project's `make up` serves, if it answers."""
    record = _record(root)
    if not record.is_file():
        return None
    api = json.loads(record.read_text(encoding="utf-8"))["api"]
    return api if answers(f"{api}/health") else None


def note_api(root: Path, api: str | None) -> None:
    """Remember, or forget, where this project's server is."""
    if api is None:
        _record(root).unlink(missing_ok=True)
        return
    with atomic_file(_record(root)) as partial:
        partial.write_text(json.dumps({"api": api}), encoding="utf-8")


def connect(root: Path) -> "EmbeddedServer | None":
    """Make PREFECT_API_URL name an API: the given one, that of `make up`, or one of our own until this process ends.

    Returns the embedded server, which is still starting (see its `wait`), or None where another one serves.
    """
    if os.environ.get("PREFECT_API_URL"):
        return None
    if api := running_api(root):
        os.environ["PREFECT_API_URL"] = api
        return None
    server = EmbeddedServer(root)
    os.environ["PREFECT_API_URL"] = server.api
    # At the very end: Prefect sends its last logs and states when the interpreter joins its threads.
    atexit.register(processes.stop, server.process, STOP_S)
    return server


class EmbeddedServer:
    """A Prefect server on a free port of 127.0.0.1, with the project's SQLite."""

    def __init__(self, root: Path) -> None:
        self.port = free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.log = log_file(root, "embedded-server")
        self.process = self._start()

    def _start(self) -> Popen:
        environment = dict(os.environ)
        for service in IDLE_SERVICES:
            environment[f"PREFECT_SERVER_SERVICES_{service}_ENABLED"] = "false"
        environment |= {
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PREFECT_SERVER_API_BLOCKS_REGISTER_ON_START": "false",
            "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        }
        environment.pop("PREFECT_API_URL", None)
        command = processes.guarded(
            "uvicorn", "--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1",
            "--port", str(self.port), "--log-level", "error", "--lifespan", "on",
        )  # fmt: skip
        with open(self.log, "w", encoding="utf-8") as log:
            return processes.start(command, env=environment, stdout=log, stderr=STDOUT)

    def wait(self) -> None:
        """Return when the server answers.

        Raises:
            StepError: it ended or did not answer in time; with its last words.
        """

        def ready() -> bool:
            return self.process.poll() is not None or answers(f"{self.api}/health")

        ready_in_time = processes.wait_until(ready, STARTUP_S)
        if self.process.poll() is not None or not ready_in_time:
            state = "ended" if self.process.poll() is not None else f"did not answer within {STARTUP_S} s"
            raise StepError(
                f"the embedded Prefect server {state}; its log {self.log} ends with:\n{processes.tail(self.log)}"
            )


def answers(url: str, timeout: float = 2) -> bool:
    """Whether an address answers with success."""
    try:
        # Not through a proxy: these are our own addresses.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=timeout) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_taken(port: int) -> bool:
    """Whether something holds a port of 127.0.0.1."""
    with socket.socket() as probe:
        if sys.platform != "win32":  # a port in TIME_WAIT is free for a server
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _record(root: Path) -> Path:
    return state_folder(root) / "up.json"
