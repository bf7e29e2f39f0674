"""Housekeeping: removes leftovers of runs that are no longer needed, by age and number, and reports the freed space.

- `plan.py`: which entries are removed: those beyond their limit that no kept entry needs.
- `files.py`: workspaces, states of training, work of curation, journals, uploads.
- `objects.py`: DVC's cache and local remote, experiments, sources of runs in git.
- `tracked.py`, `flow_runs.py`: runs in MLflow and in Prefect.
- `compact.py`: frees the unused space of the SQLite databases.
- `__main__.py`, `flow.py`: the command and the deployment.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.params import PARAMS_FILE, HousekeepingParams, Limit, load_params
from components.running.locks import exclusive
from flows.cache import forget_remote_contents
from flows.disk import Meter
from flows.housekeeping import files, objects
from flows.housekeeping.plan import Entry, removable
from flows.settings import lock_file

Say = Callable[[str], None]

# Kind to limit and name, in the order of removal, since a file's bytes are freed with its last link.
KINDS = {
    "workspaces": ("workspaces", "workspaces"),
    "training": ("states", "states of interrupted training runs"),
    "study": ("states", "states of interrupted studies"),
    "ingestion": ("states", "results of ingestion"),
    "curation": ("states", "results of curation"),
    "tracing": ("states", "indexes of traces"),
    "benchmarking": ("journals", "journals of benchmark answers"),
    "experiments": ("experiments", "DVC experiments"),
    "prefect": ("runs", "Prefect runs"),
    "mlflow": ("runs", "MLflow runs"),
    "uploads": ("runs", "uploaded texts"),
    "sweeps": ("runs", "results of sweeps"),
    "sources": ("cache", "sources of changed trees in git"),
    "cache": ("cache", "objects in DVC's cache"),
    "remote": ("cache", "objects in the local DVC remote"),
}
SAVED = ("mlflow", "sources", "cache", "remote")  # kinds of entries that a run adds first and refers to later


@dataclass
class Report:
    """What housekeeping removed, or would remove: for each kind the number of entries and the bytes on disk."""

    dry_run: bool
    freed: dict[str, tuple[int, int]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def add(self, name: str, number: int, size: int) -> None:
        before = self.freed.get(name, (0, 0))
        self.freed[name] = (before[0] + number, before[1] + size)

    def remark(self, sentence: str) -> None:
        """Add a sentence, once."""
        if sentence not in self.remarks:
            self.remarks.append(sentence)

    @property
    def text(self) -> str:
        """One line per kind, and the sum."""
        rows = [
            f"  {number or '':>7} {name:<38} {size / 1e6:>10,.1f} MB" for name, (number, size) in self.freed.items()
        ]
        total = sum(size for _, size in self.freed.values()) / 1e6
        head = f"{'Would free' if self.dry_run else 'Freed'} {total:,.1f} MB" + (":" if rows else "")
        return "\n".join([head, *rows, *self.remarks])


def limits_of(params: HousekeepingParams) -> dict[str, Limit]:
    """The limit of each kind."""
    return {kind: getattr(params, limit) for kind, (limit, _) in KINDS.items()}


def tidy(home: Path, dry_run: bool = False) -> Report:
    """Remove everything that is beyond its limit in params.yaml and not needed.

    The Prefect server must answer at PREFECT_API_URL.

    Raises:
        StepError: params.yaml is refused, or the project is not a git repository.
    """
    from flows.housekeeping.flow_runs import FlowRuns
    from flows.housekeeping.tracked import TrackedRuns

    limits = limits_of(load_params(home / PARAMS_FILE).housekeeping)
    work = _Work(home, Meter(), Report(dry_run), {"prefect": FlowRuns(), "mlflow": TrackedRuns(home)})
    if remark := work.sources["mlflow"].remark:
        work.report.remark(remark)
    with exclusive(lock_file(home, "housekeeping")):
        with exclusive(lock_file(home, "git")):  # no workspace is made or removed while they are read
            entries = removable(work.entries(), limits, time.time())
        if dry_run:
            work.remove(entries)
            return work.report
        work.remove([entry for entry in entries if entry.kind not in SAVED])
        with objects.nothing_is_saved(home):
            entries = removable(
                work.entries(leave_out="prefect"), limits, time.time()
            )  # SAVED does not depend on those
            work.remove([entry for entry in entries if entry.kind in SAVED])
    return work.report


def tidy_files(home: Path, params: HousekeepingParams, say: Say) -> None:
    """Remove files that can be made again and are beyond their limit; each run does this when it ends."""
    entries = removable(files.entries(home), limits_of(params), time.time())
    for kind, number in Counter(entry.kind for entry in entries if files.remove(home, entry)).items():
        limit, name = KINDS[kind]
        say(f"removed {number} {name}: beyond housekeeping.{limit} of {PARAMS_FILE}")


@dataclass
class _Work:
    """One pass over a project."""

    home: Path
    meter: Meter
    report: Report
    sources: Mapping[str, Any]

    def entries(self, leave_out: str = "") -> Iterator[Entry]:
        yield from files.entries(self.home)
        yield from files.given(self.home)
        for entry in objects.entries(self.home):
            if entry.kind == objects.ODD:
                self.report.remark(f"{entry.name}; it is not removed.")
            yield entry
        for kind, source in self.sources.items():
            if kind != leave_out:
                yield from source.entries()

    def remove(self, entries: list[Entry]) -> None:
        """Remove entries, or count the bytes that removing them would free."""
        for kind, (_, name) in KINDS.items():
            for entry in (entry for entry in entries if entry.kind == kind):
                size = self.meter.bytes_of(self._paths(entry))
                if self.report.dry_run or self._remove(entry):
                    self.report.add(name, 1, size)
        if any(entry.kind in ("cache", "remote") for entry in entries):
            self._remove_stage_runs(entries)

    def _remove_stage_runs(self, removed: list[Entry]) -> None:
        for kind, path in objects.stale_stage_runs(self.home, removed):
            self.report.add(KINDS[kind][1], 0, self.meter.bytes_of([path]))
            if not self.report.dry_run:
                path.unlink()
        if not self.report.dry_run:
            forget_remote_contents(self.home)

    def _paths(self, entry: Entry) -> list[Path]:
        if entry.kind in self.sources:
            return self.sources[entry.kind].paths(entry)
        return (files if entry.kind in files.KINDS else objects).paths(self.home, entry)

    def _remove(self, entry: Entry) -> bool:
        if entry.kind in self.sources:
            return self.sources[entry.kind].remove(entry)
        return (files if entry.kind in files.KINDS else objects).remove(self.home, entry)
