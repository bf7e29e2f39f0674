"""Shared parts of the benchmarks: contenders in separate processes that take steps in turn, medians, tables, JSON.

Each contender has its own process, and so its own allocator and environment. They take their steps in turn, one process at
a time, so that other load affects all equally. The results are medians over the rounds.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".phiforge" / "peers"  # packages from `make bench-setup`, outside of the locked environment
LONGEST = 1800  # maximum seconds of a measurement; the first compilation of a model takes minutes

# Settings with which glibc's allocator keeps freed memory, as components.phi.machine sets them within the process.
KEEPING = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_TOP_PAD_": str(256 * 2**20)}

RATE = {"wall": "tokens_per_second", "cpu": "tokens_per_cpu_second"}
GATE = "BENCH_GATE"  # file descriptors on which a child waits and answers

Row = dict[str, Any]


class BenchError(RuntimeError):
    """A measurement failed; the message has the end of its process's output."""


def add_peers() -> None:
    """Make peers importable that are not dependencies of the project, after all dependencies."""
    if PEERS.is_dir() and str(PEERS) not in sys.path:
        sys.path.append(str(PEERS))


def missing_peer(name: str) -> str | None:
    """None if a peer can be imported, else a sentence to print."""
    import importlib.util

    add_peers()
    if importlib.util.find_spec(name) is not None:
        return None
    return f"{name} is not installed, so it is left out; `make bench-setup` installs it"


def jemalloc() -> Path | None:
    """The jemalloc in Ray's wheel (Linux), if there is one."""
    import importlib.util

    ray = importlib.util.find_spec("ray")
    if ray is None or not ray.submodule_search_locations:
        return None
    library = Path(ray.submodule_search_locations[0]) / "core" / "libjemalloc.so"
    return library if library.is_file() else None


def allocator(name: str) -> dict[str, str]:
    """Environment of a process for an allocator: default (glibc unchanged), keeping (glibc set to keep freed memory) or
    jemalloc (if missing: keeping)."""
    if name == "default":
        return {}
    library = jemalloc()
    if name == "jemalloc" and library is not None:
        return {"LD_PRELOAD": str(library), "MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always"}
    return dict(KEEPING)


@dataclass
class Contender:
    """A process that takes steps on request: the measurement, and the environment at its start."""

    spec: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)


def lockstep(module: str, contenders: Mapping[str, Contender], rounds: int, settle: int = 0) -> dict[str, Row]:
    """Measure contenders step by step in turn: each takes one step, then the next one, round after round.

    Other load affects all equally, so the ratio of two contenders in one round changes little. Each runs as `python -m
    MODULE --child SPEC`, calls `Steps.border` between its steps, and prints a JSON object as its last line.

    Args:
        settle: earlier rounds that do not count, for caches and compilation.

    Returns:
        for each name the child's JSON with `steps`, a list of [wall seconds, CPU seconds] per round.

    Raises:
        BenchError: a child failed; the message has the end of its output.
    """
    running: dict[str, _Child] = {}
    try:
        for name, contender in contenders.items():
            started = time.monotonic()
            running[name] = _Child(module, contender)
            running[name].wait_for_border()
            _tell(f"  {name}: started in {time.monotonic() - started:.0f} s")
        for number in range(settle + rounds):
            for child in running.values():
                child.step()
            if number == settle - 1:
                _tell(f"  settled; {rounds} rounds")
        return {name: child.finish(settle, rounds) for name, child in running.items()}
    finally:
        for child in running.values():
            child.stop()


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _Child:
    """The parent's end of a contender."""

    def __init__(self, module: str, contender: Contender) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "LD_PRELOAD"}
        clean |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"} | dict(contender.environment)
        self.command = [sys.executable, "-m", module, "--child", json.dumps(dict(contender.spec))]
        read_go, self.go = os.pipe()
        self.border, write_border = os.pipe()
        clean[GATE] = f"{read_go},{write_border}"
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, env=clean, stdout=self.out, stderr=self.err, pass_fds=(read_go, write_border)
        )
        os.close(read_go)
        os.close(write_border)

    def wait_for_border(self) -> None:
        if not os.read(self.border, 1):
            self._fail()

    def step(self) -> None:
        try:
            os.write(self.go, b".")
        except BrokenPipeError:
            self._fail()
        self.wait_for_border()

    def finish(self, settle: int, rounds: int) -> Row:
        """Let it run to its end and read its result."""
        os.close(self.go)
        self.go = -1
        if self.process.wait(timeout=LONGEST):
            self._fail()
        row = json.loads(_text(self.out)[-1])
        row["steps"] = row["steps"][settle : settle + rounds]
        return row

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for descriptor in (self.go, self.border):
            if descriptor >= 0:
                os.close(descriptor)
        self.go = self.border = -1
        self.out.close()
        self.err.close()

    def _fail(self) -> None:
        status = self.process.wait(timeout=60)
        said = "\n".join((_text(self.err) or _text(self.out))[-8:])
        raise BenchError(f"{' '.join(self.command[1:])} ended with {status}: {said}")


def _text(file: Any) -> list[str]:
    file.seek(0)
    return [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]


