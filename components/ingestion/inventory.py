"""The present content of the configured sources: every file with its content hash or version, and the Python version.

DVC cannot see files that params.yaml only names. This list is made at every run, and the `ingest` stage depends on it: it
runs again only if new or changed text or another Python changes the list. Equal text gives an equal list on every machine;
a file is hashed again only if its size or time has changed. A remote file is listed with its store's checksum or time, a data
set of the hub with its revision, without reading either. For a growing corpus (`ingestion.incremental`), the list also has
the increment of each file (`arrivals`), based on the previous list. A second list has the benchmarks' data, which curation
keeps out of the corpus, and curation's block lists of addresses.
"""

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import write_json
from components.foreign.confined import leads_out, open_inside
from components.ingestion.arrivals import Units, number, units
from components.ingestion.files import SourceFile
from components.ingestion.formats import (
    EXPECTED,
    TOOL_MARKS,
    passed_over,
    unread_reason,
)
from components.ingestion.python_library import LIBRARY, library_files
from components.ingestion.readers.base import ELSEWHERE, is_scarcity, no_file
from components.ingestion.readers.decoding import looked_into
from components.ingestion.readers.hub import is_hub, parse, resolve
from components.ingestion.remote import is_remote, list_remote, local_path, public, requested
from components.ingestion.unread import Unread
from components.params import Params, Source
from components.running.cli import Argument, Command, main
from components.tracking import Tracker, project_home, state_folder

LOOKS = 16  # remote files without an ending that are looked into at the same time
HASHES = "source-hashes.json"  # in `.phiforge`


def source_root(source: Source) -> Path:
    """The folder or file of a source; relative paths start at the project's main folder, not at a workspace."""
    return LIBRARY if source.path == "python" else (project_home() / Path(local_path(source.path)).expanduser())


def list_files(source: Source) -> tuple[list[SourceFile], Unread]:
    """The readable files of a source in a fixed order, and the files that are not read, by reason.

    Broken links, pipes and the like are among the readable files whatever their names, to be quarantined.

    Raises:
        StepError: the source does not exist or cannot be listed.
    """
    unread = Unread()
    if source.path == "python":
        return [_local(path, LIBRARY, source) for path in library_files()], unread
    if is_hub(source.path):
        return [_dataset(source)], unread
    if is_remote(source.path):  # remote, so without links
        listed = [SourceFile(url, url, source, size, version) for url, size, version in list_remote(requested(source))]
        return _readable([file for file in listed if not _is_passed_over(file, unread)], unread), unread
    root = source_root(source)
    if not os.path.exists(root):  # Path.exists raises where a folder above may not be searched, or a name is too long
        raise StepError(
            f"ingestion.sources: {source.path!r} does not exist (looked for {root}); correct it in params.yaml"
        )
    if root.is_file():
        # Named by the user, so it may be a link.
        named = replace(_local(root, root.parent, source), refused="", folder=None)
        return _readable([named], unread), unread
    listed = [_local(path, root, source) for path in sorted(_walk(root, source.follow_links, unread), key=_parts)]
    return _readable(listed, unread), unread


def _local(path: Path, root: Path, source: Source) -> SourceFile:
    try:
        size = path.stat().st_size
    except OSError:
        size = 0  # it has vanished since it was listed; its reader reports that
    folder = None if source.follow_links or source.path == "python" else root
    refused = f"is a link that {ELSEWHERE}" if folder and os.path.islink(path) and leads_out(path, root) else ""
    return SourceFile(path, _utf8_name(path, root), source, size, refused=refused, folder=folder)


def _dataset(source: Source) -> SourceFile:
    """A data set as one file; with its present revision if it is on the hub."""
    found = parse(source)
    if found.is_local:
        root = Path(found.path)
        size = sum(_local(path, root, source).size for path in _walk(root, source.follow_links))
        return SourceFile(source.path, source.path, source, size)
    location, revision = resolve(source)
    return SourceFile(location, location.removesuffix(f"@{revision}"), source, 0, revision)


def _is_passed_over(file: SourceFile, unread: Unread) -> bool:
    """Whether the name of a remote file or of a folder above it is skipped; counts it if so."""
    reason = next(filter(None, map(passed_over, file.name.split("/"))), "")
    if reason:
        unread.add(reason, file.name)
    return bool(reason)


def _readable(files: list[SourceFile], unread: Unread) -> list[SourceFile]:
    """The files that a reader takes or quarantines; counts the others."""
    taken = []
    for file in _looked_into(files):
        if not (file.refused or file.format or no_file(file.location)):
            unread.add(unread_reason(file.name), file.name)
        elif isinstance(file.location, Path) and _is_closed(file.location):
            unread.add("files that this user may not read", file.name)
        else:
            taken.append(file)
    return taken


