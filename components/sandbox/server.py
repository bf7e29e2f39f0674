"""The sandbox's server: a small process that forks one confined child, or two, for each program.

It has already imported common modules, so a program needs a fork instead of an interpreter's start. It never reads a
program, its tests, its output or the text of its verdict: these are in memory files from the caller, which only the
children read and write. So a child, which is a copy of the server, has nothing of other programs in its memory.

`components.sandbox.client` starts it and communicates with it. The first message has the setup. Then a job is one message,
JSON with open files, and the answer is another: how the children ended, whether a limit ended them, and their time.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from components.sandbox import checker, folders, kernel, landlock, namespaces, program
from components.sandbox.isolation import Confinement, confine
from components.sandbox.seccomp import Template

_OWN_USERS = 2_000_000_000  # first of the unused ids: a pair for each server, by its process id
_NOBODY = 65534
_MORE_THREADS = 256  # for other programs of the same user, if the program shares its user
_TICK = 0.01  # minimum seconds between two checks of a program's CPU time
_FOLDER_TICK = 0.05  # the same for a folder that the kernel does not limit
_GRACE = 1.0  # seconds for a program to end after it closed the connection to its tests
_NOT_CONFINED = 70  # exit status of a child that could not be confined and did not run the program


def main() -> None:
    """Set up, report the result, then do jobs until the caller ends."""
    control = socket.socket(fileno=int(sys.argv[1]))
    sys.dont_write_bytecode = True
    setup = json.loads(control.recv(1 << 16))
    os.environ.clear()
    missing = dict(setup["missing"])
    try:
        confinement, report = _prepare(missing, setup)
    except _Unavailable as error:
        control.send(json.dumps({"unavailable": error.layer, "reason": str(error)}).encode())
        return
    os.environ.update(HOME=confinement.folder, TMPDIR=confinement.folder, PATH="/usr/bin:/bin", LANG="C.UTF-8")
    sys.argv = ["program.py"]
    sys.path[:] = [path for path in sys.path if path.startswith(sys.base_prefix)]
    gc.collect()
    gc.freeze()  # so that the children's collectors do not write to shared pages
    gc.disable()
    control.send(json.dumps(report).encode())
    Server(control, confinement, setup["limits"], bounded="namespaces" not in missing).serve()


class _Unavailable(Exception):
    """A layer that this machine refused during setup; the caller starts another server without it."""

    def __init__(self, layer: str, reason: object) -> None:
        super().__init__(str(reason))
        self.layer = layer


def _prepare(missing: dict[str, str], setup: dict[str, Any]) -> tuple[Confinement, dict[str, Any]]:
    """Enter the namespaces, and make the ruleset and the filter; layers that are not available are added to `missing`."""
    root = os.geteuid() == 0
    folder, readable, limits = setup["folder"], setup["readable"], setup["limits"]
    users, own = (None, False) if "user" in missing else _users()
    if root and users is None:
        missing.setdefault("user", "root may not change to another user's id here")
    abi, machine = landlock.abi(), os.uname().machine
    if abi < landlock.LEAST_ABI:
        missing.setdefault("landlock", f"ABI {abi}, {landlock.LEAST_ABI} needed" if abi else "not in this kernel")
    if not kernel.has_seccomp() or machine not in ("x86_64", "aarch64"):
        missing.setdefault("seccomp", f"not in this kernel, or not for {machine}")
    beside = _threads_of(users[0] if users else os.geteuid()) + _MORE_THREADS
    if kernel.LINUX:
        _prefer_to_be_killed()
    if "namespaces" not in missing:
        try:
            namespaces.enter(readable, limits["folder_bytes"], limits["folder_entries"])
        except OSError as error:
            raise _Unavailable("namespaces", error) from error
        folder = namespaces.FOLDER
    elif kernel.LINUX:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    rules = landlock.ruleset(abi, readable, [folder]) if "landlock" not in missing else None
    confinement = Confinement(
        folder=folder,
        users=users,
        threads_beside=0 if own or (not root and "namespaces" not in missing) else beside,
        rules=rules,
        filter=Template(machine) if "seccomp" not in missing else None,
        limits="limits" not in missing,
        capabilities=kernel.LINUX and (root or "namespaces" not in missing) and "user" not in missing,
    )
    return confinement, {"missing": missing, "abi": abi, "users": users, "root": root}


def _users() -> tuple[tuple[int, int] | None, bool]:
    """Ids for the program and the tests to which this process, as root, may change, and whether no other process uses them."""
    if os.geteuid() != 0:
        return None, False
    first = _OWN_USERS + 2 * os.getpid()
    for users, own in (((first, first + 1), True), ((_NOBODY, _NOBODY), False)):
        child = os.fork()
        if not child:
            try:
                os.setgroups([])
                os.setresgid(users[0], users[0], users[0])
                os.setresuid(users[1], users[1], users[1])
            except OSError:
                os._exit(1)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            return users, own
    return None, False


def _threads_of(user: int) -> int:
    """Number of threads of a user now. Without /proc it is so high that the limit never matters."""
    if not os.path.isdir("/proc/1"):
        return 1 << 20
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{name}").st_uid == user:
                count += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue  # ended meanwhile
    return count


def _prefer_to_be_killed() -> None:
    """If memory is exhausted, let the kernel end programs rather than other processes such as a training run."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        return  # without /proc or the right to write, the order of killing is open


