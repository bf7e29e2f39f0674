"""Objects in DVC's cache and local remote, the experiments, and the git references that keep sources of runs.

`dvc gc` does not know ages or registered versions, and reads the whole pipeline once per experiment. So the needed objects
are read from the locks themselves: everything that looks like a hash of DVC in a dvc.lock or a .dvc file is needed.
"""

import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from components.running.locks import exclusive
from components.running.revision import git, git_lines
from flows import cache
from flows.definitions import DEFINITIONS
from flows.graph import lock_path, repository
from flows.housekeeping.plan import Entry
from flows.settings import FOLDER, lock_file

HASH = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])(?:\.dir)?")
OBJECT = re.compile(r"[0-9a-f]{2}/[0-9a-f]{30}(\.dir)?")
NAMING = (":(glob)**/dvc.lock", ":(glob)**/*.dvc")  # files that name objects
OURS = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(run-[0-9a-f]{12})")  # an experiment that a run has saved
SOURCES = "refs/phiforge/"
SOURCE = re.compile(rf"{SOURCES}[0-9a-f]+")
ODD = "odd"  # kind of an entry among those of runs that no run made: it is kept, and its name describes it
SUBMODULE = "160000 "  # start of a line in git's listings with a commit of another repository
OID = re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{40})\b")  # git's name of an object
AT_ONCE = 200  # maximum objects per call of git


def entries(home: Path) -> Iterator[Entry]:
    """Commits and checkouts with the objects that they need, experiments, sources of runs, and existing objects."""
    kept: list[str] = []  # objects, not references: DVC makes temporary references while it saves an experiment
    form = "--format=%(refname) %(objectname) %(objecttype) %(creatordate:unix) %(symref)"
    for name, oid, kind, time, target in (line.split(" ") for line in git_lines(home, "for-each-ref", form)):
        ours, is_made_by_a_run = OURS.fullmatch(name), kind == "commit" and not target
        if ours and is_made_by_a_run:
            yield Entry("experiments", name, f"experiment:{ours[1]}", float(time), _named_at(home, oid))
        elif SOURCE.fullmatch(name) and is_made_by_a_run:
            yield Entry("sources", name, f"source:{name}", float(time), _named_at(home, oid))
        else:
            kept.append(oid)
            if ours or name.startswith(SOURCES):
                yield _odd(f"{name} does not keep a commit that a run has made")
    kept += git_lines(home, "stash", "list", "--format=%H")
    for place in checkouts(home):
        kept.append(git(place, "rev-parse", "HEAD"))
        workspace = place.parent == Path(home).resolve() / FOLDER
        key = f"workspace:{place.name}" if workspace else f"checkout:{place}"
        yield Entry("checkouts", str(place), key, needs=_named_in(place), pinned=not workspace)
    for place in temporary(home):
        yield Entry("checkouts", str(place), f"checkout:{place}", needs=_named_in(place), pinned=True)
    yield Entry("commits", "all", "commits", needs=_named_in_history(home, kept), pinned=True)
    for kind, folder in stores(home):
        yield from _objects(kind, folder)
        yield from (_odd(f"{path} is not a file") for path in _stage_runs(folder) if not _is_regular(path))


def _odd(name: str) -> Entry:
    return Entry(ODD, name, f"{ODD}:{name}", pinned=True)


def stores(home: Path) -> Iterator[tuple[str, Path]]:
    """DVC's cache and its remotes on this disk, if they are inside this project: others may be shared."""
    inside = Path(home).resolve()
    if cache.cache_folder(home).resolve().is_relative_to(inside):
        yield "cache", cache.cache_folder(home)
    for folder in cache.local_remotes(home):
        if folder.resolve().is_relative_to(inside):
            yield "remote", folder


def checkouts(home: Path) -> list[Path]:
    """The main folder and all its git worktrees, workspaces included."""
    listed = git_lines(home, "worktree", "list", "--porcelain")
    places = [Path(line.removeprefix("worktree ")) for line in listed if line.startswith("worktree ")]
    return [place for place in places if (place / ".dvc").is_dir()]


def temporary(home: Path) -> list[Path]:
    """The clones that `dvc queue` and `dvc exp run --temp` work in."""
    return [path.parent for path in (Path(home) / ".dvc" / "tmp" / "exps").glob("*/*/.dvc") if path.is_dir()]


@contextmanager
def nothing_is_saved(home: Path) -> Iterator[None]:
    """Prevent runs from saving a result, making a workspace, starting a record in MLflow or registering a model within
    the block.

    DVC locks a checkout before it puts an object into the cache, and unlocks it after dvc.lock names the object; a stage
    computes without the lock. While all checkouts are locked here, every object that a run needs is named.
    """
    with ExitStack() as locks:
        for name in ("promotion", "mlflow", "git"):  # a decision on the champion takes the first two in this order
            locks.enter_context(exclusive(lock_file(home, name)))
        for place in [*checkouts(home), *temporary(home)]:
            repo = locks.enter_context(repository(place))
            locks.enter_context(repo.lock)
        yield


