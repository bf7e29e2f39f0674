"""The increments of a growing corpus: when its files arrived, by its inventories.

A file that is new in an inventory always belongs to that inventory's increment. So the documents of an increment depend
on its files and on the increments before it, never on later ones. A file that vanished or changed invalidates its
increment and all later ones: their files and the new ones become one new increment.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.files import read_json
from components.ingestion.readers.hub import is_hub
from components.running.contents import counted
from components.running.kept import digest_of

INCREMENTS = "increments"  # of an entry: the increment of each of its units, in order
WHOLE = ""  # the unit name of a source that is read as one

Units = dict[str, list[str]]  # versions by name; several files have one name if their names have the same characters


def units(entry: Mapping[str, Any]) -> Units:
    """The units of a source's inventory entry: its files, or all of Python's library or of a data set as one unit.

    Returns:
        the versions of each unit, by name.
    """
    if "python" in entry:
        return {WHOLE: [entry["python"]]}
    if is_hub(entry["path"]):
        return {WHOLE: [digest_of({"files": entry["listing"]})]}
    found: Units = {}
    for name, version in entry["listing"]:
        found.setdefault(name, []).append(version)
    return found


def number(sources: Sequence[dict[str, Any]], earlier: Path | None) -> None:
    """Assign an increment to each unit of an inventory's entries, using the previous inventory, and print what is new."""
    before = _earlier(earlier)
    now = {(place, name): versions for place, found in _all_units(sources) for name, versions in found.items()}
    gone = [unit for unit, (versions, _) in before.items() if now.get(unit) != versions]
    last = max((increment for _, increment in before.values()), default=-1)
    new = min([last + 1, *(before[unit][1] for unit in gone)])
    numbers = {unit: new for unit in now} | {
        unit: increment for unit, (_, increment) in before.items() if increment < new
    }
    for entry, (place, found) in zip(sources, _all_units(sources), strict=True):
        entry[INCREMENTS] = [numbers[place, name] for name in found]
    if gone:
        print(
            f"{counted(len(gone), 'file')} of earlier runs changed or vanished, the earliest in increment {new} of {last}: "
            "everything from there on is read and curated again",
            flush=True,
        )
    if added := sum(increment == new for increment in numbers.values()):
        print(f"increment {new}: {added:,} of {len(numbers):,} files", flush=True)


def files_of(entry: Mapping[str, Any], increment: int) -> Units:
    """The units of a source that belong to an increment."""
    found = units(entry)
    return {name: found[name] for name, one in zip(found, entry[INCREMENTS], strict=True) if one == increment}


def increments_of(sources: Sequence[Mapping[str, Any]]) -> list[int]:
    """The increments that an inventory names, in order."""
    return sorted({increment for entry in sources for increment in entry[INCREMENTS]})


def _earlier(path: Path | None) -> dict[tuple[Any, str], tuple[list[str], int]]:
    """Versions and increment of each unit of an earlier inventory; one without increments counts as the first increment."""
    if path is None or not path.is_file():
        return {}
    remedy = "remove it to have everything read again"
    sources = read_json(path, remedy, remedy)["sources"]
    found = {}
    for entry, (place, own) in zip(sources, _all_units(sources), strict=True):
        increments = entry.get(INCREMENTS, [0] * len(own))
        for (name, versions), increment in zip(own.items(), increments, strict=True):
            found[place, name] = versions, increment
    return found


def _all_units(sources: Sequence[Mapping[str, Any]]) -> list[tuple[tuple[str, int], Units]]:
    """The units of each source, by its path and its number among the sources of the same path."""
    paths = [entry["path"] for entry in sources]
    return [((path, paths[:place].count(path)), units(sources[place])) for place, path in enumerate(paths)]
