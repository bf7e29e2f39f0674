"""Isolated checkouts for runs with their own parameters.

A workspace is a git worktree of the current source tree, including uncommitted changes of tracked files. Its name is a
hash of the source tree and the changed parameters, so an equal run reuses it. Edited files in it are refused, because the
name would be wrong. It shares DVC's cache and the local remote with the main tree, but never changes the files there.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from components.errors import StepError
from components.files import atomic_file
from components.params import check_layers, read_profile
from components.running.locks import exclusive, if_free
from components.running.revision import edits_since, git, identity, listed, source_tree, untracked_files
from flows.cache import cache_folder
from flows.definitions import Definition
from flows.events import Caution
from flows.graph import PIPELINE_FILE, Stage, lock_path, shown_by
from flows.settings import (
    FOLDER,
    last_used,
    lock_at,
    lock_file,
    lock_of,
    stage_environment,
    state_folder,
)

LINKS = (
    "reflink,hardlink,copy"  # outputs in a workspace are not edited, and copies in all workspaces would fill the disk
)
Say = Callable[[str], None]


class Changes(NamedTuple):
    """The changes to params.yaml by dotted keys: the values of the profile, and then the overrides."""

    profile: Mapping[str, Any]
    overrides: Mapping[str, Any]


NO_CHANGES = Changes({}, {})


@dataclass(frozen=True)
class Workspace:
    """The checkout of a run.

    Attributes:
        root: the checkout.
        key: empty for the main tree.
        tree: the source tree of a workspace.
        changes: the changes to its params.yaml.
    """

    root: Path
    key: str = ""
    tree: str = ""
    changes: Changes = NO_CHANGES

    def lock(self, home: Path) -> Path:
        """The lock file of a run in this checkout."""
        return lock_at(home, self.root)

    @property
    def experiment(self) -> str:
        """The run's name in `dvc exp show`."""
        return f"run-{self.key}"


@contextmanager
def workspace(
    root: Path, overrides: Mapping[str, Any], profile: str | None, say: Say, stopped: Any = None
) -> Iterator[Workspace]:
    """The checkout for a run, locked until the block ends; equal runs wait.

    Args:
        root: the main tree.
        overrides: dotted keys of params.yaml to values.
        profile: name of an overlay in profiles/.
        say: called with remarks, such as untracked files that are not in the workspace.
        stopped: an event that ends the wait.

    Raises:
        StepError: there is no git repository, git refuses, or files of the workspace were edited.
    """
    place = place_of(root, overrides, profile)
    busy = f"an equal run works in workspace {place.key}" if place.key else "another run works in this folder"
    with exclusive(place.lock(root), lambda: say(f"{busy}; waiting for it"), stopped):
        if place.key:
            _prepare(root, place, say)
        yield place
        os.utime(place.lock(root))


def place_of(root: Path, overrides: Mapping[str, Any], profile: str | None) -> Workspace:
    """The checkout of a run with these parameters; its folder may not exist yet.

    Raises:
        StepError: there is no git repository, or git refuses.
    """
    if not overrides and not profile:
        return Workspace(root)
    tree = _committed_source(root)
    changes = Changes(read_profile(root, profile) if profile else {}, dict(overrides))
    key = workspace_key(tree, changes)
    return Workspace(root / FOLDER / key, key, tree, changes)


def workspace_key(tree: str, changes: Changes) -> str:
    """Twelve hex digits of the hash of source tree and changed parameters."""
    identity = json.dumps([tree, changes], sort_keys=True, default=str)
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def refuse_edits(root: Path, place: Workspace) -> None:
    """Check that a workspace still has the source of its key.

    Raises:
        StepError: files in it were edited, added or removed.
    """
    if edited := edits_since(place.root, record_of(root, place.key)["checkout"]):
        where = f"{FOLDER}/{place.key}"
        raise StepError(
            f"{where}: {listed(edited)} changed since the workspace was made, so its results would be recorded for "
            f"another source; make such changes in the main folder, then remove {where} and run again"
        )


def _committed_source(root: Path) -> str:
    try:
        git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except StepError:
        raise StepError(
            f"{root} has no git commit; a run with its own parameters works in a copy that git makes; commit first"
        ) from None
    return source_tree(root)


def remove(root: Path, key: str, unused_since: float) -> bool:
    """Remove a workspace that no run is using or has used since `unused_since`; returns whether it was removed."""
    with if_free(lock_file(root, lock_of(key))) as free:
        if not free or last_used(root, lock_of(key)) > unused_since:
            return False
        with exclusive(lock_file(root, "git")):
            _remove(root, root / FOLDER / key)
        _record_file(root, key).unlink(missing_ok=True)
    return True


