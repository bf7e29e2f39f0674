"""No hostile program gets out, passes, or leaves anything behind, and the sandbox works after each."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from components.errors import StepError
from components.sandbox import Limits, Sandbox
from tests.components.sandbox.hostile import PRELUDE, PROGRAMS, TESTS

ROOT = Path(__file__).parents[3]
# A program that fills the memory takes 0.15 CPU seconds where nothing else runs, and twice that beside others.
LIMITS = Limits(cpu_seconds=1.0, wall_seconds=3.0, memory_bytes=128 << 20)
# The program is to be held by each of these: everything, and Landlock with seccomp and limits alone, which is what is
# left where neither namespaces nor another user are to be had.
WITHOUT = {"all layers": (), "no namespaces, no other user": ("namespaces", "user")}


@dataclass
class Surroundings:
    """What a program must not touch: a file, a folder, a process, three sockets."""

    folder: Path
    victim: subprocess.Popen
    tcp: socket.socket
    visits: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.canary = self.folder / "canary"
        self.canary.write_text("alive")
        self.folder.chmod(0o777)
        self.canary.chmod(0o666)
        os.utime(self.canary, (1_000_000_000, 1_000_000_000))
        self.abstract = f"phiforge-canary-{os.getpid()}"
        self.unix = str(self.folder / "socket")
        self._listen(self.tcp, "tcp")
        for address, name in ((self.unix, "unix"), ("\0" + self.abstract, "abstract")):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(address)
            self._listen(listener, name)
        os.chmod(self.unix, 0o666)
        self.before = sorted(os.listdir(self.folder))

    def _listen(self, listener: socket.socket, name: str) -> None:
        listener.listen()

        def serve() -> None:
            while True:
                listener.accept()
                self.visits.append(name)

        threading.Thread(target=serve, daemon=True).start()

    def names(self) -> dict[str, object]:
        port = self.tcp.getsockname()[1]
        return {
            "canary": str(self.canary),
            "outside": str(self.folder),
            "project": str(ROOT),
            "victim": self.victim.pid,
            "port": port,
            "unix": self.unix,
            "abstract": self.abstract,
        }

    def check(self) -> None:
        about = self.canary.stat()
        assert self.canary.read_text() == "alive"
        assert (about.st_mode & 0o777, about.st_mtime) == (0o666, 1_000_000_000)
        assert sorted(os.listdir(self.folder)) == self.before
        assert self.victim.poll() is None
        assert self.visits == []


@pytest.fixture(scope="module")
def around() -> Iterator[Surroundings]:
    # Not pytest's own folder: everyone may go there, so that only the sandbox keeps the program out.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        tcp = socket.create_server(("127.0.0.1", 0))
        yield Surroundings(Path(folder), victim, tcp)
        victim.kill()
        victim.wait()


@pytest.fixture(scope="module", params=list(WITHOUT))
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    without = WITHOUT[request.param]
    try:
        with Sandbox(LIMITS, without=without, allow_unisolated_execution=bool(without)) as made:
            made.complete = not made.report["missing"]  # type: ignore[attr-defined]
            yield made
    except StepError as error:
        pytest.skip(f"no isolation on this machine: {error}")


def processes_of(sandbox: Sandbox) -> set[int]:
    """Processes below the sandbox's servers; a server in a process table of its own has another in front of it."""
    below = set()
    for server in sandbox._all:
        assert server._process is not None
        below |= {server._process.pid, *(p.pid for p in psutil.Process(server._process.pid).children(recursive=True))}
    return below


def fill(source: str, names: dict[str, object]) -> str:
    if "{" not in source or not any("{" + name in source for name in (*names, "{")):
        return source
    return source.format(**names)


@pytest.mark.parametrize(("name", "source", "outcomes"), PROGRAMS, ids=[name for name, _, _ in PROGRAMS])
def test_a_hostile_program_is_held(
    sandbox: Sandbox, around: Surroundings, name: str, source: str, outcomes: set[str]
) -> None:
    if name == "thread_bomb" and "user" in sandbox.report["missing"] and os.geteuid() == 0:
        pytest.skip("the kernel does not count root's threads")
    before = processes_of(sandbox)
    program = fill(source, around.names())
    if not name.startswith(("nul_", "not_python", "empty")):
        program = PRELUDE + program
    verdict = sandbox.run(program, TESTS)
    assert not verdict.passed, "scored"
    assert "ESCAPED" not in verdict.stdout, verdict.stdout
    if sandbox.complete:  # type: ignore[attr-defined]
        assert verdict.outcome in outcomes, verdict
    assert len(verdict.stdout.encode()) <= 8 * LIMITS.file_bytes
    assert len(verdict.error) <= 2000
    assert "\n" not in verdict.error
    around.check()
    assert processes_of(sandbox) == before, "left a process, or ended the server"
    folder = sandbox._all[0]._folder
    assert not folder or os.listdir(folder) == []
    honest = sandbox.run("def answer(n): return n ** 3", TESTS)
    assert honest.passed, honest


def test_there_are_enough_of_them() -> None:
    assert len({name for name, _, _ in PROGRAMS}) == len(PROGRAMS) >= 60
