"""Kept work: the results of a run's phases, one kept folder (`components.running.kept`) per unit of work.

A phase maps a function over units. A killed run resumes at the unit where it stopped and gives the same bytes, also with
another number of workers or another engine; a run on more text processes only the new text.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from components.engine import map_shards
from components.params import EngineParams
from components.running.kept import code_and_libraries, digest_of, is_whole, keep, mark_used
from components.running.progress import Progress

Unit = TypeVar("Unit")

CODE = (
    "benchmarks/items.py",
    "curation/**/*.py",
    "curation/**/*.md",
    "curation/**/*.txt",
    "curation/**/*.yaml",
    "documents.py",
    "foreign/addresses.py",
    "foreign/yaml_text.py",
    "text/*.py",
)
LIBRARIES = (
    "detect-secrets",
    "ftfy",
    "numpy",
    "phonenumbers",
    "polars",
    "py3langid",
    "pyarrow",
    "rensa",
    "ruamel.yaml",
    "scikit-learn",
    "scipy",
    "tld",
    "tokenizers",
)


class Work:
    """The results of all runs, in one folder.

    Args:
        folder: on a file system that all workers share.
        engine: runs the function over the units.
        progress: counts the units of all phases.
    """

    def __init__(self, folder: Path, engine: EngineParams, progress: Progress) -> None:
        self.folder, self.engine = Path(folder).resolve(), engine
        self._progress, self._done = progress, 0

    def expect(self, units: int) -> None:
        """Add units to the expected total."""
        self._progress.total += units

    def map(
        self, phase: str, facts: Mapping[str, Any], units: Mapping[str, Unit], function: Callable[[Unit, Path], None]
    ) -> list[Path]:
        """Have `function(unit, folder)` write the result of each unit that has none; their folders, in order.

        Args:
            facts: JSON values that all results of the phase depend on, besides their unit and the code.
            units: by a name that identifies a unit's content.
            function: must be importable, since a worker calls it.
        """
        place = phase_folder(self.folder, phase, facts)
        folders = [place / name for name in units]
        missing = [item for item in zip(folders, units.values(), strict=True) if not is_whole(item[0])]
        for folder in set(folders) - {folder for folder, _ in missing}:
            mark_used(folder)
        self._done += len(units) - len(missing)
        if len(missing) < len(units):
            print(f"{phase}: {len(units) - len(missing)} of {len(units)} already exist", flush=True)
        for _ in map_shards(_Result(function), missing, self.engine):
            self._done += 1
            self._progress.update(self._done)
        return folders


class _Result:
    """Calls a phase's function for a unit, so that its folder appears only when complete."""

    def __init__(self, function: Callable[[Any, Path], None]) -> None:
        self._function = function

    def __call__(self, item: tuple[Path, Any]) -> None:
        folder, unit = item
        keep(folder, lambda partial: self._function(unit, partial))


def phase_folder(folder: Path, phase: str, facts: Mapping[str, Any]) -> Path:
    """The folder of a phase's results, named by everything that all of them depend on besides their unit."""
    place = folder / f"{phase}-{digest_of({'code': code_and_libraries(CODE, LIBRARIES), 'facts': dict(facts)})}"
    place.mkdir(parents=True, exist_ok=True)
    mark_used(place)
    return place