def _looked_into(files: list[SourceFile]) -> Iterator[SourceFile]:
    """The files with their formats; those behind addresses are looked into at the same time, since each waits for an answer."""
    if not any(isinstance(file.location, str) for file in files):
        yield from map(looked_into, files)
        return
    with ThreadPoolExecutor(LOOKS) as pool:
        yield from pool.map(looked_into, files)


def _is_closed(path: Path) -> bool:
    """Whether this user may not read a file; False for a vanished file, which its reader reports."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError:  # a folder above may not be searched
        return True
    return not (os.access(path, os.R_OK) or no_file(path))


def _utf8_name(path: Path | str, root: Path) -> str:
    """The name of a path below a root, with forward slashes. Bytes that are not UTF-8 become U+FFFD, to be valid text.

    It works on bytes, since Path.relative_to takes a third of the time to list many files.
    """
    return os.fsencode(path).removeprefix(os.path.join(os.fsencode(root), b"")).decode("utf-8", "replace")


def _walk(root: Path, follow: bool, unread: Unread | None = None) -> list[Path]:
    """All files below a folder. Each folder is walked once, linked folders last, so that circular links end and nothing is
    read twice.

    Args:
        follow: walk linked folders outside of it; else the links themselves are listed.
        unread: counts hidden files and the folders of tools, which are not walked. Without it, only hidden files are left
            out.
    """

    def refuse(error: OSError) -> None:
        if unread is None or Path(error.filename) == root or is_scarcity(error):
            raise StepError(
                f"{error.filename} cannot be listed ({error.strerror}); permit it, or leave it out of ingestion.sources"
            )
        unread.add(f"folders that cannot be listed ({error.strerror})", _utf8_name(error.filename, root))

    def is_wanted(path: Path, reason: str) -> bool:
        if unread is None:
            return not path.name.startswith(".")
        if reason:
            unread.add(reason, _utf8_name(path, root))
        return not reason

    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    waiting = [root]
    for start in waiting:
        for folder, subfolders, names in os.walk(start, onerror=refuse):
            try:
                status = os.stat(folder)
            except OSError as error:  # it was listed a moment ago
                refuse(error)
                subfolders.clear()
                continue
            if (status.st_dev, status.st_ino) in seen:
                subfolders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            inside = []
            for path in (Path(folder, name) for name in sorted(subfolders)):
                is_link = os.path.islink(path)
                is_outside = is_link and not follow and leads_out(path, root)
                if not is_wanted(path, passed_over(path.name) or ("" if is_outside else _tool(path))):
                    continue
                if is_link:
                    (found if is_outside else waiting).append(path)
                else:
                    inside.append(path.name)
            subfolders[:] = inside
            found += [path for name in names if is_wanted(path := Path(folder, name), passed_over(name))]
    return found


def _parts(path: Path) -> tuple[str, ...]:
    """Sort key of paths: the same order as that of Path, in a fifth of the time."""
    return path.parts


def _tool(folder: Path) -> str:
    """The tool that a folder belongs to by its content, as a phrase in the plural; or an empty string."""
    return next((f"folders of a {tool}" for mark, tool in TOOL_MARKS.items() if os.path.exists(folder / mark)), "")


class KnownHashes:
    """Content hashes by path, size and time, kept between runs: hashing gigabytes at every run would be slow."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._old: dict[str, str] = {}
        self._new: dict[str, str] = {}
        if path.is_file():
            with contextlib.suppress(OSError, ValueError, RecursionError):  # a broken cache counts as empty
                held = json.loads(path.read_text(encoding="utf-8"))
                self._old = held if isinstance(held, dict) else {}

    def of(self, path: Path, folder: Path | None = None) -> str:
        """SHA-256 of the file; if it cannot be read, the reason, since a reader will quarantine it.

        Args:
            folder: which no link may leave; None = links may lead anywhere.

        Raises:
            StepError: memory or file handles ran out.
        """
        if reason := no_file(path):
            return f"unreadable: {reason}"
        try:
            stat = path.stat()
            key = f"{stat.st_size} {stat.st_mtime_ns} {str(path)!a}"  # a name need not be UTF-8
            known = self._old.get(key)
            self._new[key] = known if isinstance(known, str) else _sha256(path, folder)
        except OSError as error:
            if is_scarcity(error):
                raise StepError(
                    f"{path} cannot be hashed ({error.strerror}); permit it, or leave it out of ingestion.sources"
                ) from error
            return f"unreadable: {error.strerror or error}"
        return self._new[key]

    def save(self) -> None:
        if self._new != self._old:
            with contextlib.suppress(OSError):  # another run saved at the same time: these files are hashed again
                write_json(self.path, self._new)


