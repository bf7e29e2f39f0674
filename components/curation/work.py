"""Work that is done already: the results of a run's phases, one folder for each unit of work.

A phase maps a function over units. Each result is a folder that appears whole or not at all, under a name that is a hash of all
that it comes from: the unit's bytes, the parameters, the code, the versions of the libraries. What is there isn't
done again. So a run that was killed at any unit goes on from there, with another number of workers or another engine
if need be, to the same bytes; and a run on more text does the new text alone.
"""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from components.engine import map_shards
from components.files import atomic_directory, sync_directory, write_json
from components.params import EngineParams
from components.progress import Progress

Unit = TypeVar("Unit")

SEAL = "whole.json"  # in each result
COMPONENTS = Path(__file__).parent.parent
CODE = (
    "curation/**/*.py",
    "curation/**/*.md",
    "addresses.py",
    "documents.py",
    "languages.py",
    "shingles.py",
    "ngrams.py",
)
LIBRARIES = ("detect-secrets", "ftfy", "numpy", "polars", "py3langid", "pyarrow", "rensa", "scikit-learn", "scipy")


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
        os.utime(place)
        folders = [place / name for name in units]
        missing = [item for item in zip(folders, units.values(), strict=True) if not _is_whole(item[0])]
        for folder in set(folders) - {folder for folder, _ in missing}:
            with suppress(FileNotFoundError):
                os.utime(folder)  # it is in use
        self._done += len(units) - len(missing)
        if len(missing) < len(units):
            print(f"{phase}: {len(units) - len(missing)} of {len(units)} already exist", flush=True)
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
        if _is_whole(folder):  # another run was quicker
            return
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        with atomic_directory(folder, replace=False) as partial:
            self._function(unit, partial)
            _seal(partial, folder.name)


def _seal(folder: Path, unit: str) -> None:
    """Write down which unit's result the folder is and how long its files are, once they are on the disk."""
    write_json(folder / SEAL, {"unit": unit, "bytes": _lengths(folder)})
    sync_directory(folder)


def _is_whole(folder: Path) -> bool:
    """Whether a folder is the result of the unit that it is named after, with all its files at their lengths."""
    try:
        sealed = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        return sealed == {"unit": folder.name, "bytes": _lengths(folder)}
    except (OSError, ValueError):
        return False


def _lengths(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.name != SEAL}


def digest_of(facts: Mapping[str, Any]) -> str:
    """20 hex digits that stand for a JSON object."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]


@cache
def _code_sha256() -> str:
    digest = hashlib.sha256()
    for pattern in CODE:
        for path in sorted(COMPONENTS.glob(pattern)):
            digest.update(str(path.relative_to(COMPONENTS)).encode() + b"\0" + path.read_bytes() + b"\0")
    python = f"python {platform.python_version()}"  # ast and unicodedata are its own
    digest.update(" ".join([python, *(f"{library} {version(library)}" for library in LIBRARIES)]).encode())
    return digest.hexdigest()
