"""Files that name other files, and folders from outside: what they name must be in the same folder.

A suite, a manifest or a checkpoint from someone else must not lead to `~/.ssh`, neither by an absolute path or `..` nor
through a link.
"""

import errno
import os
import re
from io import BufferedReader
from pathlib import Path

from components.errors import StepError
from components.files import open_file

_OUTSIDE = re.compile(r"[/\\~]|[A-Za-z]:")  # beginnings of a path that does not start in the folder, on any system
_PUNCTUATION = re.compile(r"[/\\:\0]")  # characters that make a name more than one part of a path, on any system
_LINKED = (errno.ELOOP, errno.ENOTDIR)  # by a file or a folder that is a link, where none is followed
_ENTER = os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)  # a folder to enter may be one that cannot be listed


def is_name(text: str) -> bool:
    """Whether a text names one entry of a folder, on any system."""
    return bool(text) and text not in (".", "..") and not _PUNCTUATION.search(text)


def inside(folder: Path, name: str, where: str) -> Path:
    """The path of a file that another names in a folder, whether or not it exists.

    Args:
        name: relative to the folder.
        where: what names it, for the error.

    Raises:
        StepError: the name is absolute or has `..`, with slashes or backslashes, or a link on its way leads out of the
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
            f"{where}: {name!r} is a link that leads out of its folder; copy the file there if you trust what it holds"
        )
    return path


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a path in a folder leads out of it once its links are followed, or this is unknown."""
    try:
        return not Path(os.path.realpath(path)).is_relative_to(home_of(folder))
    except OSError:  # a link that this user may not read, as in /proc, or that is gone
        return True


def open_inside(path: Path, folder: Path | None) -> BufferedReader:
    """A file, opened for reading bytes. No link leads out of its folder, even if files are swapped for links meanwhile:
    the path is walked from the folder without following links, after links that exist are resolved.

    Args:
        folder: that the path begins with; None if links may lead anywhere.

    Raises:
        OSError: as `open_file`, or it lies outside of the folder.
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
        raise OSError("a link on its way leads out of its folder")
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
    """The real folder that links of a folder may lead to: itself, or its whole repository in the cache of the Hugging Face hub,
    whose snapshots are links to its blobs.
    """
    real = Path(os.path.realpath(folder))
    repository = real.parents[1] if len(real.parents) > 1 else real
    cached = real.parent.name == "snapshots" and repository.name.startswith(("models--", "datasets--"))
    return repository if cached else real


def is_elsewhere(file: str, folder: Path | None) -> bool:
    """Whether a file of a data set, as the library `datasets` resolved it, lies outside the data set, whose card may
    name any file.

    Args:
        folder: of a data set on this machine; None for one on the Hugging Face hub.
    """
    if folder is None:
        return not file.startswith("hf://datasets/")
    return "://" in file or leads_out(Path(file), folder)


def refuse_links_out(folder: Path) -> None:
    """Refuse a folder with links that lead out of it, before all of it is read or copied.

    Raises:
        StepError: it has one, which is named.
    """
    for place, folders, names in os.walk(folder):
        for name in sorted([*folders, *names]):
            path = Path(place, name)
            if path.is_symlink() and leads_out(path, folder):
                raise StepError(
                    f"{folder}: {path.relative_to(folder).as_posix()!r} is a link that leads out of its folder; copy the "
                    "file there if you trust what it holds"
                )