def _sha256(path: Path, folder: Path | None) -> str:
    with open_inside(path, folder) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def take(params: Params, earlier: Path | None = None) -> dict[str, Any]:
    """The inventory of all sources as JSON: for the Python library its version, else every file with its hash.

    Args:
        earlier: the previous inventory, whose increments a growing corpus keeps; None or a missing file at first.
    """
    sources = []
    all_unread = Unread()
    hashes = KnownHashes(state_folder() / HASHES)
    for source in params.ingestion.sources:
        files, unread = list_files(source)
        all_unread.add_all(unread)
        entry: dict[str, Any] = {
            "path": public(source.path),
            "files": len(files),
            "bytes": sum(file.size for file in files),
        }
        if source.path == "python":
            entry["python"] = _python()
        else:
            entry["not_read"] = unread.rows()
            entry["listing"] = _listing(source, files, hashes)
        sources.append(entry)
    hashes.save()
    if not any(entry["files"] for entry in sources):
        named = ", ".join(repr(entry["path"]) for entry in sources)
        raise StepError(nothing_to_read(named, all_unread))
    if params.ingestion.incremental:
        number(sources, earlier)
    return {"sources": sources}


def versions(source: Source, files: list[SourceFile]) -> Units:
    """The present versions of some files of a source, by the name of the unit, as in an inventory."""
    entry: dict[str, Any] = {"path": public(source.path)}
    if source.path == "python":
        return units(entry | {"python": _python()})
    return units(entry | {"listing": _listing(source, files, KnownHashes(state_folder() / HASHES))})


def nothing_to_read(sources: str, unread: Unread) -> str:
    """The error message for sources without a file that a reader takes."""
    held = "; ".join(unread.lines()) or "nothing"
    return (
        f"ingestion.sources: no readable file in {sources} (found: {held}); expected {EXPECTED}; rename text with another ending "
        "to .txt, or name other text in ingestion.sources"
    )


def _python() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def _listing(source: Source, files: list[SourceFile], hashes: KnownHashes) -> list[list[str]]:
    """Name and version of each file: its content hash, or the version of its store."""
    if is_hub(source.path) and (found := parse(source)).is_local:
        root = Path(found.path)  # one file to its reader, but many that may change
        files = [_local(path, root, source) for path in sorted(_walk(root, source.follow_links), key=_parts)]
    return [[file.name, file.version or file.refused or hashes.of(Path(file.location), file.folder)] for file in files]


def benchmark_files(data_dir: str) -> dict[str, Any]:
    """Name and hash of each file of the benchmarks' data; empty if no folder is named.

    Raises:
        StepError: the folder does not exist.
    """
    if not data_dir:
        return {"files": []}
    root = project_home() / data_dir
    if not root.is_dir():
        raise StepError(
            f"benchmarking.data_dir: {data_dir!r} is not a folder (looked for {root}); correct it in params.yaml, "
            "or leave it empty"
        )
    hashes = KnownHashes(state_folder() / "benchmark-hashes.json")
    files = [
        [_utf8_name(path, root), "leads out of the folder" if leads_out(path, root) else hashes.of(path, root)]
        for path in sorted(_walk(root, follow=False), key=_parts)
    ]
    hashes.save()
    return {"files": files}


def run(inputs: dict[str, Any], outputs: dict[str, Any], params: Params, tracker: Tracker) -> dict[str, Any]:
    inventory = take(params, project_home() / outputs["output"])  # the main folder's, also in a workspace
    if outputs.get("benchmarks"):
        named = benchmark_files(params.benchmarking.data_dir)
        if lists := params.curation.url_lists:
            hashes = KnownHashes(state_folder() / "url-list-hashes.json")
            folder = project_home() / Path(lists).expanduser()
            named["url_lists"] = [[path.name, hashes.of(path)] for path in sorted(folder.glob("*.txt"))]
            hashes.save()
        write_json(outputs["benchmarks"], named)
    write_json(outputs["output"], inventory)
    for entry in inventory["sources"]:
        print(f"{entry['path']}: {entry['files']:,} files, {entry['bytes'] / 1e6:.1f} MB")
    return {entry["path"]: {"files": entry["files"], "bytes": entry["bytes"]} for entry in inventory["sources"]}


COMMAND = Command(
    step="ingestion.inventory",
    description="List the present content of the sources of params.yaml, so that a changed source is read again.",
    run=run,
    outputs=(
        Argument("output", "JSON file for the list"),
        Argument("benchmarks", "JSON file for the list of the benchmarks' data", required=False),
    ),
    sections=("ingestion", "benchmarking", "curation"),
    tracked=False,
)

if __name__ == "__main__":
    main(COMMAND)
