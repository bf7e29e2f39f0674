"""Runs one stage as `dvc repro --single-item STAGE` in a guarded child, and reports the outcome.

The only cache is DVC's: a stage that DVC would skip is recognised before any process starts, and a result that is in
DVC's run cache is only checked out. The caller gets a stage's output line by line.
"""

import json
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from components.foreign.addresses import without_secrets
from components.running.progress import parse
from flows import graph, processes
from flows.events import Kind
from flows.guard import USAGE

GRACE = 1.6  # seconds between a request to stop and the kill of a stage's group; its guard needs less
TAIL = 15  # lines of a failed stage that its error shows

# DVC's own lines around the output of a stage.
_DVC_SAYS = re.compile(
    r"^(Running stage '|> |Stage '.*' (didn't change|is cached)|(Updating|Generating) lock file|To track the changes with git"
    r"|\tgit add|To enable auto staging|\tdvc config core\.autostage|Use `dvc push`|ERROR: failed to reproduce|$)"
)
# Output left out of the log.
_NOISE = re.compile(
    r"^(\s*$|(Updating|Generating) lock file|To track the changes with git|\tgit add|To enable auto staging|\tdvc config"
    r"|Use `dvc push`)"
)
_SKIPPED = re.compile(r"^Stage '.*' didn't change, skipping")
_RESTORED = re.compile(r"^Stage '.*' is cached - skipping run")
_STARTED = re.compile(r"^> ")
# Temporary refusals: DVC's locks, and errors of the machine (memory, disk).
_PASSING = re.compile(r"Unable to acquire lock|is busy|unexpected error|\[Errno \d+\]")


@dataclass(frozen=True)
class Outcome:
    """The outcome of a stage.

    Attributes:
        kind: ran, cached (nothing changed) or restored (from DVC's run cache).
        outs: md5 of each output, by path.
        usage: `cpu_seconds` of its processes and `peak_bytes` of the largest; empty if no process ran.
    """

    stage: str
    kind: Kind
    seconds: float
    outs: dict[str, str] = field(default_factory=dict)
    usage: dict[str, float] = field(default_factory=dict)


class StageFailed(Exception):
    """A stage failed. `permanent`: a retry cannot help."""

    def __init__(self, stage: str, message: str, lines: list[str], permanent: bool) -> None:
        self.stage, self.reason, self.lines, self.permanent = stage, message, lines, permanent
        super().__init__("\n".join([f"stage {stage}: {message}", *lines]))


class StageStopped(Exception):
    """A stage was stopped with its run."""


