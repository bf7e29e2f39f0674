"""Results of steps that later runs take up, so that what is done is not done again.

A result is a folder that appears whole or not at all, under a name that is a hash of all that it comes from: its data, the
parameters, the code, the versions of the libraries. So a missing one is made again, to the same bytes, and whether it was
there changes no output.
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
from typing import Any

from components.files import atomic_directory, sync_directory, write_json
from components.running.revision import code_sha256

SEAL = "whole.json"  # in each result


def keep(folder: Path, write: Callable[[Path], None]) -> None:
    """Have `write(folder)` make the result that this folder is named after, unless it is there whole."""
    if is_whole(folder):  # as well if another run was quicker
        return
    shutil.rmtree(folder, ignore_errors=True)  # a damaged one
    with atomic_directory(folder, replace=False) as partial:
        write(partial)
        _seal(partial, folder.name)


def mark_used(folder: Path) -> None:
    """Let housekeeping see that a run has taken a result up."""
    with suppress(FileNotFoundError):
        os.utime(folder)


def is_whole(folder: Path) -> bool:
    """Whether a folder is the result that it is named after, with all its files at their lengths."""
    try:
        sealed = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        return sealed == {"unit": folder.name, "bytes": _lengths(folder)}
    except (OSError, ValueError):
        return False


def _seal(folder: Path, unit: str) -> None:
    """Write down which result the folder is and how long its files are, once they are on the disk."""
    write_json(folder / SEAL, {"unit": unit, "bytes": _lengths(folder)})
    sync_directory(folder)


def _lengths(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.name != SEAL}


def digest_of(facts: Mapping[str, Any]) -> str:
    """20 hex digits that stand for a JSON object."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]


@cache
def code_and_libraries(patterns: tuple[str, ...], libraries: tuple[str, ...]) -> str:
    """What made a result: the hash of files below `components`, and the versions of libraries and of Python, whose ast and
    unicodedata differ."""
    versions = [f"python {platform.python_version()}", *(f"{library} {version(library)}" for library in libraries)]
    return " ".join([code_sha256(patterns), *versions])
