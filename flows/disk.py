"""Disk space: the bytes that removing files frees, and whether a stage's outputs will fit.

Checked before a stage starts. It is expected to write as much as last time, according to dvc.lock, or, if it has never
run, as much as it reads. Its previous output is removed first, and in the main folder DVC's cache keeps a copy.
"""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from components.errors import StepError
from flows.graph import Stage, locked_sizes

REMEDY = (
    "free some space, for example with `make housekeeping` (ARGS=--dry-run shows how much it would free), and run again"
)
BLOCK = 512  # bytes per block of `st_blocks`


@dataclass(frozen=True)
class Places:
    """The folders that a run writes to.

    Attributes:
        root: the checkout.
        home: the main folder; its dvc.lock may have stages that the checkout's does not have.
        cache: DVC's cache.
    """

    root: Path
    home: Path
    cache: Path

    @property
    def links(self) -> bool:
        """Whether outputs and cache share one copy: workspaces use links if possible."""
        return self.root != self.home and _device(self.root) == _device(self.cache)


def check_space(places: Places, stage: Stage, needed: Iterable[Stage]) -> None:
    """Refuse a stage whose outputs would not fit.

    Args:
        needed: the stages that write what this one reads.

    Raises:
        StepError: the disk is too full; the message has the folder and the missing MB.
    """
    meter = Meter()
    needed_bytes: defaultdict[int, int] = defaultdict(int)
    folders: dict[int, Path] = {}
    sizes = {places.root / path: size for path, size in expected_sizes(places, stage, needed).items()}
    copies = {} if places.links else {places.cache: sum(sizes.values())}
    for path, size in (sizes | copies).items():
        folder = _existing(path)
        folders.setdefault(_device(folder), folder)
        needed_bytes[_device(folder)] += size - (meter.bytes_of([path]) if path in sizes else 0)
    for device, folder in folders.items():
        free, expected = shutil.disk_usage(folder).free, needed_bytes[device]
        if free < expected:
            raise StepError(
                f"{folder}: {free / 1e6:,.1f} MB are free; expected {expected / 1e6:,.1f} MB for the output of stage "
                f"{stage.name}, which is {(expected - free) / 1e6:,.1f} MB more; {REMEDY}"
            )


def expected_sizes(places: Places, stage: Stage, needed: Iterable[Stage]) -> dict[str, int]:
    """Expected bytes of each output of a stage: as last time, or, if it never ran, together as much as it reads."""
    if last := _last_sizes(places, stage):
        return last
    read = sum(size for other in needed for size in _last_sizes(places, other).values())
    return {path: read // len(stage.outs) for path in stage.outs}


def _last_sizes(places: Places, stage: Stage) -> dict[str, int]:
    return locked_sizes(places.root, stage.name, stage.file) or locked_sizes(places.home, stage.name, stage.file)


def _existing(path: Path) -> Path:
    """The folder that contains a path, or would contain it."""
    return next(parent for parent in path.parents if parent.is_dir())


def _device(path: Path) -> int:
    return (path if path.exists() else _existing(path)).stat().st_dev


class Meter:
    """Counts files as they are removed, or would be. A file's bytes are freed when its last link is removed."""

    def __init__(self) -> None:
        self._links: dict[tuple[int, int], int] = {}  # by device and inode: number of remaining links

    def bytes_of(self, paths: Iterable[Path]) -> int:
        """Bytes on disk that removing these files and folders frees."""
        return sum(self._bytes(path) for top in paths for path in _all_in(top))

    def _bytes(self, path: Path) -> int:
        try:
            found = path.lstat()
        except FileNotFoundError:
            return 0
        if path.is_dir() and not path.is_symlink():
            return found.st_blocks * BLOCK
        inode = (found.st_dev, found.st_ino)
        self._links[inode] = self._links.get(inode, found.st_nlink) - 1
        return 0 if self._links[inode] > 0 else found.st_blocks * BLOCK


def _all_in(top: Path) -> Iterator[Path]:
    yield top
    for folder, folders, files in os.walk(top):
        yield from (Path(folder) / name for name in (*folders, *files))
