"""Which stages a run would skip, restore from DVC's caches, or run, without running or writing anything.

The comparisons are DVC's own, of dvc.lock, of the files and of the run cache. A stage whose inputs another stage will make
anew has to run. The sources are taken to be as they were listed last: only a run lists them.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from components.params import PARAMS_FILE
from flows.definitions import Definition
from flows.graph import Stage, graph_in, lock_path, repository
from flows.workspace import Workspace, place_of, write_params

State = Literal["cached", "restored", "runs"]


class Forecast(NamedTuple):
    """What happens to a stage, and the bytes that its outputs had last time (0 if it never ran)."""

    stage: Stage
    state: State
    bytes: int


def forecast(home: Path, definition: Definition, overrides: Mapping[str, Any], profile: str | None) -> list[Forecast]:
    """The stages of a run, each after those it needs.

    Raises:
        StepError: the repository or the pipeline's definition is refused.
    """
    place = place_of(home, overrides, profile)
    made = (place.root / lock_path(definition.file)).is_file()  # its checkout exists
    root = place.root if made else home
    with tempfile.TemporaryDirectory(prefix="phiforge-") as folder, repository(root) as repo:
        params = root / PARAMS_FILE
        if not made:
            params = _params_of(place, params, Path(folder))
        return _Walk(repo, root, params, here=made).all_of(graph_in(repo, root, definition.file, definition.last))


def _params_of(place: Workspace, params: Path, folder: Path) -> Path:
    """The params.yaml that a workspace would get."""
    copy = folder / PARAMS_FILE
    copy.write_bytes(params.read_bytes())
    write_params(copy, place.changes.profile, place.changes.overrides)
    return copy


class _Walk:
    """Goes through the stages in order and keeps the outputs that each would leave.

    Attributes:
        here: the run works in the folder `root`, so that the outputs in it count.
        outs: hash of each output of the stages so far; None if it is unknown until the run.
    """

    def __init__(self, repo: Any, root: Path, params: Path, here: bool) -> None:
        self.repo, self.root, self.params, self.here = repo, root, params, here
        self.outs: dict[str, str | None] = {}

    def all_of(self, stages: list[Stage]) -> list[Forecast]:
        nodes = {file: self._nodes(file) for file in {stage.file for stage in stages}}
        return [self._one(stage, nodes[stage.file][stage.name]) for stage in stages]

    def _nodes(self, file: str) -> Any:
        """DVC's stages of a file, resolved with the parameters of the run."""
        from dvc.dvcfile import load_file
        from dvc.parsing.context import Context

        loaded = load_file(self.repo, str(self.root / file))
        if not self.here:
            given = Context.load_from(self.repo.fs, str(self.params))
            loaded.resolver.context.merge_update(given, overwrite=True)
        return loaded.stages

    def _one(self, stage: Stage, node: Any) -> Forecast:
        before = {dep.def_path: dep.hash_info for dep in node.deps}
        locked = {out.def_path: out.hash_info.value for out in node.outs}
        size = sum(out.meta.size or 0 for out in node.outs if out.meta)
        known = self._look(node)
        same = known and not node.cmd_changed and all(before[dep.def_path] == dep.hash_info for dep in node.deps)
        same = same and all(locked.values())
        state: State = "runs"
        if same and (stage.always_changed or self._is_there(node)):
            state = "cached"
        elif same and self._cached(locked.values()):
            state = "restored"
        elif known and (entry := self._entry(node)):
            state, locked = "restored", {out["path"]: out["md5"] for out in entry["outs"]}
        self.outs |= dict.fromkeys(locked) if state == "runs" else locked
        return Forecast(stage, state, size)

    def _look(self, node: Any) -> bool:
        """Give DVC's stage the hashes of its inputs as they will be; returns whether all are known."""
        from dvc.dependency.param import ParamsDependency, read_param_file
        from dvc_data.hashfile.hash_info import HashInfo

        for dep in node.deps:
            if isinstance(dep, ParamsDependency):
                found = read_param_file(self.repo.fs, str(self.params), list(dep.params), flatten=True)
                dep.hash_info = HashInfo(ParamsDependency.PARAM_PARAMS, found)
            elif (made := self._made(dep.def_path)) is not None:
                if not made:
                    return False
                dep.hash_info = HashInfo("md5", made)
            else:
                try:
                    dep.hash_info = dep.get_hash()
                except FileNotFoundError:  # an earlier step that no stage of DVC describes writes it
                    return False
        return True

    def _made(self, path: str) -> str | None:
        """The hash of a path that an earlier stage writes, empty if it is unknown; None if none writes it."""
        for out, md5 in self.outs.items():
            if path == out:
                return md5 or ""
            if path.startswith(f"{out}/"):
                return self._within(md5, path.removeprefix(f"{out}/")) if md5 else ""
        return None

    def _within(self, md5: str, path: str) -> str:
        """The hash of a file in a cached folder."""
        return next((entry["md5"] for entry in self._listing(md5) if entry["relpath"] == path), "")

    def _listing(self, md5: str) -> list[dict[str, str]]:
        """The files of a cached folder; none if it is not cached."""
        path = self._object(md5)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []

    def _object(self, md5: str) -> Path:
        return Path(self.repo.cache.local.oid_to_path(md5))

    def _cached(self, hashes: Iterable[str]) -> bool:
        """Whether DVC's cache has all these outputs, and the files of folders."""
        hashes = list(hashes)
        inside = [entry["md5"] for md5 in hashes if md5.endswith(".dir") for entry in self._listing(md5)]
        return all(self._object(md5).is_file() for md5 in hashes + inside)

    def _is_there(self, node: Any) -> bool:
        """Whether the checkout has the outputs, unchanged."""
        return self.here and not any(out.status() for out in node.outs)

    def _entry(self, node: Any) -> Any:
        """The run cache's entry of a stage with these inputs, if its outputs are still cached."""
        from dvc.stage.cache import _can_hash

        entry = self.repo.stage_cache._load(node) if _can_hash(node) else None
        return entry if entry and self._cached(out["md5"] for out in entry["outs"]) else None
