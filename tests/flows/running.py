"""The platform as `make up` starts it, on a toy project, as processes of their own."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import httpx
import psutil

from flows.server import free_port

REPOSITORY = Path(__file__).parents[2]
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Patient(httpx.HTTPTransport):
    """Asks again where the server's database is busy, as Prefect's own client does."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for pause in (1, 2, 4, 8, 16):
            if (response := super().handle_request(request)).status_code != 503:
                return response
            response.close()
            time.sleep(pause)
        return super().handle_request(request)


@dataclass
class Up:
    """A running platform."""

    root: Path
    process: subprocess.Popen
    ports: dict[str, int]
    auth: str
    output: Path

    def url(self, name: str, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.ports[name]}{path}"

    def operator(self) -> httpx.Client:
        """A client of Prefect's API with the credentials."""
        name, _, secret = self.auth.partition(":")
        transport = Patient()
        return httpx.Client(base_url=self.url("prefect", "/api"), auth=(name, secret), timeout=120, transport=transport)

    def deployment(self, name: str = "pipeline/local") -> str:
        with self.operator() as client:
            return client.get(f"/deployments/name/{name}").raise_for_status().json()["id"]

    def launch(self, **parameters: object) -> str:
        """Start a run of the pipeline's deployment; returns its id."""
        with self.operator() as client:
            path = f"/deployments/{self.deployment()}/create_flow_run"
            return client.post(path, json={"parameters": parameters}).raise_for_status().json()["id"]

    def state(self, run: str) -> dict:
        with self.operator() as client:
            return client.get(f"/flow_runs/{run}").raise_for_status().json()["state"]

    def finished(self, run: str, seconds: float = 120) -> dict:
        """A flow run's state when it has ended."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(httpx.HTTPError):  # the server may be starting again
                found = self.state(run)
                if found["type"] in ENDED:
                    return found
            assert time.monotonic() < deadline
            time.sleep(0.5)


def start(root: Path, panel: bool = True, worker_limit: int = 2, **variables: str) -> Up:
    """The platform of a project, when all of it is healthy, with these variables in its environment."""
    ports: dict[str, int] = {}
    while len(set(ports.values())) < 3:  # a free port may be given twice
        ports = {name: free_port() for name in ("prefect", "mlflow", "panel")}
    if not panel:
        shutil.rmtree(root / "ui", ignore_errors=True)  # a platform without the panel's code starts without it
    options = [word for name, port in ports.items() for word in (f"--{name}-port", str(port))]
    options += ["--worker-limit", str(worker_limit)]
    output = root.parent / "up.log"
    with open(output, "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.up", *options],
            cwd=REPOSITORY, env=environment_of(root) | variables, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + 400
    try:
        while "Up:" not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.2)
    except BaseException:
        process.terminate()  # nobody else knows of it
        raise
    record = json.loads((root / ".phiforge" / "up.json").read_text())
    return Up(root, process, ports, record["auth"], output)


@contextlib.contextmanager
def platform(root: Path, panel: bool = True, worker_limit: int = 2, **variables: str) -> Iterator[Up]:
    """The platform of a project during the block, unless the block ends it."""
    up = start(root, panel, worker_limit, **variables)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            stop(up)


def stop(up: Up) -> None:
    up.process.send_signal(signal.SIGINT)
    try:
        up.process.wait(90)
    except subprocess.TimeoutExpired:
        os.killpg(up.process.pid, signal.SIGKILL)
        raise


def environment_of(root: Path) -> dict[str, str]:
    """A plain environment, in which nothing of this test run is set."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PHIFORGE_", "MLFLOW_"))
    }
    return kept | {"PHIFORGE_HOME": str(root), "TOY_TRACE": str(root / "trace")}


def make_project(toy: ModuleType, root: Path) -> Path:
    """A toy project with what `make up` looks for: the deployments, the flows that they name, and the panel."""
    toy.make_project(root)
    shutil.copy(REPOSITORY / "prefect.yaml", root)
    for folder in ("flows", "ui"):
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def mlflow_states(root: Path) -> set[str]:
    """The states that MLflow's runs have."""
    with contextlib.closing(sqlite3.connect(root / "mlflow.db", timeout=30)) as db:
        return {row[0] for row in db.execute("select status from runs")}


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill processes at once, as a power cut would."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=20)
