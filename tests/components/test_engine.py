"""The engine: same results in the same order, whatever runs them."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from components.engine import map_shards
from components.errors import StepError
from components.params import EngineParams


@pytest.mark.parametrize("kind", ["serial", "threads", "processes"])
def test_results_come_in_order(kind: str) -> None:
    assert list(map_shards(math.factorial, range(20), EngineParams(kind=kind, workers=3))) == [
        math.factorial(i) for i in range(20)
    ]


@pytest.mark.slow
def test_ray_gives_the_same() -> None:
    assert list(map_shards(math.factorial, range(20), EngineParams(kind="ray", workers=2))) == [
        math.factorial(i) for i in range(20)
    ]


ASK_RAY = """
import os, subprocess, sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
print("inside", ray.get(ray.remote(lambda: 7).remote()))
"""


def ask_ray(environment: dict[str, str], address: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")} | environment
    command = [sys.executable, "-c", ASK_RAY, address]
    return subprocess.run(command, env=kept, capture_output=True, text=True, check=False).stdout


def ask_own_cluster(environments: list[dict[str, str]]) -> list[str]:
    """Runs in a worker of the local cluster: asks that very cluster, as somebody else on the network would."""
    import ray

    address = ray.get_runtime_context().gcs_address
    return [ask_ray(environment, address) for environment in environments]


def listening_on(_: int) -> set[str]:
    """Runs in a worker of the local cluster: addresses on which the processes of the cluster listen."""
    cluster = psutil.Process(os.getppid()).parent() or psutil.Process(os.getppid())
    listening = {
        connection.laddr.ip
        for process in [cluster, *cluster.children(recursive=True)]
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening
    return listening


RAY_LISTENS = """
from components.engine import map_shards
from components.params import EngineParams
from tests.components.test_engine import listening_on
print(*set().union(*map_shards(listening_on, [1, 2], EngineParams(kind="ray", workers=2))))
"""


@pytest.mark.slow
def test_a_local_ray_cluster_listens_on_the_loopback_alone() -> None:
    root = Path(__file__).parents[2]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", RAY_LISTENS]
    environment = kept | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.mark.slow
def test_a_local_ray_cluster_asks_for_its_token() -> None:
    guess = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    engine = EngineParams(kind="ray", workers=2)
    [answers, _] = map_shards(ask_own_cluster, [[{"RAY_AUTH_MODE": "disabled"}, guess], []], engine)
    assert answers == ["", ""]
    token = {name: os.environ[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    [answers, _] = map_shards(ask_own_cluster, [[token], []], engine)
    assert answers == ["inside 7\n"]


@pytest.mark.parametrize("kind", ["serial", "threads", "processes"])
def test_the_exception_of_a_worker_is_raised(kind: str) -> None:
    with pytest.raises(ValueError, match=r"negative|not defined"):
        list(map_shards(math.factorial, [3, -1, 2], EngineParams(kind=kind, workers=2)))


def test_a_ray_cluster_that_only_a_parameter_names_is_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its workers answer is unpickled here, so it may run code here."""
    monkeypatch.setitem(sys.modules, "ray", None)  # importing it fails
    engine = EngineParams(kind="ray", ray_address="ray://evil.example:10001")
    for held in ("", "ray://mine.example:10001"):
        monkeypatch.setenv("RAY_ADDRESS", held)
        with pytest.raises(StepError, match="RAY_ADDRESS"):
            list(map_shards(math.factorial, [1, 2], engine))
    monkeypatch.setenv("RAY_ADDRESS", engine.ray_address)
    with pytest.raises(ImportError):
        list(map_shards(math.factorial, [1, 2], engine))


def test_nothing_to_do() -> None:
    assert list(map_shards(math.factorial, [], EngineParams())) == []


SLEEPERS = """
import time
from components.engine import map_shards
from components.params import EngineParams
if __name__ == "__main__":
    print("begun", flush=True)
    list(map_shards(time.sleep, [60] * 4, EngineParams(kind="processes", workers=2)))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_process_that_they_work_for(how: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "sleepers.py").write_text(SLEEPERS)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    program = subprocess.Popen([sys.executable, "sleepers.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    program.stdout.readline()
    found: list[psutil.Process] = []
    until = time.monotonic() + 60
    while len(found) < 4 and time.monotonic() < until:  # a resource tracker, the fork server and its two workers
        found = psutil.Process(program.pid).children(recursive=True)
        time.sleep(0.05)
    assert len(found) == 4
    time.sleep(1)  # the workers begin to watch
    program.send_signal(how)
    program.wait()
    assert not psutil.wait_procs(found, timeout=30)[1]
