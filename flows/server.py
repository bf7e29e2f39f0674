"""The Prefect API of a run: that of a running server, or of an embedded one for the duration of the run.

Prefect would start a server by itself, but that one survives a killed run and writes to the terminal. The embedded server
runs under the guard, writes to a log, and does not have the services that only schedules and workers need.
"""

import atexit
import contextlib
import json
import os
import socket
import sys
import threading
import urllib.error
import urllib.request
from importlib.metadata import version
from pathlib import Path
from subprocess import STDOUT, Popen
from typing import Any

from components.errors import StepError
from components.files import write_private
from components.running.locks import exclusive
from flows import processes, records
from flows.access import AUTH, client_variables, new_auth
from flows.settings import IDLE_SERVICES, lock_file, log_file, state_folder

STARTUP_S = 180
STOP_S = 15  # Prefect writes the last states of tasks from a queue in memory
LOG_BYTES = 1_000_000  # maximum size of an embedded server's log; a larger one is replaced
BACKLOG = 2048  # maximum connections that wait for a server
RESTARTS = 5  # of an embedded server that dies
CLIENT_FILE = "prefect.toml"  # settings of Prefect's own commands
CLIENT_FILE_MARK = "# Written by `make up`"  # its first line begins so, unless a person wrote it


def running_server(root: Path) -> dict[str, Any] | None:
    """`api` and `auth` of the server of this project's `make up`, if it answers.

    The record of a killed `make up` remains, but another process on its port does not get the credentials.
    """
    record = record_file(root)
    if not record.is_file():
        return None
    found = json.loads(record.read_text(encoding="utf-8"))
    return found if "pid" in found and records.alive(found) and answers(f"{found['api']}/health") else None


def note_server(root: Path, api: str, auth: str) -> None:
    """Record the address and credentials of this project's server, for this user alone. `prefect.toml` has
    them for Prefect's own commands in the project's folder.
    """
    write_private(record_file(root), json.dumps({"api": api, "auth": auth} | records.this_process()))
    if not foreign_client_file(root):
        settings = f"[api]\nurl = {json.dumps(api)}\nauth_string = {json.dumps(auth)}\n"
        about = f"{CLIENT_FILE_MARK} and removed when it stops: address and credentials of the server."
        write_private(root / CLIENT_FILE, f"{about}\n{settings}")


def forget_server(root: Path) -> None:
    """Undo `note_server`."""
    record_file(root).unlink(missing_ok=True)
    if not foreign_client_file(root):
        (root / CLIENT_FILE).unlink(missing_ok=True)


def foreign_client_file(root: Path) -> bool:
    """Whether the project has a prefect.toml by a person, which is not changed."""
    path = root / CLIENT_FILE
    return path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(CLIENT_FILE_MARK)


def connect(root: Path) -> "EmbeddedServer | None":
    """Set PREFECT_API_URL to the given API, that of `make up`, or an embedded one until this process ends. Returns the
    embedded server, which is still starting (see its `wait`), or None for another server.
    """
    if os.environ.get("PREFECT_API_URL"):
        return None
    if found := running_server(root):
        os.environ |= {"PREFECT_API_URL": found["api"]} | client_variables(found["auth"])
        return None
    server = EmbeddedServer(root)
    os.environ |= {"PREFECT_API_URL": server.api} | client_variables(server.auth)
    # Last, because Prefect sends its last logs and states when the interpreter joins its threads.
    atexit.register(server.stop)
    return server


class EmbeddedServer:
    """A Prefect server on a free port of 127.0.0.1, with the project's SQLite, until this process ends.

    It is restarted if it dies: Prefect's client waits for it, and the database has all states so far.
    """

    def __init__(self, root: Path) -> None:
        self.listener = listen()
        self.port = self.listener.getsockname()[1]
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.auth = new_auth()
        self.log = log_file(root, "embedded-server")
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.unlink()
        # Prefect creates or migrates its database at the first start of a version; two servers at a time would collide.
        self._migrated = root / ".phiforge" / f"migrated-{version('prefect')}"
        self._migration = contextlib.ExitStack()
        if not self._migrated.exists():
            self._migration.enter_context(exclusive(lock_file(root, "migration")))
        self._stopping = threading.Event()
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
            AUTH: self.auth,
        } | processes.CODE
        environment.pop("PREFECT_API_URL", None)
        command = processes.guarded("flows.serve", "prefect", "--port", str(self.port))
        with open(self.log, "a", encoding="utf-8") as log:
            return processes.start_server(command, self.listener, env=environment, stdout=log, stderr=STDOUT)

    def wait(self) -> None:
        """Return when the server answers, and restart it from then on if it ends.

        Raises:
            StepError: it ended or did not answer in time; the message has its last lines.
        """

        def ready() -> bool:
            return self.process.poll() is not None or answers(f"{self.api}/health")

        with self._migration:
            ready_in_time = processes.wait_until(ready, STARTUP_S)
            if self.process.poll() is not None or not ready_in_time:
                state = "ended" if self.process.poll() is not None else f"did not answer within {STARTUP_S} s"
                raise StepError(
                    f"the embedded Prefect server {state}; its log {self.log} ends with:\n{processes.tail(self.log)}"
                )
            self._migrated.touch()
        threading.Thread(target=self._keep_running, daemon=True).start()

    def _keep_running(self) -> None:
        for _ in range(RESTARTS):
            while not self._stopping.wait(0.5):
                if self.process.poll() is not None:
                    self.process = self._start()
                    break

    def stop(self) -> None:
        """End the server after it has written the last states of runs."""
        self._stopping.set()
        processes.stop(self.process, STOP_S)
        self.listener.close()


def answers(url: str, timeout: float = 2) -> bool:
    """Whether an address answers with success."""
    try:
        # Without a proxy, because these are addresses of this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=timeout) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False


def listen(port: int = 0) -> socket.socket:
    """A listening socket on a port of 127.0.0.1; 0 means any free port.

    Raises:
        OSError: the port is taken.
    """
    listener = socket.socket()
    try:
        if sys.platform != "win32":  # a port in TIME_WAIT is free for a server
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def free_port() -> int:
    """A free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_taken(port: int) -> bool:
    """Whether a port of 127.0.0.1 is taken."""
    try:
        listen(port).close()
    except OSError:
        return True
    return False


def record_file(root: Path) -> Path:
    """The record of `make up` with its server's address and credentials, readable by this user alone."""
    return state_folder(root) / "up.json"
