"""Checks DVC's cache: an object that no longer matches its name is removed, so that its stage makes it again.

DVC trusts every read-only file of its cache and links it into each checkout that needs it. A file that was edited in
place or damaged on disk would be restored as the result of a stage forever. Objects are hashed once, and again only if
size, time or inode have changed.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flows.graph import repository
from flows.settings import state_folder


class Cache:
    """The cache of a project, which its workspaces share."""

    def __init__(self, home: Path) -> None:
        from dvc_data.hashfile.db import HashFileDB
        from dvc_data.hashfile.state import State

        with repository(home) as repo:
            self._objects = HashFileDB(repo.cache.local.fs, repo.cache.local.path)
        self.folder = Path(self._objects.path)
        # A record of our own: DVC's trusts an existing object when a stage makes it again.
        self._objects.state = State(str(home), str(state_folder(home) / "cache"))

    def drop_spoilt(self, outs: Mapping[str, str]) -> list[str]:
        """Remove the objects of these outputs that do not have the hash they are named by.

        Args:
            outs: path to md5, as in dvc.lock.

        Returns:
            The paths of the outputs that lost an object.
        """
        return [path for path, md5 in outs.items() if md5 and [oid for oid in self._oids(md5) if self._drop(oid)]]

    def close(self) -> None:
        self._objects.state.close()

    def _oids(self, md5: str) -> Iterator[str]:
        """An object and, if it is a folder, the objects that it lists."""
        yield md5
        if md5.endswith(".dir"):
            with suppress(FileNotFoundError):  # not in the cache, or dropped just now
                listing = Path(self._objects.oid_to_path(md5)).read_text(encoding="utf-8")
                yield from (entry["md5"] for entry in json.loads(listing))

    def _drop(self, oid: str) -> bool:
        from dvc_objects.errors import ObjectFormatError

        try:
            self._objects.check(oid)  # hashes it unless the record has its present state; removes it if it is damaged
        except ObjectFormatError:
            return True
        except FileNotFoundError:
            return False
        return False


def dropped(path: str) -> str:
    """The message about an output that lost an object."""
    return f"{path}: DVC's cached copy was changed after it was made (wrong hash); it was removed and is made again"


def cache_folder(root: Path) -> Path:
    """The folder of DVC's cache of a project."""
    with repository(root) as repo:
        return Path(repo.cache.local.path).parents[1]  # without files/md5


def local_remotes(root: Path) -> list[Path]:
    """Folders of the project's remotes that are on this machine's disk."""
    with repository(root) as repo:
        return [Path(remote.path) for remote in _local_remotes(repo)]


def forget_remote_contents(root: Path) -> None:
    """Make DVC list its local remotes again; otherwise it would not push again what was removed there."""
    from dvc_data.hashfile.db import get_index

    with repository(root) as repo:
        for remote in _local_remotes(repo):
            get_index(remote.odb).clear()


def _local_remotes(repo: Any) -> Iterator[Any]:
    for name, given in repo.config["remote"].items():
        if "://" not in str(given.get("url", "")):
            yield repo.cloud.get_remote(name)
