"""Entries that can be made again and are listed without a server: workspaces, states of training, results of curation,
journals."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from components.running.locks import if_free, is_free
from flows import workspace
from flows.housekeeping.plan import Entry
from flows.settings import FOLDER, last_used, lock_file, lock_of, state_folder, workspace_folders

# Names that runs give in `workspaces` and in the folders of `.phiforge`. Everything else there is a person's own.
WORKSPACE = re.compile(r"[0-9a-f]{12}")
MADE = {
    "training": re.compile(r"[0-9a-f]{20}(-\d+)?"),
    "study": re.compile(r"[0-9a-f]{16}"),
    "ingestion": re.compile(r"increment-[0-9a-f]{20}(/.+)?"),
    "curation": re.compile(r"(languages|clean|score|increment)-[0-9a-f]{20}(/.+)?|classifier-[0-9a-f]{20}\.npz"),
    "tracing": re.compile(r"spans-[0-9a-f]{20}|locks/[0-9a-f]{40}\.json"),
    "benchmarking": re.compile(r"[0-9a-f]{64}\.jsonl"),
}
GIVEN = {"uploads": re.compile(r"[0-9a-f]{16}"), "sweeps": re.compile(r"[0-9a-f-]{36}\.json")}  # kept with their runs
KINDS = ("workspaces", *MADE, *GIVEN)
LOCK = "lock"  # lock file in a folder that a process may use


def entries(home: Path) -> Iterator[Entry]:
    """The workspaces, and the results of interrupted and repeated work in `.phiforge`."""
    for folder in workspace_folders(home):
        if folder.is_symlink() or not WORKSPACE.fullmatch(folder.name):
            continue
        lock = lock_file(home, lock_of(folder.name))
        used = lock.exists() and not is_free(lock)
        yield Entry(
            kind="workspaces",
            name=folder.name,
            key=f"workspace:{folder.name}",
            time=last_used(home, lock_of(folder.name)),
            needs=frozenset({f"experiment:run-{folder.name}"}),
            pinned=used,
        )
    yield from _in_state(home, MADE)


def given(home: Path) -> Iterator[Entry]:
    """Uploaded texts and results of sweeps, which nothing can make again: a kept run in Prefect needs its own."""
    yield from _in_state(home, GIVEN)


def _in_state(home: Path, kinds: Mapping[str, re.Pattern[str]]) -> Iterator[Entry]:
    for kind, pattern in kinds.items():
        base = state_folder(home) / kind
        for path in [*base.glob("*"), *base.glob("*/*")]:
            name = path.relative_to(base).as_posix()
            linked = any(one.is_symlink() for one in {path, path.parent} - {base})
            if pattern.fullmatch(name) and not linked:
                with suppress(FileNotFoundError):  # another process has removed it
                    yield Entry(kind, name, f"{kind}:{name}", _last_change(path), pinned=_is_locked(path))


def paths(home: Path, entry: Entry) -> list[Path]:
    """The folder or file of an entry."""
    if entry.kind == "workspaces":
        return [home / FOLDER / entry.name]
    return [state_folder(home) / entry.kind / entry.name]


def remove(home: Path, entry: Entry) -> bool:
    """Remove an entry unless it has been used since it was listed; returns whether it was removed."""
    if entry.kind == "workspaces":
        return workspace.remove(home, entry.name, unused_since=entry.time)
    [path] = paths(home, entry)
    lock = path / LOCK
    if lock.is_file():
        with if_free(lock) as free:
            return free and _remove(path, entry.time)
    return _remove(path, entry.time)


def _remove(path: Path, unused_since: float) -> bool:
    try:
        if _last_change(path) > unused_since:
            return False
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    except FileNotFoundError:  # removed with its folder, or by another process
        return False
    return True


def _is_locked(path: Path) -> bool:
    return (path / LOCK).is_file() and not is_free(path / LOCK)


def _last_change(path: Path) -> float:
    """The time at which a file or anything in a folder was last changed, or marked as used."""
    times = [path.stat().st_mtime]
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                times.append((Path(folder) / name).lstat().st_mtime)
    return max(times)
