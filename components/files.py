"""Outputs that are whole or absent: written beside their place, then renamed into it."""

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import StepError

if TYPE_CHECKING:
    from torch import Tensor

OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)  # by a directory that holds something, a file, or a link


@contextmanager
def atomic_directory(path: Path, replace: bool = True) -> Iterator[Path]:
    """Yield an empty directory that becomes `path` when the block ends without an exception.

    The old directory, if any, is replaced. After an exception nothing is left and `path` is as it was.

    Args:
        replace: False where an equal directory may have been put there meanwhile, which others may be reading: it stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    shutil.rmtree(partial, ignore_errors=True)
    _drop_orphans(path)
    partial.mkdir()
    try:
        yield partial
        _put(partial, path, replace)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _partial(path: Path) -> Path:
    """Where this thread writes what becomes `path`. Runs, and stages of one run, may write the same place at once; the
    later one wins whole."""
    return path.with_name(f".{path.name}.{threading.get_ident()}.{os.getpid()}.partial")


def _put(partial: Path, path: Path, replace: bool) -> None:
    """Rename a directory into its place. What stands there goes by a rename as well, so that others who do the same see
    nothing half removed."""
    old = _partial(path.with_name(f"{path.name}.old"))
    while True:
        try:
            os.replace(partial, path)
            return
        except OSError as error:
            if error.errno not in OCCUPIED:
                raise
            if not replace:
                return
        with suppress(FileNotFoundError):  # another writer has taken it away
            os.rename(path, old)
            if old.is_dir() and not old.is_symlink():
                shutil.rmtree(old)
            else:
                old.unlink()


def _drop_orphans(path: Path) -> None:
    """Remove what killed processes have left of `path`."""
    for orphan in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        process = orphan.name.split(".")[-2]
        if process.isdigit() and not _runs(int(process)):
            shutil.rmtree(orphan, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; it becomes `path` when the block ends without an exception."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically: equal values give equal bytes."""
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, missing: str, broken: str = "", finite: bool = False) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        missing: what to say where the file is not there: what was expected, or the remedy.
        broken: the remedy where it cannot be read.
        finite: refuse NaN and Infinity.

    Raises:
        StepError: missing, unreadable, not JSON or not an object.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no figure")

    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=refuse if finite else None)
    except FileNotFoundError:
        raise StepError(f"{path} is not there; {missing}") from None
    except (OSError, ValueError) as error:
        raise StepError(f"{path} cannot be read as JSON: {error}" + (f"; {broken}" if broken else "")) from error
    if not isinstance(content, dict):
        raise StepError(f"{path} holds a {type(content).__name__}; expected a JSON object")
    return content


def save_tensors(tensors: Mapping[str, "Tensor"], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as a safetensors file, readable as other files are.

    Raises:
        OSError: the disk is full or failing; the library itself raises an error of its own that is none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), path, metadata=None if metadata is None else dict(metadata))
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
    path.chmod(0o644)  # safetensors makes it readable by its owner alone


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in chunks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
