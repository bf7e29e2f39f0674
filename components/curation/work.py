"""Work that is done already: the results of a run's phases, one folder for each unit of work.

A phase maps a function over units. Each result is a folder that appears whole or not at all, under a name that is a hash of all
that it comes from: the unit's bytes, the parameters, the code, the versions of the libraries. What is there isn't
done again. So a run that was killed at any unit goes on from there, with another number of workers or another engine
if need be, to the same bytes; and a run on more text does the new text alone.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from components.engine import map_shards
from components.files import atomic_directory
from components.params import EngineParams
from components.progress import Progress

Unit = TypeVar("Unit")

ABANDONED = 14 * 86400  # seconds after which results that no run has used are removed
COMPONENTS = Path(__file__).parent.parent
CODE = ("curation/**/*.py", "curation/**/*.md", "documents.py", "shingles.py", "ngrams.py")
LIBRARIES = ("ftfy", "numpy", "polars", "py3langid", "rensa", "scikit-learn")


class Work:
    """The results of all runs, in one folder.

    Args:
        folder: on a file system that all workers see.
        engine: what the units are mapped with.
        progress: counts the units of all phases.
    """

    def __init__(self, folder: Path, engine: EngineParams, progress: Progress) -> None:
        self.folder, self.engine = Path(folder).resolve(), engine
        self._progress, self._done = progress, 0

    def map(
        self, phase: str, facts: Mapping[str, Any], units: Mapping[str, Unit], function: Callable[[Unit, Path], None]
    ) -> list[Path]:
        """Have `function(unit, folder)` write the result of each unit that has none; their folders, in order.

        Args:
            facts: what all results of the phase depend on beside their unit and the code. JSON.
            units: by a name that tells a unit's content.
            function: importable, since a worker calls it.
        """
        place = self.folder / f"{phase}-{digest_of({'code': _code_sha256(), 'facts': dict(facts)})}"
        place.mkdir(parents=True, exist_ok=True)
        os.utime(place)  # it is in use
        folders = [place / name for name in units]
        missing = [item for item in zip(folders, units.values(), strict=True) if not item[0].exists()]
        self._done += len(units) - len(missing)
        if len(missing) < len(units):
            print(f"{phase}: {len(units) - len(missing)} of {len(units)} are there already", flush=True)
        for _ in map_shards(_Result(function), missing, self.engine):
            self._done += 1
            self._progress.update(self._done)
        return folders


class _Result:
    """Calls a phase's function for a unit so that its folder appears whole."""

    def __init__(self, function: Callable[[Any, Path], None]) -> None:
        self._function = function

    def __call__(self, item: tuple[Path, Any]) -> None:
        folder, unit = item
        if folder.exists():  # another run was quicker
            return
        with atomic_directory(folder, replace=False) as partial:
            self._function(unit, partial)


def digest_of(facts: Mapping[str, Any]) -> str:
    """20 hex digits that stand for a JSON object."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]


def drop_abandoned(folder: Path) -> None:
    """Remove results that no run has used for two weeks."""
    for path in Path(folder).glob("*-*"):
        try:
            if path.stat().st_mtime < time.time() - ABANDONED:
                shutil.rmtree(path, ignore_errors=True)
        except FileNotFoundError:
            continue  # another process has done so


@cache
def _code_sha256() -> str:
    digest = hashlib.sha256()
    for pattern in CODE:
        for path in sorted(COMPONENTS.glob(pattern)):
            digest.update(str(path.relative_to(COMPONENTS)).encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(" ".join(f"{library} {version(library)}" for library in LIBRARIES).encode())
    return digest.hexdigest()