class Steps:
    """The child's end: call `border` before each step and after the last. Without a parent nothing waits.

    Args:
        wait: for a device to be done, so that a step's work falls into its time.
    """

    def __init__(self, wait: Callable[[], Any] | None = None) -> None:
        self._wait = wait
        gate = os.environ.get(GATE)
        self._go, self._border = map(int, gate.split(",")) if gate else (-1, -1)
        self.seconds: list[tuple[float, float]] = []
        self._since: tuple[float, float] | None = None

    def border(self) -> None:
        if self._wait is not None:
            self._wait()
        now = time.perf_counter(), time.process_time()
        if self._since is not None:
            self.seconds.append((now[0] - self._since[0], now[1] - self._since[1]))
        if self._border >= 0:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._border, b".")
            os.read(self._go, 1)  # empty when the parent has seen enough: go on without it
        self._since = time.perf_counter(), time.process_time()

    def row(self) -> Row:
        return {"steps": self.seconds, "peak_mb": peak_megabytes()}


def rates(rows: Mapping[str, Row], tokens: int) -> None:
    """Add medians per step to each row: wall and CPU milliseconds, tokens per second of each."""
    for row in rows.values():
        for clock, name in enumerate(("wall", "cpu")):
            seconds = statistics.median(step[clock] for step in row["steps"])
            row[f"{name}_ms"] = 1e3 * seconds
            row[RATE[name]] = tokens / seconds


def times_faster(rows: Mapping[str, Row], fast: str, slow: str, by: str) -> float:
    """How many times as fast: the median over the rounds of the ratio of two steps that were neighbours in time."""
    clock = tuple(RATE).index(by)
    pairs = zip(rows[fast]["steps"], rows[slow]["steps"], strict=True)
    return statistics.median(b[clock] / a[clock] for a, b in pairs)


def cpu_seconds() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    import resource

    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def in_turn(
    ways: Mapping[str, Callable[[], Any]], rounds: int, warm: int = 0, prepared: bool = False
) -> tuple[dict[str, list[float]], Row]:
    """Measure ways within this process, one after another in each round, so that other load affects all equally.

    Args:
        warm: rounds before those that count.
        prepared: each way prepares something and returns the function to measure.

    Returns:
        by name the CPU seconds of each counted round, and the last result of each way.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: Row = {}
    for number in range(warm + rounds):
        for name, way in ways.items():
            measured = way() if prepared else way
            started = cpu_seconds()
            found[name] = measured()
            if number >= warm:
                seconds[name].append(cpu_seconds() - started)
    return seconds, found


def rate_rows(seconds: Mapping[str, Sequence[float]], amount: float) -> dict[str, tuple[float, float]]:
    """Of `in_turn`'s seconds by name: the amount per second (median), and how many times as fast the first is (median)."""
    first = next(iter(seconds.values()))
    return {
        name: (amount / statistics.median(spent), statistics.median(a / b for a, b in zip(spent, first, strict=True)))
        for name, spent in seconds.items()
    }


class Watch:
    """Private memory and CPU time of this process and of all below it, sampled while it is entered."""

    def __enter__(self) -> "Watch":
        self._peaks: dict[int, int] = {}
        self._cpu: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def peaks(self) -> list[int]:
        """Largest private memory of each process in bytes (without mapped files), the largest first."""
        return sorted(self._peaks.values(), reverse=True)

    @property
    def cpu(self) -> float:
        """CPU seconds of all processes, without those after a process's last sample."""
        return sum(self._cpu.values())

    def _watch(self) -> None:
        import psutil

        own, going = psutil.Process(), True
        while going:
            going = not self._stop.wait(0.02)
            for process in (own, *own.children(recursive=True)):
                with contextlib.suppress(psutil.Error):  # it ended meanwhile
                    memory, times = process.memory_info(), process.cpu_times()
                    self._peaks[process.pid] = max(self._peaks.get(process.pid, 0), memory.rss - memory.shared)
                    self._cpu[process.pid] = times.user + times.system


def peak_megabytes() -> float:
    """Largest resident memory of this process so far, in MB; on Linux since the last write to /proc/self/clear_refs."""
    import resource

    with contextlib.suppress(OSError, StopIteration):
        status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


