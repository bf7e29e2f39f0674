"""One copy of each model on the disk: MLflow's files of a logged model become links to those in DVC's cache.

MLflow copies a checkpoint when a step logs it, and DVC stores the same bytes after the step. A hard link reads like a
copy, and remains if the other side removes its own. Objects in DVC's cache are read-only, so that neither side changes the
other's. If a file was changed nevertheless, all its links were changed too; a stage that makes the object again restores
them.
"""

import filecmp
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from components.files import atomic_file
from components.foreign.addresses import local_path

SMALLEST = 65_536  # minimum bytes of a file to link


def share_files(folders: Iterable[str], outs: Mapping[str, str], cache: Path) -> int:
    """Link the large files of logged models to equal files of a stage's outputs.

    Files on other machines or file systems stay copies.

    Args:
        folders: addresses of the models' files.
        outs: path to md5, as in dvc.lock.
        cache: DVC's cache.

    Returns:
        the number of files that became links.
    """
    objects: dict[int, list[Path]] = {}
    for _, path in _objects(outs, cache):
        with suppress(FileNotFoundError):
            objects.setdefault(path.stat().st_size, []).append(path)
    linked = 0
    for address in folders:
        for file in _local_files(address):
            if file.stat().st_size >= SMALLEST:
                linked += _link(file, objects.get(file.stat().st_size, []))
    return linked


def restore_weights(folders: Iterable[str], outs: Mapping[str, str], cache: Path) -> list[Path]:
    """Restore the weights of logged models that should be equal to a stage's but are not.

    Args:
        folders, outs, cache: as for `share_files`.

    Returns:
        the restored files.
    """
    good = dict(_objects(outs, cache))
    restored = []
    for address in folders:
        for file in _local_files(address):
            source = good.get(file.name) if file.suffix == ".safetensors" else None
            with suppress(OSError):  # as in `_link`
                if source and not _same(file, source):
                    _replace(file, source)
                    restored.append(file)
    return restored


def _objects(outs: Mapping[str, str], cache: Path) -> Iterable[tuple[str, Path]]:
    """Name and object in the cache of each file in these outputs."""
    for name, md5 in outs.items():
        path = cache / md5[:2] / md5[2:]
        if md5.endswith(".dir"):
            with suppress(FileNotFoundError):
                listed = json.loads(path.read_text(encoding="utf-8"))
                yield from _objects({entry["relpath"]: entry["md5"] for entry in listed}, cache)
        elif md5:
            yield Path(name).name, path


def _local_files(address: str) -> Iterable[Path]:
    """The files of a folder on this machine; empty for other machines."""
    folder = local_path(address)
    found = folder.rglob("*") if folder else ()
    return (file for file in found if file.is_file() and not file.is_symlink())


def _link(file: Path, objects: Iterable[Path]) -> bool:
    for source in objects:
        with suppress(OSError):  # another file system, no hard links, or just removed by DVC
            if os.path.samefile(file, source):
                return False
            if _same(file, source):
                _replace(file, source)
                return True
    return False


def _same(file: Path, source: Path) -> bool:
    return os.path.samefile(file, source) or filecmp.cmp(file, source, shallow=False)


def _replace(file: Path, source: Path) -> None:
    with atomic_file(file) as partial:
        os.link(source, partial)