def paths(home: Path, entry: Entry) -> list[Path]:
    """The file of an object; a git reference has no file of its own."""
    return [Path(entry.name)] if entry.kind in ("cache", "remote") else []


def remove(home: Path, entry: Entry) -> bool:
    """Remove an object or a reference; returns whether it was removed."""
    if entry.kind in ("cache", "remote"):
        path = Path(entry.name)
        path.unlink(missing_ok=True)
        with suppress(OSError):  # it is not empty
            path.parent.rmdir()
        return True
    with exclusive(lock_file(home, "experiments")):  # saving an experiment at this moment would fail
        if float(git(home, "for-each-ref", "--format=%(creatordate:unix)", entry.name) or 0) > entry.time:
            return False  # saved again since it was listed
        git(home, "update-ref", "--no-deref", "-d", entry.name)
    return True


def stale_stage_runs(home: Path, removed: list[Entry]) -> list[tuple[str, Path]]:
    """Entries of DVC's run cache with an output that is missing or among the removed: they cannot restore anything. Each
    with its store's kind."""
    existing = {entry.key for kind, folder in stores(home) for entry in _objects(kind, folder)}
    remaining = existing - {entry.key for entry in removed}
    return [
        (kind, path)
        for kind, folder in stores(home)
        for path in filter(_is_regular, _stage_runs(folder))
        if not hashes_in(_text(path).partition("\nouts:")[2]) <= remaining  # DVC writes the outputs last
    ]


def _stage_runs(folder: Path) -> Iterator[Path]:
    return (folder / "runs").glob("*/*/*")


def _is_regular(path: Path) -> bool:
    """Whether a path is a regular file: reading a pipe would wait."""
    with suppress(FileNotFoundError):  # DVC has just removed it
        return stat.S_ISREG(path.stat().st_mode)
    return True


def hashes_in(text: str) -> frozenset[str]:
    """Keys of the objects that a text names."""
    return frozenset(f"object:{found}" for found in HASH.findall(text))


def _text(path: Path) -> str:
    """A file's text. Hashes in another kind of file, such as a picture named x.dvc, count too."""
    return path.read_text(encoding="utf-8", errors="replace")


def _objects(kind: str, folder: Path) -> Iterator[Entry]:
    base = folder / "files" / "md5"
    for path in base.glob("*/*"):
        name = path.relative_to(base).as_posix()
        if OBJECT.fullmatch(name) and not _is_regular(path):
            yield _odd(f"{path} is not a file")
        elif OBJECT.fullmatch(name):
            with suppress(FileNotFoundError):  # DVC has just removed it
                members = hashes_in(_text(path)) if path.suffix == ".dir" else frozenset()
                key = f"object:{name.replace('/', '')}"
                yield Entry(kind, str(path), key, path.stat().st_mtime, members)


def _named_at(home: Path, commit: str) -> frozenset[str]:
    """The objects that a commit's own files name, without earlier commits."""
    return _named_in_blobs(home, git(home, "ls-tree", "-r", "-z", "--full-tree", commit).split("\0"))


def _named_in_history(home: Path, tips: list[str]) -> frozenset[str]:
    """The objects that any commit names that is reachable from these."""
    listed = git(home, "rev-list", "--objects", "--full-history", *tips, "--", *NAMING)
    return _named_in_blobs(home, listed.split("\n"))


def _named_in(place: Path) -> frozenset[str]:
    """The objects that a checkout names, in its files and in its index."""
    # -z: otherwise git quotes a name with a quotation mark, and the file would not be found.
    files = git(place, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *NAMING).split("\0")
    files += [lock_path(definition.file) for definition in DEFINITIONS.values()]
    texts = [_text(place / name) for name in set(files) if (place / name).is_file()]
    staged = git(place, "ls-files", "-z", "--stage", "--", *NAMING).split("\0")
    return hashes_in("\n".join(texts)) | _named_in_blobs(place, staged)


def _named_in_blobs(root: Path, listing: list[str]) -> frozenset[str]:
    """The objects that the dvc.lock and .dvc files in a listing of git's name (each line an object and its path)."""
    naming = (line for line in listing if line.endswith((".dvc", "dvc.lock")) and not line.startswith(SUBMODULE))
    oids = sorted({match[0] for line in naming if (match := OID.search(line))})
    groups = (oids[start : start + AT_ONCE] for start in range(0, len(oids), AT_ONCE))
    return frozenset().union(*(hashes_in(git(root, "show", *group)) for group in groups))
