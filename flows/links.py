"""One copy on the disk of each model: MLflow's files of a logged model become links to those in DVC's cache.

MLflow copies a checkpoint when a step logs it; DVC stores the same bytes when the step has ended. A hard link is as good
as a copy to whoever reads `models:/NAME/3`, and it lasts when either side removes its own. Objects in DVC's cache are
read-only, so neither side changes what the other has.
"""

import filecmp
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlparse

from components.files import atomic_file

SMALLEST = 65_536  # bytes of a file that is worth a link


def share_files(folders: Iterable[str], outs: Mapping[str, str], cache: Path) -> int:
    """Link the large files of logged models to equal ones of a stage's outputs.

    Files on another machine or file system stay copies.

    Args:
        folders: addresses of the models' files.
        outs: path to md5, as in dvc.lock.
        cache: DVC's cache.

    Returns:
        How many files became links.
    """
    objects: dict[int, list[Path]] = {}
    for path in _files_of(outs.values(), cache):
        with suppress(FileNotFoundError):
            objects.setdefault(path.stat().st_size, []).append(path)
    linked = 0
    for address in folders:
        parsed = urlparse(address)
        if parsed.scheme in ("", "file"):
            for file in Path(unquote(parsed.path)).rglob("*"):
                if file.is_file() and not file.is_symlink() and file.stat().st_size >= SMALLEST:
                    linked += _link(file, objects.get(file.stat().st_size, []))
    return linked


def _files_of(hashes: Iterable[str], cache: Path) -> Iterable[Path]:
    """The objects of outputs; of a folder, those of its files."""
    for md5 in filter(None, hashes):
        path = cache / md5[:2] / md5[2:]
        if md5.endswith(".dir"):
            with suppress(FileNotFoundError):
                members = [entry["md5"] for entry in json.loads(path.read_text(encoding="utf-8"))]
                yield from _files_of(members, cache)
        else:
            yield path


def _link(file: Path, objects: Iterable[Path]) -> bool:
    for source in objects:
        with suppress(OSError):  # another file system, or one without hard links; or DVC has just dropped it
            if os.path.samefile(file, source):
                return False
            if filecmp.cmp(file, source, shallow=False):
                with atomic_file(file) as partial:
                    os.link(source, partial)
                return True
    return False
