"""The programs' temporary folder: creates, measures and empties it."""

import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def shared_folder() -> str:
    """A new folder for the programs' users, which differ from the user of this process. Its name is random, and the folder
    around it cannot be listed, so that other users do not find it."""
    around = tempfile.mkdtemp(prefix="sandbox-")
    folder = tempfile.mkdtemp(dir=around)
    os.chmod(folder, 0o777)
    os.chmod(around, 0o711)
    return folder


def exceeds(folder: str, limits: Mapping[str, Any]) -> bool:
    """Whether a folder has more than `folder_bytes` or `folder_entries`, for folders without another limit.

    Folders are opened relative to their parents, because a path may be longer than the system allows.
    """
    size = entries = 0
    pending = [os.open(folder, _FOLDER)]
    try:
        while pending:
            handle = pending.pop()
            try:
                with os.scandir(handle) as found:
                    for entry in found:
                        entries += 1
                        about = entry.stat(follow_symlinks=False)
                        size += about.st_blocks * 512
                        if size > limits["folder_bytes"] or entries > limits["folder_entries"]:
                            return True
                        if stat.S_ISDIR(about.st_mode):
                            pending.append(os.open(entry.name, _FOLDER, dir_fd=handle))
            except OSError:
                continue  # removed meanwhile, or not readable: then it is counted, and other users cannot enter it either
            finally:
                os.close(handle)
    finally:
        for handle in pending:
            os.close(handle)
    return False


def empty(folder: str) -> None:
    """Delete the content of a folder: links themselves, and folders of any depth with any permissions.

    The content of an inner folder is moved up before the folder is deleted, so paths stay short and there is no recursion.
    All processes of the program have ended, so nothing changes meanwhile.
    """
    number = 0
    while names := os.listdir(folder):
        for name in names:
            path = os.path.join(folder, name)
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for inner in os.listdir(path):
                below = os.path.join(path, inner)
                if stat.S_ISDIR(os.lstat(below).st_mode):
                    os.chmod(below, 0o700)  # moving a folder writes its `..`
                    number += 1
                    os.rename(below, os.path.join(folder, f".emptied-{os.getpid()}-{number}"))
                else:
                    os.unlink(below)
            os.rmdir(path)


def remove(folder: str) -> None:
    """Delete the folder and the one around it, if they exist."""
    with suppress(FileNotFoundError):
        empty(folder)
        os.rmdir(folder)
    with suppress(OSError):  # in its own file system the folder is at the top
        os.rmdir(os.path.dirname(folder))
