"""Prefect server and worker, MLflow and the panel together on 127.0.0.1: `phiforge up`, `make up`, `python -m flows.up`.

Used ports are reported before anything starts. The start waits until each service is healthy; the worker starts when the
server has its deployments. A service that ends is started again, with growing pauses. All stop together: on Ctrl-C or
SIGTERM (exit status 0), or when a service ends too often (1). Their logs are in .phiforge/logs.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from components.errors import StepError
from flows import processes, settings
from flows.access import ORIGINS, client_variables, given_auth, new_auth, with_login
from flows.deploy import NOTE
from flows.server import (
    CLIENT_FILE,
    answers,
    foreign_client_file,
    forget_server,
    free_port,
    listen,
    note_server,
    record_file,
)

PROG = "python -m flows.up"
HOST = "127.0.0.1"
HEALTHY_S = 180  # a first start migrates two databases
RESTARTS, RESTARTS_S = 5, 600  # a service that ends more often within this time stops the platform
GENTLE_S = {"worker": 20, "prefect": 15}  # the server writes the last states of runs from a queue in memory
STOP_ORDER = ("watch", "panel", "worker", "mlflow", "prefect")


@dataclass
class Service:
    """A process of the platform: command, address of its health check (may be empty), and address for people."""

    name: str
    command: list[str]
    health: str
    address: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None
    listener: socket.socket | None = None

    def start(self, root: Path, again: bool = False) -> None:
        with open(settings.log_file(root, self.name), "a" if again else "w", encoding="utf-8") as log:
            options: dict[str, Any] = {
                "cwd": root,
                "env": os.environ | self.environment,
                "stdout": log,
                "stderr": subprocess.STDOUT,
            }
            if self.listener:
                self.process = processes.start_server(self.command, self.listener, **options)
            else:
                self.process = processes.start(self.command, **options)

    @property
    def status(self) -> int | None:
        """The exit status of an ended process; None while it runs and before its start."""
        return self.process.poll() if self.process else None


class Stopped(Exception):
    """The platform was requested to stop."""


class Platform:
    """The services of one project."""

    def __init__(self, root: Path, ports: Mapping[str, int], worker_limit: int) -> None:
        self.root, self.ports = root, dict(ports)
        self.api = f"http://{HOST}:{ports['prefect']}/api"
        self.auth = given_auth(os.environ) or new_auth()
        self.services = {s.name: s for s in services(root, self.ports, self.api, self.auth, worker_limit)}
        self.asked_to_stop = threading.Event()

    def take_ports(self) -> None:
        """Listen on every port until the end.

        Raises:
            StepError: a port is taken, used twice, or invalid; the message names ports, services and options.
        """
        wrong = [name for name, port in self.ports.items() if not 0 < port < 65536]
        if wrong:
            given = "; ".join(f"--{name}-port {self.ports[name]}" for name in wrong)
            raise StepError(f"{given}: expected a port from 1 to 65535")
        if len(set(self.ports.values())) < len(self.ports):
            given = ", ".join(f"--{name}-port {port}" for name, port in self.ports.items())
            raise StepError(f"two services cannot share a port: {given}; choose another for one of them")
        taken = []
        for name, port in self.ports.items():
            try:
                self.services[name].listener = listen(port)
            except OSError:
                taken.append(name)
        if taken:
            used = "; ".join(f"{name}: port {self.ports[name]} of {HOST} is taken" for name in taken)
            options = ", ".join(f"--{name}-port" for name in taken)
            raise StepError(f"{used}. Stop the program that uses it, or choose another with {options}")

    def start(self) -> None:
        """Start everything and return when all are healthy.

        Raises:
            StepError: a service ended or did not become healthy; the message has its last lines.
            Stopped: a stop was requested meanwhile.
        """
        for name in self.services:
            if name != "worker":
                self.services[name].start(self.root)
        self._wait_for("prefect")
        note_server(self.root, self.api, self.auth)
        self._deploy()
        self.services["worker"].start(self.root)
        for name in self.services:
            self._wait_for(name)

    def watch(self) -> NoReturn:
        """Restart services that end, until a stop is requested.

        Raises:
            Stopped: a stop was requested.
            StepError: a service ends too often; the message has its last lines.
        """
        ends: dict[str, list[float]] = {name: [] for name in self.services}
        while True:
            if self.asked_to_stop.wait(0.2):
                raise Stopped
            for name, service in self.services.items():
                if service.status is not None:
                    self._start_again(service, ends[name])

    def _start_again(self, service: Service, ends: list[float]) -> None:
        now = time.monotonic()
        ends[:] = [*(end for end in ends if now - end < RESTARTS_S), now]
        ended = f"{service.name} ended with status {service.status}"
        service.process = None
        if len(ends) > RESTARTS:
            raise StepError(
                f"{ended}, {len(ends)} times within {RESTARTS_S // 60} minutes; {self._last_words(service.name)}"
            )
        print(f"{ended}; starting it again ({len(ends)} of {RESTARTS})", flush=True)
        if self.asked_to_stop.wait(2.0 ** (len(ends) - 1)):
            raise Stopped
        if service.name == "worker":
            self._deploy()  # closes the runs that were lost with it
        service.start(self.root, again=True)

    def stop(self) -> None:
        """Stop all services, in the end those that others need."""
        forget_server(self.root)
        if worker := self.services["worker"].process:
            stop_flow_runs(worker)
        for name in STOP_ORDER:
            service = self.services.get(name)
            if service and service.process:
                processes.stop(service.process, GENTLE_S.get(name, 5))
            if service and service.listener:
                service.listener.close()

    def _wait_for(self, name: str) -> None:
        service = self.services[name]

        def healthy() -> bool:
            self._check()
            return not service.health or answers(service.health)

        if not processes.wait_until(healthy, HEALTHY_S, pause=0.2):
            raise StepError(f"{name} was not healthy within {HEALTHY_S} s; {self._last_words(name)}")

    def _check(self) -> None:
        if self.asked_to_stop.is_set():
            raise Stopped
        for service in self.services.values():
            if service.status is not None:
                raise StepError(f"{service.name} ended with status {service.status}; {self._last_words(service.name)}")

    def _last_words(self, name: str) -> str:
        log = settings.log_file(self.root, name)
        return f"its log {log} ends with:\n{processes.tail(log)}"

    def _deploy(self) -> None:
        log = settings.log_file(self.root, "deploy")
        with open(log, "w", encoding="utf-8") as file:
            child = processes.start(
                processes.guarded("flows.deploy", tree=True),
                cwd=self.root,
                env=os.environ | client_variables(self.auth) | {"PREFECT_API_URL": self.api} | processes.CODE,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            while child.poll() is None:
                self._check()
                time.sleep(0.1)
        finally:
            processes.stop(child, 2)
        if child.returncode != 0:
            raise StepError(f"the deployments of prefect.yaml were refused; {self._last_words('deploy')}")
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(NOTE):
                print(line, flush=True)


def services(root: Path, ports: Mapping[str, int], api: str, auth: str, worker_limit: int) -> list[Service]:
    """The services of a project; the panel if it is installed, the watch if it is switched on."""
    at = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
    shared = client_variables(auth) | {"PREFECT_API_URL": api, settings.HOME: str(root)} | processes.CODE
    worker_port = free_port()
    found = [
        Service(
            "prefect",
            processes.guarded("flows.serve", "prefect", "--port", str(ports["prefect"])),
            f"{api}/health",
            at["prefect"],
            shared
            | {
                "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
                ORIGINS: at.get("panel", ""),
            },
        ),
        Service(
            "mlflow",
            processes.guarded("flows.serve", "mlflow", "--port", str(ports["mlflow"])),
            f"{at['mlflow']}/health",
            at["mlflow"],
            shared,
        ),
        Service(
            "worker",
            processes.guarded("flows.worker", "--limit", str(worker_limit)),
            f"http://{HOST}:{worker_port}/health",
            environment=shared
            | {
                "PREFECT_WORKER_WEBSERVER_HOST": HOST,
                "PREFECT_WORKER_WEBSERVER_PORT": str(worker_port),
                "PREFECT_WORKER_QUERY_SECONDS": "2",
            },
        ),
    ]
    if "panel" in ports:
        found.append(
            Service(
                "panel",
                processes.guarded("ui.serve", "--port", str(ports["panel"])),
                f"{at['panel']}/_stcore/health",
                at["panel"],
                shared | {"PHIFORGE_MLFLOW_PAGES": at["mlflow"]},
            )
        )
    if settings.watch_minutes():
        found.append(Service("watch", processes.guarded("flows.watch"), health="", environment=shared))
    return found


def stop_flow_runs(worker: subprocess.Popen) -> None:
    """Stop the runs of a worker, so that they can report it while the server is still running."""
    import psutil

    try:
        runs = psutil.Process(worker.pid).children(recursive=False)
    except psutil.NoSuchProcess:
        return
    for run in runs:
        run.terminate()
    psutil.wait_procs(runs, timeout=15)


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Run the platform until it is stopped; returns the exit status."""
    arguments = parser(prog).parse_args(argv)
    root = settings.project_root()
    settings.configure(root)
    ports = {"prefect": arguments.prefect_port, "mlflow": arguments.mlflow_port, "panel": arguments.panel_port}
    if not (root / "ui" / "app.py").is_file():
        del ports["panel"]
    try:
        platform = Platform(root, ports, arguments.worker_limit)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: platform.asked_to_stop.set())
        platform.take_ports()
    except StepError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    try:
        print("Starting Prefect, MLflow and the panel", flush=True)
        platform.start()
        print(addresses(platform), flush=True)
        platform.watch()
    except Stopped:
        print("\nStopping", flush=True)
        return 0
    except StepError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        platform.stop()
        print("All stopped", flush=True)


