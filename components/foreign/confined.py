"""Files that name other files, and folders from outside: named files must be in the same folder.

A suite, a manifest or a checkpoint from other people must not lead to `~/.ssh` by an absolute path, by `..` or by a link.
"""

import errno
import os
import re
from io import BufferedReader
from pathlib import Path

from components.errors import StepError
from components.files import open_file

_OUTSIDE = re.compile(r"[/\\~]|[A-Za-z]:")  # first characters of a path that is not relative, on any system
_PUNCTUATION = re.compile(r"[/\\:\0]")  # characters that make a name more than one part of a path, on any system
_LINKED = (errno.ELOOP, errno.ENOTDIR)  # a file or folder is a link, but links are not followed
_ENTER = os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)  # also for folders that cannot be listed


def is_name(text: str) -> bool:
    """Whether a text names one entry of a folder, on any system."""
    return bool(text) and text not in (".", "..") and not _PUNCTUATION.search(text)


def inside(folder: Path, name: str, where: str) -> Path:
    """The path of a file in a folder, named by another file, whether or not it exists.

    Args:
        name: relative to the folder.
        where: the naming file, for the error.

    Raises:
        StepError: the name is absolute or has `..`, with slashes or backslashes, or a link on its path leads out of the
            folder.
    """
    parts = re.split(r"[/\\]", name)
    if not name or "\0" in name or ".." in parts or _OUTSIDE.match(name):
        raise StepError(
            f"{where}: the file name {name!r} leads out of its folder; expected a path inside it, such as part/file.jsonl"
        )
    path = Path(folder) / name
    if leads_out(path, folder):
        raise StepError(
            f"{where}: {name!r} is a link that leads out of its folder; copy the file there if you trust its content"
        )
    return path


def leads_out(path: Path, folder: Path) -> bool:
    """Whether the links of a path in a folder lead out of the folder, or this is unknown."""
    try:
        return not Path(os.path.realpath(path)).is_relative_to(home_of(folder))
    except OSError:  # a link that this user may not read, as in /proc, or that was removed
        return True


def open_inside(path: Path, folder: Path | None) -> BufferedReader:
    """Open a file for reading bytes. Links never lead out of its folder, even if somebody replaces files by links meanwhile:
    after existing links are resolved, the path is opened part by part from the folder without following links.

    Args:
        folder: beginning of the path; None if links may lead anywhere.

    Raises:
        OSError: as `open_file`, or the file is outside of the folder.
    """
    if folder is None:
        return open_file(path)
    try:
        if ".." not in path.parts:
            return _walk_to(path, folder)
    except OSError as error:
        if error.errno not in _LINKED:
            raise
    home, real = home_of(folder), Path(os.path.realpath(path))
    if real == home or not real.is_relative_to(home):
        raise OSError("a link on its path leads out of its folder")
    return _walk_to(real, home)


def _walk_to(path: Path, folder: Path) -> BufferedReader:
    *folders, name = path.parts[len(folder.parts) :]
    place = os.open(folder, _ENTER)
    try:
        for part in folders:
            inner = os.open(part, _ENTER | os.O_NOFOLLOW, dir_fd=place)
            os.close(place)
            place = inner
        return open_file(Path(name), place)
    finally:
        os.close(place)


def home_of(folder: Path) -> Path:
    """The real folder to which links in a folder may lead: itself, or, in the cache of the Hugging Face hub, the whole
    repository, because snapshots are links to its blobs.
    """
    real = Path(os.path.realpath(folder))
    repository = real.parents[1] if len(real.parents) > 1 else real
    cached = real.parent.name == "snapshots" and repository.name.startswith(("models--", "datasets--"))
    return repository if cached else real


def is_elsewhere(file: str, folder: Path | None) -> bool:
    """Whether a file of a data set is outside the data set; the card may name any file.

    Args:
        file: as resolved by the library `datasets`.
        folder: folder of a local data set; None for a data set on the Hugging Face hub.
    """
    if folder is None:
        return not file.startswith("hf://datasets/")
    return "://" in file or leads_out(Path(file), folder)


def refuse_links_out(folder: Path) -> None:
    """Refuse a folder with links that lead out of it, before all of it is read or copied.

    Raises:
        StepError: there is such a link; the message names it.
    """
    for place, folders, names in os.walk(folder):
        for name in sorted([*folders, *names]):
            path = Path(place, name)
            if path.is_symlink() and leads_out(path, folder):
                raise StepError(
                    f"{folder}: {path.relative_to(folder).as_posix()!r} is a link that leads out of its folder; copy the "
                    "file there if you trust its content"
                )
