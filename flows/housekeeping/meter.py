"""How many bytes a removal frees: a file that has other links is still there."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

BLOCK = 512  # bytes that `st_blocks` counts in


class Meter:
    """Counts files as they go, or as they would. A file's bytes are freed by the removal of its last link."""

    def __init__(self) -> None:
        self._links: dict[tuple[int, int], int] = {}  # by device and inode: links that are left

    def bytes_of(self, paths: Iterable[Path]) -> int:
        """Bytes on the disk that removing these files and folders frees."""
        return sum(self._bytes(path) for top in paths for path in _all_in(top))

    def _bytes(self, path: Path) -> int:
        try:
            found = path.lstat()
        except FileNotFoundError:
            return 0
        if path.is_dir() and not path.is_symlink():
            return found.st_blocks * BLOCK
        inode = (found.st_dev, found.st_ino)
        self._links[inode] = self._links.get(inode, found.st_nlink) - 1
        return 0 if self._links[inode] > 0 else found.st_blocks * BLOCK


def _all_in(top: Path) -> Iterator[Path]:
    yield top
    for folder, folders, files in os.walk(top):
        yield from (Path(folder) / name for name in (*folders, *files))