@dataclass
class Report:
    """Tables, notes and verdicts of a benchmark, as text, Markdown or JSON."""

    title: str
    settings: Row
    tables: list[tuple[str, list[str], list[list[Any]]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    targets: list[Row] = field(default_factory=list)
    measurements: Any = None

    def table(self, caption: str, columns: list[str], rows: list[list[Any]]) -> None:
        self.tables.append((caption, columns, rows))

    def table_of(self, caption: str, columns: Mapping[str, str], rows: Mapping[str, Row]) -> None:
        """A table of rows by name, with a title for each shown key."""
        shown = [[name, *(row.get(key) for key in columns)] for name, row in rows.items()]
        self.table(caption, ["", *columns.values()], shown)

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def target(self, what: str, value: float | None, bound: float, at_least: bool = True) -> None:
        """State a figure against its bound; None where it could not be measured."""
        met = None if value is None else (value >= bound if at_least else value <= bound)
        self.targets.append({"what": what, "value": value, "bound": bound, "at_least": at_least, "met": met})

    def text(self) -> str:
        return "\n".join(self._lines(plain_table, "{}"))

    def markdown(self) -> str:
        return "\n".join(self._lines(markdown_table, "### {}"))

    def _lines(self, render: Callable[[list[str], list[list[str]]], list[str]], heading: str) -> list[str]:
        lines = [heading.format(self.title), "", ", ".join(f"{k} {v}" for k, v in self.settings.items())]
        for caption, columns, rows in self.tables:
            lines += ["", caption, "", *render(columns, [[cell(value) for value in row] for row in rows])]
        lines += ["", *self.notes] if self.notes else []
        lines += ["", *(self._verdict(target) for target in self.targets)] if self.targets else []
        return lines

    @staticmethod
    def _verdict(target: Row) -> str:
        sign = ">=" if target["at_least"] else "<="
        if target["met"] is None:
            return f"- {target['what']}: not measured (target {sign} {cell(target['bound'])})"
        verdict = "met" if target["met"] else "MISSED"
        return f"- {target['what']}: {cell(target['value'])} (target {sign} {cell(target['bound'])}: {verdict})"

    def finish(self, arguments: argparse.Namespace) -> int:
        """Print as the command line asks, write the JSON if asked; returns the exit status, 1 if a target is missed and
        the command line says that this counts."""
        print(self.markdown() if arguments.markdown else self.text())
        if arguments.json:
            from components.files import write_json

            keys = ("title", "settings", "targets", "notes", "measurements")
            tables = [{"caption": c, "columns": k, "rows": r} for c, k, r in self.tables]
            write_json(arguments.json, {key: getattr(self, key) for key in keys} | {"tables": tables})
        return int(arguments.strict and any(target["met"] is False for target in self.targets))


def cell(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"


def plain_table(columns: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    shown = [[columns[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(columns[1:], widths[1:], strict=True))]]
    shown += [[r[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(r[1:], widths[1:], strict=True))] for r in rows]
    return ["  ".join(line) for line in shown]


def markdown_table(columns: list[str], rows: list[list[str]]) -> list[str]:
    border = ["---", *("---:" for _ in columns[1:])]
    return ["| " + " | ".join(line) + " |" for line in (columns, border, *rows)]


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """The script's unchanged docstring, and the default of each option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None or action.default is False else super()._get_help_string(action)


def parser(description: str | None, threads: int = 0, rounds: int = 0) -> argparse.ArgumentParser:
    """The shared options of benchmarks; those for threads and rounds only with a default."""
    made = argparse.ArgumentParser(description=description, formatter_class=_Help)
    if threads:
        made.add_argument("--threads", type=int, default=threads, help="CPU threads of every process")
    if rounds:
        made.add_argument("--rounds", type=int, default=rounds, help="counted turns of each contender")
    made.add_argument("--json", type=Path, help="also write everything measured to this file")
    made.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    made.add_argument("--strict", action="store_true", help="exit with 1 if a target is missed")
    made.add_argument("--child", help=argparse.SUPPRESS)  # one measurement, in a process of its own
    return made


def parse(options: argparse.ArgumentParser, child: Callable[[Row], Row]) -> argparse.Namespace:
    """The command line; a process that is started for one measurement takes it, prints it and ends here."""
    found = options.parse_args()
    if found.child:
        print(json.dumps(child(json.loads(found.child))))
        raise SystemExit(0)
    return found


def run(command: Sequence[object], folder: Path = ROOT, **environment: str) -> str:
    """The output of a command.

    Raises:
        BenchError: it failed; the message has the end of its output.
    """
    words = [str(word) for word in command]
    clean = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL")} | environment
    done = subprocess.run(words, cwd=folder, env=clean, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(words)} ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def in_a_process(module: str, spec: Mapping[str, Any], **environment: str) -> Row:
    """The measurement of a benchmark's child, in its own process."""
    said = run([sys.executable, "-m", module, "--child", json.dumps(dict(spec))], **environment)
    return json.loads(said.strip().splitlines()[-1])


def step(name: str, settings: Mapping[str, Any], *words: object, **paths: object) -> Row:
    """Run `python -m components.NAME` with settings of params.yaml and paths by option; its summary."""
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary.json"
        command = [sys.executable, "-m", f"components.{name}", *words, "--summary", summary]
        command += [word for option, path in paths.items() for word in (f"--{option}", path)]
        command += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        run(command)
        return json.loads(summary.read_text(encoding="utf-8"))


def machine(threads: int | None = None) -> Row:
    """The conditions of the figures: processor, cores, threads, versions."""
    import torch

    facts = {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()}
    facts["torch"] = torch.__version__
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts | ({"threads": threads} if threads else {})


def processor() -> str:
    """Name of the processor and its capabilities that matter to matrix products."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    values = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    values = {key.strip(): value.strip() for key, value in values.items()}
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in values.get("flags", "").split()]
    return f"{values.get('model name', platform.machine())} ({' '.join(flags[-2:])})"
