"""The caller's side of one server: start it, send programs, read verdicts, replace it if it died."""

import json
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.sandbox import folders
from components.sandbox.types import Job, Limits, Outcome, Verdict

_ROOT = Path(__file__).parent.parent.parent
_START = (
    f"import sys; sys.path.insert(0, {str(_ROOT)!r}); import components.sandbox.preload; "
    "from components.sandbox.server import main; main()"
)
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "LANG": "C.UTF-8"}
_PATIENCE = 30.0  # seconds beyond a program's wall time until the server counts as stuck
_PASSED, _PROGRAM_ENDED, _NOT_CONFINED = 42, 44, 70  # as in the server's modules, which are not imported here
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


def readable_paths() -> list[str]:
    """Paths that a program needs to read: the standard library, shared libraries, time zones, devices."""
    library = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), sysconfig.get_config_var("LIBDIR")}
    library |= {os.path.join(sys.base_prefix, "lib"), sysconfig.get_config_var("DESTSHARED")}
    shared = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/usr/share/zoneinfo")
    paths = {os.path.realpath(path) for path in (*library, *shared) if path and os.path.exists(path)}
    # A link such as /lib -> usr/lib is needed under both names; a path inside another is not needed.
    paths |= {path for path in shared if os.path.exists(path)}
    inner = {path for path in paths for other in paths if path != other and path.startswith(other.rstrip("/") + "/")}
    return sorted(paths - inner) + list(_DEVICES)


class Server:
    """One server process for one program at a time. `report` contains the missing layers with their reasons."""

    def __init__(self, limits: Limits, missing: dict[str, str]) -> None:
        self._limits, self._missing = limits, missing
        self._null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def _start(self) -> None:
        """Start the process; if a layer fails, start again without it."""
        while True:
            self._folder = ""
            if "namespaces" in self._missing:  # else the server has its own file system with the folder
                self._folder = folders.shared_folder()
            self._control, theirs = socket.socketpair(socket.AF_UNIX, getattr(socket, "SOCK_SEQPACKET", 1))
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-S", "-s", "-P", "-X", "utf8", "-c", _START, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    env=_ENVIRONMENT | {k: v for k, v in os.environ.items() if k == "PYTHONDONTWRITEBYTECODE"},
                    start_new_session=True,
                )
            self._control.settimeout(_PATIENCE)
            setup = {"missing": self._missing, "folder": self._folder, "limits": asdict(self._limits)}
            setup["readable"] = readable_paths()
            self._control.send(json.dumps(setup).encode())
            answer = self._receive()
            if answer is None:
                self.close()
                raise StepError(f"the sandbox's server did not start with {sys.executable}; try it with -S -s -P")
            if "unavailable" not in answer:
                self.report: dict[str, Any] = answer
                return
            self._missing = {**self._missing, answer["unavailable"]: answer["reason"]}
            self._stop()

    def run(self, job: Job) -> Verdict:
        """The verdict on one program. If the server died, it is replaced, and the program counts as crashed."""
        files = [_memory_file(job.program), _memory_file(job.stdin) if job.stdin else os.dup(self._null)]
        files += [_memory_file(""), _memory_file("")]
        if job.tests is not None:
            files.append(_memory_file(job.tests))
        try:
            header = json.dumps({"names": list(job.names)}).encode()
            try:
                socket.send_fds(self._control, [header], files)
                self._control.settimeout(self._limits.wall_seconds + _PATIENCE)
                answer = self._receive()
            except OSError:
                answer = None
            if answer is None:
                self._stop()
                self._start()
                return Verdict(Outcome.CRASHED, error="the sandbox's server ended with the program")
            stdout, result = (os.pread(f, os.fstat(f).st_size, 0) for f in files[2:4])
        finally:
            for descriptor in files:
                os.close(descriptor)
        return judge(answer, stdout, result, self._limits, tested=job.tests is not None)

    def _receive(self) -> dict[str, Any] | None:
        try:
            data = self._control.recv(1 << 16)
        except OSError:
            return None
        return json.loads(data) if data else None

    def _stop(self) -> None:
        """End the process, and with it all processes that it started."""
        self._control.close()
        if self._process is not None:
            try:
                self._process.wait(timeout=2)  # it ends when the connection closes
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._folder:
            folders.remove(self._folder)

    def close(self) -> None:
        if self._null >= 0:
            self._stop()
            os.close(self._null)
            self._null = -1


def _memory_file(text: str) -> int:
    """An open file in memory with this text, at its beginning."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("sandbox", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    data = text.encode("utf-8", "surrogatepass")
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], written)
    return descriptor


def judge(answer: dict[str, Any], stdout: bytes, result: bytes, limits: Limits, tested: bool) -> Verdict:
    """The verdict from the exit statuses of the processes. With tests, only the tests' process can report a pass."""
    text = stdout[: limits.file_bytes].decode("utf-8", "backslashreplace")
    outcome, error = _outcome(answer, result, limits, tested)
    if len(stdout) >= limits.file_bytes:
        outcome, error = Outcome.OUTPUT, f"wrote {limits.file_bytes} bytes or more to standard output"
    return Verdict(outcome, text, error, answer["seconds"], answer["cpu_seconds"])


def _outcome(answer: dict[str, Any], result: bytes, limits: Limits, tested: bool) -> tuple[Outcome, str]:
    status = answer["judge"]
    if answer["limit"] == "folder":
        return Outcome.OUTPUT, f"filled its folder with more than {limits.folder_bytes} bytes or many files"
    if answer["limit"] is not None:
        used = limits.cpu_seconds if answer["limit"] == "cpu" else limits.wall_seconds
        return Outcome.TIMEOUT, f"ran for {used:g} s of {answer['limit']} time"
    if status == _PASSED:
        return Outcome.PASSED, ""
    reported = _reported(result)
    if status not in (_PROGRAM_ENDED, _NOT_CONFINED) and status >= 0 and reported:
        return reported
    if tested and status == _PROGRAM_ENDED:
        return _ended(answer["program"])
    if tested:
        return Outcome.CRASHED, f"the tests' process ended with status {status}"
    return _ended(status)


def _reported(result: bytes) -> tuple[Outcome, str] | None:
    """The failure that a child reported; everything else is ignored, even `passed`."""
    try:
        report = json.loads(result)
        outcome, error = Outcome(report["outcome"]), str(report["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return None if outcome is Outcome.PASSED else (outcome, error[:2000])


def _ended(status: int | None) -> tuple[Outcome, str]:
    """The outcome of a program's process that ended with this status (negative: a signal)."""
    if status is None:
        return Outcome.EXITED, "the program closed the connection to its tests"
    if status >= 0:
        return Outcome.EXITED, f"the program ended itself with status {status}"
    name = signal_name(-status)
    kinds = {"SIGSYS": Outcome.FORBIDDEN, "SIGXCPU": Outcome.TIMEOUT, "SIGKILL": Outcome.MEMORY}
    return kinds.get(name, Outcome.CRASHED), f"the program was ended by {name}"


def signal_name(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
