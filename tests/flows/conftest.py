"""One Prefect server for the whole session, and toy projects for the flow to run."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest

REPOSITORY = Path(__file__).parents[2]


def _load(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"{name}_project", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(specification)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """The helpers of toy.py."""
    return _load("toy")


@pytest.fixture(scope="session")
def running() -> ModuleType:
    """The helpers of running.py, which start the whole platform."""
    return _load("running")


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Prefect server that lasts for the session."""
    patch = pytest.MonkeyPatch()
    home = tmp_path_factory.mktemp("prefect")
    patch.setenv("PREFECT_HOME", str(home))
    patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    patch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    for name in ("PREFECT_API_URL", "PHIFORGE_HOME", "MLFLOW_TRACKING_URI"):
        patch.delenv(name, raising=False)
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield PREFECT_API_URL.value()
    patch.undo()


@pytest.fixture
def postgres() -> Iterator[str]:
    """Address of an empty PostgreSQL database, as Prefect's server takes it; skips where PostgreSQL is not installed."""
    from flows.processes import wait_until
    from flows.server import free_port, port_taken

    installed = shutil.which("postgres") or next(Path("/usr/lib/postgresql").glob("*/bin/postgres"), None)
    if not installed:
        pytest.skip("PostgreSQL is not installed")
    user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}  # it refuses to run as root
    with tempfile.TemporaryDirectory() as folder:
        if user:
            shutil.chown(folder, **user)
        data, port = Path(folder) / "data", free_port()
        initdb = [Path(installed).with_name("initdb"), "-D", data, "-U", "phiforge", "--auth=trust", "--no-sync"]
        subprocess.run(initdb, cwd=folder, check=True, capture_output=True, **user)
        options = ["-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder]
        process = subprocess.Popen([installed, *options], cwd=folder, stderr=subprocess.DEVNULL, **user)
        try:
            assert wait_until(lambda: port_taken(port), 60)
            yield f"postgresql+asyncpg://phiforge@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # ends open connections
            process.wait(60)


@pytest.fixture
def project(tmp_path: Path, toy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy project in a folder with a blank in its name; the environment points to it."""
    root = toy.make_project(tmp_path / "my project")
    monkeypatch.setenv("PHIFORGE_HOME", str(root))
    monkeypatch.setenv("TOY_TRACE", str(root / "trace"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"])
    monkeypatch.delenv("PHIFORGE_CONCURRENT_STAGES", raising=False)
    return root


@pytest.fixture
def run_flow(project: Path, prefect_api: str) -> Callable[..., object]:
    """Run the flow in this process; returns Prefect's final state."""

    def run(**parameters: object) -> object:
        from flows.pipeline import pipeline

        return pipeline(**parameters, return_state=True)

    return run


@pytest.fixture
def command(project: Path, prefect_api: str) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start `python -m flows.run` as a process of its own; what is left of it at the end is killed."""
    started: list[subprocess.Popen] = []

    def start(*arguments: str, embedded: bool = False) -> subprocess.Popen:
        environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
        if not embedded:
            environment["PREFECT_API_URL"] = prefect_api
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.run", *arguments],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Tests that were started in the background ignore Ctrl-C, and so would what they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
