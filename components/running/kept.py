"""Stored results of steps, which later runs reuse.

A result is a folder that appears complete or not at all. Its name is a hash of data, parameters, code and versions of
libraries. A missing result is made again with the same bytes, so it changes no output.
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
    """Make the result of this name by `write(folder)`, unless it is already complete."""
    if is_whole(folder):  # also if another run was faster
        return
    shutil.rmtree(folder, ignore_errors=True)  # a damaged result
    with atomic_directory(folder, replace=False) as partial:
        write(partial)
        _seal(partial, folder.name)


def mark_used(folder: Path) -> None:
    """Mark a result as used, for housekeeping."""
    with suppress(FileNotFoundError):
        os.utime(folder)


def is_whole(folder: Path) -> bool:
    """Whether a folder is the complete result of its name, with all files in their full lengths."""
    try:
        sealed = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        return sealed == {"unit": folder.name, "bytes": _lengths(folder)}
    except (OSError, ValueError):
        return False


def _seal(folder: Path, unit: str) -> None:
    """Record the result's name and the lengths of its files after they are on the disk."""
    write_json(folder / SEAL, {"unit": unit, "bytes": _lengths(folder)})
    sync_directory(folder)


def _lengths(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.name != SEAL}


def digest_of(facts: Mapping[str, Any]) -> str:
    """20 hex digits of the hash of a JSON object."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]


@cache
def code_and_libraries(patterns: tuple[str, ...], libraries: tuple[str, ...]) -> str:
    """The code of a result: the hash of files below `components`, and the versions of libraries and of Python (for its
    modules ast and unicodedata)."""
    versions = [f"python {platform.python_version()}", *(f"{library} {version(library)}" for library in libraries)]
    return " ".join([code_sha256(patterns), *versions])
