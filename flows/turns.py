"""Turns on a device in the order of arrival, so two runs with stages for the same device alternate.

Each stage has a numbered ticket, a file that its process locks until the stage has ended. A ticket has its turn when no
ticket with a lower number is locked. The kernel frees a lock when its process ends, so the ticket of a killed process does
not block others.
"""

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from components.running.locks import POLL, WaitStopped, exclusive, try_lock


@dataclass(frozen=True)
class Ticket:
    """A stage that has a device or waits for it: run, name, process and time of arrival (seconds since the epoch)."""

    run: str
    stage: str
    pid: int
    since: float

    def __str__(self) -> str:
        return f"stage {self.stage} of run {self.run} (process {self.pid})"


@contextmanager
def turn(
    folder: Path, run: str, stage: str, on_wait: Callable[[str], None], stopped: threading.Event
) -> Iterator[None]:
    """Hold the device of `folder` during the block, after all earlier tickets.

    Args:
        folder: for the device's tickets; made if missing.
        run, stage: shown to waiting stages.
        on_wait: called with the reason and the beginning of the wait, at first and after each change.
        stopped: ends the wait when it is set.

    Raises:
        WaitStopped: `stopped` was set before it was this stage's turn.
    """
    folder.mkdir(exist_ok=True)
    mine, file = _issue(folder, Ticket(run, stage, os.getpid(), time.time()))
    arrival, shown = time.strftime("%H:%M:%S"), ""
    try:
        while ahead := _locked_before(folder, mine):
            if stopped.is_set():
                raise WaitStopped(f"stopped while waiting for {folder.name}")
            others = f", and {len(ahead) - 1} more before this stage" if len(ahead) > 1 else ""
            text = f"waiting since {arrival} for {ahead[0]}{others}"
            if text != shown:
                on_wait(text)
                shown = text
            time.sleep(POLL)
        yield
    finally:
        mine.unlink(missing_ok=True)
        file.close()


def _issue(folder: Path, ticket: Ticket) -> tuple[Path, TextIO]:
    """A new ticket with a higher number than all others, and its open and locked file."""
    with exclusive(folder / "guard"):
        for path in _tickets(folder):
            _drop_dead(path)
        number = max((int(path.stem) for path in _tickets(folder)), default=0) + 1
        path = folder / f"{number:012}.ticket"
        file = open(path, "w", encoding="utf-8")  # noqa: SIM115 - closing it ends the turn
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump(asdict(ticket), file)
        file.flush()
    return path, file


def _locked_before(folder: Path, mine: Path) -> list[Ticket]:
    """Tickets before `mine` that a running process has locked, in order."""
    found = []
    for path in _tickets(folder):
        if path >= mine:
            break
        with suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
            if not try_lock(file, fcntl.LOCK_SH):
                found.append(Ticket(**json.load(file)))
    return found


def _tickets(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.ticket"))


def _drop_dead(path: Path) -> None:
    with suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
        if try_lock(file, fcntl.LOCK_SH):
            path.unlink()
