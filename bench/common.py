"""What the benchmarks share: variants measured in turn in processes of their own, medians, tables, JSON.

A benchmark names its variants; each round runs every variant once, one after the other, so that all suffer alike from
whatever else the machine does, and medians over the rounds count. Each measurement is a fresh process: an allocator or
an environment variable belongs to one variant only, and no variant warms another's caches.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".phiforge" / "peers"  # what `make bench-setup` installs beside the locked environment
LONGEST = 1800  # seconds a measurement may take; the first compilation of a model takes minutes

# glibc's allocator keeps what is freed, as components.phi.machine sets it within the process.
KEEPING = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_TOP_PAD_": str(256 * 2**20)}

Row = dict[str, Any]


class BenchError(RuntimeError):
    """A measurement failed; the message has the end of what its process said."""


def add_peers() -> None:
    """Let peers that are no dependencies of the project be imported, behind everything that is."""
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
    """The jemalloc that Ray's wheel ships, where it does (Linux)."""
    import importlib.util

    ray = importlib.util.find_spec("ray")
    if ray is None or not ray.submodule_search_locations:
        return None
    library = Path(ray.submodule_search_locations[0]) / "core" / "libjemalloc.so"
    return library if library.is_file() else None


def allocator(name: str) -> dict[str, str]:
    """Environment that gives a process an allocator: default (glibc as it comes), keeping (glibc told to keep what is
    freed) or jemalloc (keeping, where there is none)."""
    if name == "default":
        return {}
    library = jemalloc()
    if name == "jemalloc" and library is not None:
        return {"LD_PRELOAD": str(library), "MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always"}
    return dict(KEEPING)


def measure(module: str, spec: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Row:
    """Run `python -m MODULE --child SPEC` and return the JSON object that is its last line.

    Args:
        environment: set for this process in addition to what this one has, from which allocator settings are removed.

    Raises:
        BenchError: it failed or said nothing.
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "LD_PRELOAD"}
    clean |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"} | dict(environment or {})
    command = [sys.executable, "-m", module, "--child", json.dumps(dict(spec))]
    done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, timeout=LONGEST, check=False)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode or not lines:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise BenchError(f"{module} {dict(spec)} ended with {done.returncode}: {said}")
    return json.loads(lines[-1])


def interleave(names: Sequence[str], once: Callable[[str], Row], rounds: int) -> dict[str, list[Row]]:
    """Measure each name once a round, in turn, and tell on stderr how far it is."""
    rows: dict[str, list[Row]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            started = time.monotonic()
            rows[name].append(once(name))
            print(
                f"  round {number + 1}/{rounds} {name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True
            )
    return rows


def median(rows: Iterable[Row], key: str) -> float:
    return statistics.median(row[key] for row in rows)


class Stamps:
    """Wall and CPU time at the borders of steps."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def stamp(self) -> None:
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())

    def row(self, skip: int, tokens: int) -> Row:
        """Medians a step after the first `skip`: wall and CPU milliseconds, tokens a second of each."""
        medians = {}
        for name, stamps in (("wall", self.wall[skip:]), ("cpu", self.cpu[skip:])):
            medians[name] = statistics.median(b - a for a, b in itertools.pairwise(stamps))
        return {
            "wall_ms": 1e3 * medians["wall"],
            "cpu_ms": 1e3 * medians["cpu"],
            "tokens_per_second": tokens / medians["wall"],
            "tokens_per_cpu_second": tokens / medians["cpu"],
            "peak_mb": peak_megabytes(),
        }


def peak_megabytes() -> float:
    """Largest resident memory of this process so far, in MB."""
    import resource

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


def parser(description: str, threads: int = 2, rounds: int = 3) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--threads", type=int, default=threads, help="CPU threads of every process (default %(default)s)")
    made.add_argument("--rounds", type=int, default=rounds, help="times each variant is measured (default %(default)s)")
    made.add_argument("--json", type=Path, help="also write everything measured to this file")
    made.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    made.add_argument("--strict", action="store_true", help="exit with 1 if a target is missed")
    made.add_argument("--child", help=argparse.SUPPRESS)  # one measurement, in a process of its own
    return made


def machine(threads: int | None = None) -> Row:
    """What the figures belong to: processor, cores, threads, versions."""
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