def save_experiment(root: Path, place: Workspace, definition: Definition, stages: Sequence[Stage], say: Say) -> None:
    """Record a workspace's state as a DVC experiment for `dvc exp show` in the main tree.

    The lock prevents parallel saves, which break each other's git references. A failure is reported with DVC's text; then
    the run is only missing in the list.

    Args:
        definition: of the run.
        stages: its stages and those it needs; other stages may have no outputs.
    """
    file = definition.file
    whole = [] if definition.last else [file]
    needed = [stage.address for stage in stages if stage.file not in whole]
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "exp", "save", "--force", "--name", place.experiment]
    if file != PIPELINE_FILE:  # untracked in a new workspace
        command += [f"--include-untracked={path}" for path in (shown_by(file), lock_path(file))]
    with exclusive(lock_file(root, "experiments")):
        done = subprocess.run(
            [*command, *whole, *needed],
            cwd=place.root,
            env=stage_environment(root) | identity(root),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip()
        say(Caution(f"dvc exp save failed, so this run is not in `dvc exp show`: {reason}"))
    else:
        say(f"saved as DVC experiment {place.experiment}; compare with: dvc exp show")


def experiment_exists(root: Path, place: Workspace) -> bool:
    """Whether the workspace's experiment is already listed."""
    return place.experiment in git(root, "for-each-ref", "--format=%(refname:lstrip=-1)", "refs/exps").splitlines()


def _prepare(root: Path, place: Workspace, say: Say) -> None:
    with exclusive(lock_file(root, "git")):
        if place.root.is_dir() and "checkout" in record_of(root, place.key):
            refuse_edits(root, place)
            git(
                place.root, "reset", "--soft", git(root, "rev-parse", "HEAD")
            )  # experiments belong to the current commit
            git(
                place.root, "read-tree", record_of(root, place.key)["checkout"]
            )  # because saving an experiment resets the index
            return
        _remove(root, place.root)  # left by a run that was killed while making it
        git(root, "worktree", "add", "--no-checkout", "--detach", "--force", str(place.root), "HEAD")
        git(place.root, "read-tree", "--reset", "-u", place.tree)
    if missing := untracked_files(root):
        names = listed(missing)
        say(Caution(f"untracked files are not in workspace {place.key} (git add them if the run needs them): {names}"))
    _share_cache(root, place.root)
    write_params(place.root / "params.yaml", place.changes.profile, place.changes.overrides)
    record = {
        "tree": place.tree,
        **place.changes._asdict(),
        "checkout": source_tree(place.root),
        "created": time.time(),
    }
    with atomic_file(_record_file(root, place.key)) as partial:
        partial.write_text(json.dumps(record, indent=2, default=str), encoding="utf-8")


def _record_file(root: Path, key: str) -> Path:
    return state_folder(root) / FOLDER / f"{key}.json"


def record_of(root: Path, key: str) -> dict[str, Any]:
    """The record of a workspace; empty if its creation was interrupted."""
    path = _record_file(root, key)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_params(path: Path, profile: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
    """Apply a profile and overrides to a params.yaml without changing its comments and order. The written values are the
    checked ones, which DVC inserts into the stages' commands.

    Raises:
        StepError: a value is refused.
    """
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    checked = check_layers(path, profile, overrides).model_dump(exclude_unset=True)
    values = yaml.load(path.read_text(encoding="utf-8")) or {}
    _update(values, checked)
    with atomic_file(path) as partial, open(partial, "w", encoding="utf-8") as file:
        yaml.dump(values, file)


def _update(values: Any, checked: Mapping[str, Any]) -> None:
    """Change the values of a commented mapping in place, key by key."""
    for key in [key for key in values if key not in checked]:
        del values[key]
    for key, value in checked.items():
        old = values.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            _update(old, value)
        elif old != value or isinstance(old, bool) != isinstance(value, bool):
            values[key] = value


def _share_cache(root: Path, workspace_root: Path) -> None:
    from configobj import ConfigObj  # DVC's own parser, because paths may contain blanks and quotes

    main, local = (ConfigObj(str(root / ".dvc" / name), encoding="utf-8") for name in ("config", "config.local"))
    for section, values in main.items() + local.items():
        url = values.get("url", "")
        # A relative remote is relative to .dvc, so it would be in the workspace.
        if section.strip("'").startswith("remote ") and url.startswith("."):
            local[section] = dict(values) | {"url": str((root / ".dvc" / url).resolve())}
    local["cache"] = dict(local.get("cache", {})) | {"dir": str(cache_folder(root)), "type": LINKS}
    local.filename = str(workspace_root / ".dvc" / "config.local")
    Path(local.filename).touch(mode=0o600)  # it may contain the password of a remote
    local.write()


def _remove(root: Path, folder: Path) -> None:
    if folder.exists():
        try:
            git(root, "worktree", "remove", "--force", str(folder))
        except StepError:
            shutil.rmtree(folder)  # its creation was interrupted, so git does not know it
    # Git is not asked to prune: seen from a container, workspaces of the host are missing, and the other way round.
