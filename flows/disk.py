"""Whether the disk has space for what a stage will write, asked before the stage starts.

The estimate is what the stage wrote last, by dvc.lock; for one that has never run, what it reads. Both its output and
DVC's copy of it take that much where they cannot share blocks.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from components.errors import StepError
from flows.graph import Stage, locked_sizes

REMEDY = "free some space, with `make housekeeping` for one (ARGS=--dry-run says how much it would free), and run again"


@dataclass(frozen=True)
class Places:
    """Where a run's outputs go: its checkout, the main folder, whose dvc.lock knows stages that the checkout's does not,
    and DVC's cache."""

    root: Path
    home: Path
    cache: Path


def check_space(places: Places, stage: Stage, needed: Iterable[Stage]) -> None:
    """Refuse a stage whose outputs would not fit.

    Args:
        needed: the stages whose outputs it reads.

    Raises:
        StepError: names the folder and how many MB it lacks.
    """
    sizes = expected_sizes(places, stage, needed)
    wanted: dict[int, int] = defaultdict(int)
    folders: dict[int, Path] = {}
    for path, size in [
        *((places.root / out, size) for out, size in sizes.items()),
        (places.cache, sum(sizes.values())),
    ]:
        folder = next(parent for parent in (path, *path.parents) if parent.is_dir())
        device = folder.stat().st_dev
        wanted[device] += size
        folders.setdefault(device, folder)
    for device, folder in folders.items():
        found = os.statvfs(folder)
        free = found.f_bavail * found.f_frsize
        if free < wanted[device]:
            raise StepError(
                f"{folder}: {free / 1e6:,.1f} MB are free; expected {wanted[device] / 1e6:,.1f} MB for the outputs of "
                f"stage {stage.name} and DVC's copy of them, which is {(wanted[device] - free) / 1e6:,.1f} MB more; {REMEDY}"
            )


def expected_sizes(places: Places, stage: Stage, needed: Iterable[Stage]) -> dict[str, int]:
    """Bytes that each output of a stage will take: as last time, or, of one that never ran, together as much as it reads."""
    if last := _last_sizes(places, stage):
        return last
    read = sum(size for other in needed for size in _last_sizes(places, other).values())
    return {path: read // len(stage.outs) for path in stage.outs}


def _last_sizes(places: Places, stage: Stage) -> dict[str, int]:
    here = locked_sizes(places.root, stage.name, stage.file)
    return here or locked_sizes(places.home, stage.name, stage.file)