def addresses(platform: Platform) -> str:
    """Text with the addresses, and how to use and stop the platform. On a terminal, each address logs a browser in."""
    names = {"panel": "panel", "prefect": "Prefect", "mlflow": "MLflow"}
    private = sys.stdout.isatty()  # otherwise the credentials would be in a log
    found = {name: service.address for name, service in platform.services.items() if service.address}
    lines = [
        f"  {names[name]:<8} {with_login(address, platform.auth) if private else address}"
        for name, address in sorted(found.items())
    ]
    prefect = os.path.relpath(Path(sys.executable).with_name("prefect"), platform.root)
    if private:
        login = "Each address logs your browser in; keep it secret."
    else:
        login = f"Log in with the name and the secret in {record_file(platform.root)}."
    if foreign_client_file(platform.root):
        start = (
            f"Your own {CLIENT_FILE} is unchanged; for Prefect's commands, set PREFECT_API_URL and "
            f"PREFECT_API_AUTH_STRING to the values in {record_file(platform.root)}."
        )
    else:
        start = f"Start a run from this folder: {prefect} deployment run pipeline/local"
    return "\n".join(["Up:", *lines, login, start, "Stop all with Ctrl-C."])


def parser(prog: str = PROG) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=prog,
        description="Start Prefect, MLflow and the panel on 127.0.0.1, and stop all of them on Ctrl-C.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("--prefect-port", type=int, default=4200, help="port of the Prefect server")
    made.add_argument("--mlflow-port", type=int, default=5000, help="port of MLflow")
    made.add_argument("--panel-port", type=int, default=8501, help="port of the panel")
    made.add_argument("--worker-limit", type=int, default=2, help="maximum concurrent flow runs")
    return made


if __name__ == "__main__":
    sys.exit(main())
