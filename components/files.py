"""Outputs that are complete or absent: written beside their place, then renamed into it.

Files and directories get the modes of the user's umask. The mode of `.phiforge` closes its content to others.
"""

import errno
import fcntl
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import StepError, short
from components.running.locks import try_lock

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

STATE = ".phiforge"  # in the project's main folder: shared state of runs, readable only for its owner
MOST_TEXT = 64_000_000  # maximum bytes of a text that is read whole, such as a checkpoint's index
OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)  # by a non-empty directory, a file, or a link
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # on the disk, in the user's quota, or within a limit on file sizes

_TOKENS = "[0-9a-f]" * 12  # pattern of `_token`'s names: a person's own folders have other names


def _token() -> str:
    return secrets.token_hex(6)


def private_directory(path: Path) -> Path:
    """A directory that only its owner may enter: created if missing, closed to others if it was open."""
    path = Path(path)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        with suppress(PermissionError):  # another user's, as in a container: the owner decides
            path.chmod(0o700)
    return path


@contextmanager
def atomic_directory(path: Path, replace: bool = True) -> Iterator[Path]:
    """Yield an empty directory that becomes `path` when the block ends without an exception.

    The old directory, if any, is replaced. After an exception nothing is left and `path` is as it was.

    Args:
        replace: False if an equal directory may have appeared meanwhile, which others may be reading: it is kept.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    drop_abandoned(path.parent, f".{glob.escape(path.name)}.{_TOKENS}.partial")
    with _held_directory(lambda: _partial(path)) as partial:
        yield partial
        _put(partial, path, replace)


@contextmanager
def scratch_directory(folder: Path) -> Iterator[Path]:
    """Yield a new directory in `folder` that is removed when the block ends; leftovers of killed processes are removed
    first."""
    drop_abandoned(folder, f"scratch-{_TOKENS}")
    with _held_directory(lambda: folder / f"scratch-{_token()}") as scratch:
        yield scratch


@contextmanager
def _held_directory(new_name: Callable[[], Path]) -> Iterator[Path]:
    """A new directory that this process locks, so that others recognise it as in use, on any container or machine.
    Removed when the block ends, unless it has another name by then.
    """
    while True:
        directory = new_name()
        directory.mkdir()
        descriptor = os.open(directory, os.O_RDONLY)
        with suppress(OSError):  # a file system without locks: leftovers stay
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if is_at(descriptor, directory):
            break
        os.close(descriptor)  # another process removed it as abandoned before it was locked
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(descriptor)


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file or directory still has its name: another process may have removed or replaced it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def drop_abandoned(folder: Path, pattern: str) -> None:
    """Remove directories of processes that ended without removing them."""
    for path in folder.glob(pattern):
        with suppress(OSError):  # another process was faster, or it is a file
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if try_lock(descriptor):
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def _partial(path: Path) -> Path:
    """The place where `path` is first written. Runs, and stages of one run, may write the same path at once; the later
    one wins."""
    return path.with_name(f".{path.name}.{_token()}.partial")


def _put(partial: Path, path: Path, replace: bool) -> None:
    """Rename a directory into its place. An existing one is also removed by a rename, so that others see nothing half
    removed."""
    old = _partial(path)
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
                shutil.rmtree(old, ignore_errors=True)  # another writer may be removing it as well
            else:
                old.unlink()


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


def write_private(path: Path, text: str) -> None:
    """Write a text file that only its owner may read, atomically."""
    with atomic_file(path) as partial:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically: equal values give equal bytes."""
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def not_a_file(path: Path | int) -> str:
    """Why a path or an open descriptor cannot be read as a file, or an empty string: opening a pipe would wait forever,
    and a device may never end."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        return "is a folder, not a file"
    return "" if stat.S_ISREG(mode) else "is a pipe, a socket or a device, not a file"


def open_file(path: Path, folder: int | None = None) -> BufferedReader:
    """A file, opened for reading bytes; never a pipe or a device, even one that has just taken the file's place.

    Args:
        folder: descriptor of the folder that `path` is a name in; then a link is refused as well.

    Raises:
        OSError: it does not exist, may not be read, or is not a file.
    """

    def opened(name: str, flags: int) -> int:
        nofollow = 0 if folder is None else os.O_NOFOLLOW
        return os.open(name, flags | os.O_NONBLOCK | nofollow, dir_fd=folder)

    if folder is None and (reason := not_a_file(path)):
        raise OSError(reason)
    file = open(path, "rb", opener=opened)  # noqa: SIM115
    if reason := not_a_file(file.fileno()):
        file.close()
        raise OSError(reason)
    return file


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """The text of a file of at most `most` bytes, whatever its stated size and even if it grows meanwhile.

    Raises:
        OSError: as `open_file`.
        ValueError: it is longer, or not UTF-8.
    """
    with open_file(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it is longer than {most:,} bytes")
    return data.decode("utf-8")


def parse_json(text: str, finite: bool = False) -> Any:
    """The value of a JSON text from outside.

    Args:
        finite: refuse NaN and Infinity.

    Raises:
        ValueError: it is not JSON, is nested too deeply, has a number with too many digits, or has a key twice.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a number")

    def only_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
            raise ValueError(f"the key {short(twice)} occurs twice in an object")
        return values

    try:
        return json.loads(text, parse_constant=refuse if finite else None, object_pairs_hook=only_once)
    except RecursionError:
        raise ValueError("it nests lists or objects too deep") from None


def read_json(path: Path, missing: str, broken: str = "", finite: bool = False) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        missing: message for a missing file: what was expected, or the fix.
        broken: the fix if it cannot be read.
        finite: refuse NaN and Infinity.

    Raises:
        StepError: missing, unreadable, not JSON or not an object.
    """
    try:
        content = parse_json(read_text(path), finite)
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
        OSError: the disk is full or failing; the library itself raises another error.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path.touch()
    mode = path.stat().st_mode  # by the user's umask; safetensors makes files for their owner alone
    try:
        save_file(dict(tensors), path, metadata=None if metadata is None else dict(metadata))
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
    path.chmod(mode)


def save_array(path: Path, array: "np.ndarray") -> None:
    """Write an .npy file with any ending of the name.

    Raises:
        OSError: the disk is full or failing; NumPy's own error says so only in words.
    """
    import numpy as np

    array = np.ascontiguousarray(array)
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data.cast("B") if array.size else b"")


def sync_directory(path: Path) -> None:
    """Flush a directory and its files to the disk, so that a power failure does not leave them empty."""
    for part in [*sorted(path.iterdir()), path]:
        descriptor = os.open(part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in chunks.

    Raises:
        OSError: as `open_file`.
    """
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