class StageRunner:
    """Runs the stages of one checkout. `stop` ends all running ones, from any thread, and prevents new ones."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self.root, self.environment = Path(root), dict(environment)
        self.stopped = threading.Event()
        self._children: set[subprocess.Popen] = set()
        self._lock = threading.Lock()

    def current(self, stage: graph.Stage) -> bool:
        """Whether DVC would skip the stage."""
        return not graph.outdated(self.root, [stage])

    def run(self, stage: graph.Stage, on_line: Callable[[str], None], environment: Mapping[str, str]) -> Outcome:
        """Bring a stage up to date.

        Args:
            stage: the stage.
            on_line: called in this thread with every line that the stage and DVC print.
            environment: variables for this stage, in addition to those of the run.

        Raises:
            StageFailed: with the stage's last lines.
            StageStopped: `stop` was called.
        """
        with tempfile.TemporaryDirectory(prefix="phiforge-") as folder:
            usage = Path(folder, "usage.json")
            outcome = self._run(stage, on_line, {**environment, USAGE: str(usage)})
            found = json.loads(usage.read_text(encoding="utf-8")) if usage.is_file() else {}
        return replace(outcome, usage=found)

    def _run(self, stage: graph.Stage, on_line: Callable[[str], None], environment: Mapping[str, str]) -> Outcome:
        before, started = graph.locked_outputs(self.root, stage.name, stage.file), time.monotonic()
        lines: deque[str] = deque(maxlen=2000)
        child = self._start(stage, environment)
        timer = _Timeout(child, stage.timeout_s)
        assert child.stdout is not None  # it is a pipe
        try:
            for line in child.stdout:
                line = without_secrets(line.rstrip("\n"))  # Prefect keeps what libraries print
                lines.append(line)
                if not _NOISE.match(line):
                    on_line(line)
            status = child.wait()
        finally:
            timer.cancel()
            processes.stop(child, GRACE)
            with self._lock:
                self._children.discard(child)
        if self.stopped.is_set():
            raise StageStopped(f"stage {stage.name} was stopped with its run")
        if timer.expired:
            message = f"stopped after {stage.timeout_s:g} s, the timeout_s in its meta"
            raise StageFailed(stage.name, message, own_lines(lines)[-TAIL:], permanent=True)
        if status != 0:
            raise failure(stage.name, status, list(lines))
        outs = graph.locked_outputs(self.root, stage.name, stage.file)
        kind = _kind(lines)
        if kind == "ran" and stage.always_changed and outs and outs == before:
            kind = "cached"  # it ran without a new result
        return Outcome(stage.name, kind, time.monotonic() - started, outs)

    def stop(self) -> None:
        """End every running stage and all its processes, within two seconds."""
        self.stopped.set()
        with self._lock:
            children = list(self._children)
        for child in children:
            processes.signal_group(child, signal.SIGTERM, alone=True)
        deadline = time.monotonic() + GRACE
        while any(child.poll() is None for child in children) and time.monotonic() < deadline:
            time.sleep(0.02)
        for child in children:
            processes.signal_group(child, signal.SIGKILL)

    def _start(self, stage: graph.Stage, environment: Mapping[str, str]) -> subprocess.Popen:
        command = processes.guarded("dvc", "--wait-for-lock", "repro", "--single-item", stage.address, tree=True)
        with self._lock:
            if self.stopped.is_set():
                raise StageStopped(f"stage {stage.name} was not started: its run was stopped")
            child = processes.start(
                command,
                cwd=self.root,
                env=self.environment | dict(environment),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                bufsize=1,
            )
            self._children.add(child)
        return child


class _Timeout:
    """Stops a child after some seconds."""

    def __init__(self, child: subprocess.Popen, seconds: float | None) -> None:
        self.expired = False
        self._child = child
        self._timer = threading.Timer(seconds or 0, self._expire)
        self._timer.daemon = True
        if seconds:
            self._timer.start()

    def _expire(self) -> None:
        self.expired = True
        processes.stop(self._child, GRACE)

    def cancel(self) -> None:
        self._timer.cancel()


def own_lines(lines: deque[str] | list[str]) -> list[str]:
    """The lines that a stage printed, without DVC's and blank ones; of consecutive progress lines only the last."""
    own = [line for line in lines if not _DVC_SAYS.match(line.rstrip())]
    follows = [*own[1:], ""]
    return [line for line, after in zip(own, follows, strict=False) if not (parse(line) and parse(after))]


def failure(stage: str, status: int, lines: list[str]) -> StageFailed:
    """The failure that a non-zero exit status means.

    A step that explains itself in its last line (`error: <step>: ...`, no traceback) would fail again. So would DVC if
    it refused before the command started. Everything else may be retried, above all a step or a DVC that was killed, for
    instance for lack of memory.
    """
    own = own_lines(lines)
    if not any(_STARTED.match(line) for line in lines):
        last = [line for line in lines if line.strip()][-TAIL:]
        if not any(line.startswith("ERROR: ") for line in last):
            return StageFailed(stage, f"{_ended(status)} before its command started", last, permanent=False)
        passing = any(_PASSING.search(line) for line in last)
        return StageFailed(stage, f"DVC refused to run it (exit status {status})", last, permanent=not passing)
    traceback = any(line.startswith("Traceback (most recent call last)") for line in own)
    explained = bool(own) and own[-1].startswith("error: ") and not traceback
    if explained:  # its last lines give the reason
        own = [line for line in own if not parse(line)]
    reasons = re.findall(r"exited with (-?\d+)", "\n".join(line for line in lines if line.startswith("ERROR:")))
    status = int(reasons[-1]) if reasons else status
    return StageFailed(stage, _ended(status), own[-TAIL:], permanent=explained)


def _ended(status: int) -> str:
    if 128 < status < 128 + signal.NSIG:  # how a shell and our guard report a signal; DVC's own codes begin at 251
        status = 128 - status
    return f"killed by signal {-status}" if status < 0 else f"failed with exit status {status}"


def _kind(lines: deque[str]) -> Kind:
    # The first lines are DVC's; the command prints later.
    for line in lines:
        if _SKIPPED.match(line):
            return "cached"
        if _RESTORED.match(line):
            return "restored"
        if _STARTED.match(line):
            break
    return "ran"
