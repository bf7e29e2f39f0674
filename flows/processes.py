"""Child processes that end with their run, because they start under the guard in their own process groups."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

GUARD = Path(__file__).with_name("guard.py")
# Environment of guarded modules, because the guard ignores the current folder.
CODE = {"PYTHONPATH": str(Path(__file__).parents[1])}


def guarded(module: str, *arguments: str, tree: bool = False) -> list[str]:
    """The command that runs `python -m module arguments` under the guard of this process."""
    flags = ["--tree"] if tree else []
    return [sys.executable, "-P", str(GUARD), *flags, str(os.getpid()), module, *arguments]


def start(command: list[str], **options: Any) -> subprocess.Popen:
    """Start a command in its own session, so that a terminal's Ctrl-C reaches only this process, which stops its children."""
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)


def run(command: list[str], grace: float, timeout: float | None = None, **options: Any) -> tuple[int, str]:
    """Run a command with all processes that it starts; returns its exit status and output.

    Args:
        grace: seconds from the request to stop until the kill, if the wait is interrupted.
        timeout: maximum seconds; None = no limit.
        options: of the process, such as `cwd` and `env`.

    Raises:
        subprocess.TimeoutExpired: the command took longer.
    """
    child = start(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        **options,
    )
    try:
        output, _ = child.communicate(timeout=timeout)
    finally:
        stop(child, grace)
    return child.returncode, output


def last_line(status: int, output: str) -> str:
    """The last line of the output of a failed command; without output, its exit status."""
    return (output.strip().splitlines() or [f"ended with status {status}"])[-1]


def start_server(command: list[str], listener: socket.socket, **options: Any) -> subprocess.Popen:
    """Start a command that serves on a socket of this process (`--fd`). The socket stays open here, so that no other
    program can use the port, and receive the credentials, before the server is up or between its end and its next start.
    """
    return start([*command, "--fd", str(listener.fileno())], pass_fds=[listener.fileno()], **options)


def stop(process: subprocess.Popen, grace: float) -> None:
    """Request the end of a process, and kill its group after `grace` seconds. Returns after the end of the process."""
    if process.poll() is None:
        signal_group(process, signal.SIGTERM, alone=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    signal_group(process, signal.SIGKILL)  # also remaining processes of the group
    process.wait()


def signal_group(process: subprocess.Popen, number: int, alone: bool = False) -> None:
    """Send a signal to a child, or to its whole group, unless it has ended."""
    try:
        os.kill(process.pid, number) if alone else os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, or an empty string."""
    if not path.is_file():
        return ""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def wait_until(ready: Any, seconds: float, pause: float = 0.1) -> bool:
    """Call `ready` until it is true or `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