class _Child:
    """A process that the server started; `status` is its exit status (negative: a signal) after its end."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1  # readable after the end of the process
        self.status: int | None = None
        self.cpu = 0.0

    def look(self, block: bool = False) -> bool:
        """Whether it has ended."""
        if self.status is None:
            pid, status, usage = os.wait4(self.pid, 0 if block else os.WNOHANG)
            if pid:
                self.status, self.cpu = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
                if self.handle >= 0:
                    os.close(self.handle)
        return self.status is not None

    def end(self) -> None:
        if not self.look():
            os.kill(self.pid, signal.SIGKILL)
            self.look(block=True)


class Server:
    """Does one job after the other; `bounded`: the kernel limits the folder's size."""

    def __init__(self, control: socket.socket, confinement: Confinement, limits: dict[str, Any], bounded: bool) -> None:
        self._control, self._confinement, self._limits, self._bounded = control, confinement, limits, bounded
        self._null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self._cores = os.cpu_count() or 1

    def serve(self) -> None:
        while True:
            message, files, _, _ = socket.recv_fds(self._control, 1 << 16, 8)
            if not message:
                self._remove_folder()
                return
            answer = self._job(json.loads(message), list(files))
            self._control.send(json.dumps(answer).encode())

    def _job(self, header: dict[str, Any], files: list[int]) -> dict[str, Any]:
        """`files` are the program, its input, its output, the result, and optionally the tests."""
        source, stdin, stdout, result, *tests = files
        started = time.monotonic()
        if tests:
            mine, theirs = socket.socketpair()
            files += [mine.detach(), theirs.detach()]
            to_tests, to_program = files[-2:]
            judged = self._fork(
                lambda: program.serve_tests(_take(source), to_tests), stdin, stdout, (source, to_tests), tests=False
            )
            judge = self._fork(
                lambda: checker.run_tests(_take(tests[0]), header["names"], to_program, result),
                self._null,
                self._null,
                (tests[0], to_program, result),
                tests=True,
            )
        else:
            judge = judged = self._fork(
                lambda: program.run_script(_take(source), result), stdin, stdout, (source, result), tests=False
            )
        for descriptor in files:
            os.close(descriptor)
        limit = self._watch(judged, judge, started)
        if judge.status == program.PROGRAM_ENDED:
            self._wait(judged, _GRACE)
        ended = judged.look()
        for child in (judged, judge):
            child.end()
        seconds = time.monotonic() - started
        self._leave_nothing()
        return {
            "judge": judge.status,
            "program": judged.status if ended else None,
            "limit": limit,
            "cpu_seconds": judged.cpu + (judge.cpu if judge is not judged else 0.0),
            "seconds": seconds,
        }

    def _fork(self, work: Callable[[], None], stdin: int, stdout: int, keep: tuple[int, ...], tests: bool) -> _Child:
        pid = os.fork()
        if pid:
            return _Child(pid)
        try:
            for descriptor, place in ((stdin, 0), (stdout, 1), (self._null, 2)):
                os.dup2(descriptor, place)
            confine(self._confinement, self._limits, keep, tests)
        except BaseException:  # noqa: BLE001 - without confinement nothing may run
            os._exit(_NOT_CONFINED)
        try:
            gc.enable()
            for name in [name for name in sys.modules if name.partition(".")[0] == "components"]:
                del sys.modules[name]  # so that a program cannot import `components`
            work()
        finally:
            os._exit(_NOT_CONFINED)  # this copy of the server must not go on

    def _watch(self, judged: _Child, judge: _Child, started: float) -> str | None:
        """Wait until the judge has ended or a limit is reached, and return that limit."""
        while not judge.look():
            wall = self._limits["wall_seconds"] - (time.monotonic() - started)
            cpu = self._limits["cpu_seconds"] - max(kernel.cpu_seconds(c.pid) for c in (judged, judge) if not c.status)
            if wall <= 0 or cpu <= 0:
                return "wall" if wall <= 0 else "cpu"
            if not self._bounded and folders.exceeds(self._confinement.folder, self._limits):
                return "folder"
            pause = max(_TICK, min(wall, cpu / self._cores))
            self._wait(judge, pause if self._bounded else min(pause, _FOLDER_TICK))
        return None

    def _wait(self, child: _Child, seconds: float) -> None:
        """Wait until the child has ended or the time is over. If the caller has ended, end the server and its children."""
        if child.look():
            return
        poll = select.poll()
        poll.register(self._control, getattr(select, "POLLRDHUP", 0) | select.POLLHUP)
        if child.handle >= 0:
            poll.register(child.handle, select.POLLIN)
        else:
            seconds = min(seconds, _TICK / 2)
        events = dict(poll.poll(seconds * 1000))
        if self._control.fileno() in events:
            child.end()
            self._leave_nothing()
            self._remove_folder()
            os._exit(0)
        child.look()

    def _remove_folder(self) -> None:
        """Remove the folder, because a killed caller cannot. The server's own file system disappears by itself."""
        if not self._bounded:
            folders.remove(self._confinement.folder)

    def _leave_nothing(self) -> None:
        """End hidden processes of a program (impossible with seccomp), and empty the folder."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                self._end_strays()
        folders.empty(self._confinement.folder)

    @staticmethod
    def _end_strays() -> None:
        if os.getpid() == 1:
            os.kill(-1, signal.SIGKILL)
            time.sleep(0.001)
            return
        me = os.getpid()
        for name in os.listdir("/proc") if kernel.LINUX else []:
            try:
                with open(f"/proc/{int(name)}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
                if parent == me:
                    os.kill(int(name), signal.SIGKILL)
            except (ValueError, OSError):
                continue  # not a process, or ended meanwhile
        time.sleep(0.001)


def _take(descriptor: int) -> bytes:
    """Read a whole memory file, and close it."""
    data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    os.close(descriptor)
    return data
