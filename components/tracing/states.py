"""The states of the pipeline's results: main folder, workspaces, saved experiments, and runs that only MLflow knows.

A state is the content of dvc.lock: for each stage the command, parameters, and the hashes of what it read and wrote. Files
are read from DVC's cache by their hash, so a state does not need its checkout any more.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.files import STATE, atomic_file
from components.tracing.runs import Runs

LOCKS = ("dvc.lock", "studies/*/dvc.lock")
PARSED = "tracing/locks"  # in `.phiforge`: each dvc.lock as JSON, which is read fifty times as fast
EXPERIMENTS = "refs/exps"
Stage = Mapping[str, Any]


@dataclass(frozen=True)
class State:
    """One state of the results.

    Attributes:
        kind: main, workspace, experiment or MLflow.
        name: the workspace's key, the experiment's name, or the run's name.
        stages: as in dvc.lock, by name; those of a study have its folder before the name.
        folder: the checkout; None if there is none.
        commit: for an experiment, the commit that it belongs to.
    """

    kind: str
    name: str
    stages: Mapping[str, Stage]
    folder: Path | None = None
    commit: str = ""

    @property
    def title(self) -> str:
        return "main folder" if self.kind == "main" else f"{self.kind} {self.name}"

    @cached_property
    def outs(self) -> dict[str, tuple[str, str]]:
        """Path of each output to its stage and md5."""
        return {
            out["path"]: (name, out["md5"])
            for name, stage in self.stages.items()
            for out in stage.get("outs", [])
            if isinstance(out.get("md5"), str)
        }

    def owner(self, path: str) -> str:
        """The output that a path is, or lies in; empty if none."""
        parts = path.split("/")
        ways = ("/".join(parts[:end]) for end in range(len(parts), 0, -1))
        return next((way for way in ways if way in self.outs), "")

    def chain(self, stage: str) -> list[str]:
        """A stage and all that it depends on, each after those that it needs."""
        order: dict[str, None] = {}

        def visit(name: str, above: tuple[str, ...]) -> None:
            if name in order or name in above:
                return
            for path in self.inputs(name):
                visit(self.outs[self.owner(path)][0], (*above, name))
            order[name] = None

        visit(stage, ())
        return list(order)

    def inputs(self, stage: str) -> dict[str, str]:
        """Path to md5 of what a stage reads of other stages."""
        deps = self.stages[stage].get("deps", [])
        return {dep["path"]: dep.get("md5", "") for dep in deps if self.owner(dep["path"])}

    def code(self, stage: str) -> dict[str, str]:
        """Path to md5 of the code that a stage depends on."""
        return {
            dep["path"]: dep.get("md5", "") for dep in self.stages[stage].get("deps", []) if not self.owner(dep["path"])
        }


class Files:
    """The files of states, by their hashes in DVC's cache.

    Args:
        cache: the folder of DVC's cache.
    """

    def __init__(self, cache: Path) -> None:
        self.cache = Path(cache) / "files" / "md5"
        self.listing = lru_cache(maxsize=None)(self._listing)

    def object(self, md5: str) -> Path:
        return self.cache / md5[:2] / md5[2:]

    def _listing(self, md5: str) -> dict[str, str]:
        """Path to md5 of the files of a folder; empty if the cache does not have it."""
        try:
            entries = json.loads(self.object(md5).read_bytes())
            return {entry["relpath"]: entry["md5"] for entry in entries}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def find(self, state: State, path: str) -> Path | None:
        """A file of a state on this machine: in the cache, or else in the state's checkout."""
        owner = state.owner(path)
        if not owner:
            return None
        md5 = state.outs[owner][1]
        if md5.endswith(".dir"):
            md5 = self.listing(md5).get(path[len(owner) + 1 :], "")
        beside = [state.folder / path] if state.folder else []
        ways = [*([self.object(md5)] if md5 and not md5.endswith(".dir") else []), *beside]
        return next((way for way in ways if way.is_file()), None)

    def names(self, state: State, folder: str) -> list[str]:
        """Paths of the files of an output, relative to it; empty if it is not on this machine."""
        md5 = state.outs[folder][1]
        if md5.endswith(".dir") and (listed := self.listing(md5)):
            return sorted(listed)
        place = state.folder / folder if state.folder else None
        if place is None or not place.is_dir():
            return []
        return sorted(found.relative_to(place).as_posix() for found in place.rglob("*") if found.is_file())

    def json(self, state: State, path: str) -> dict[str, Any]:
        """The JSON object in a file of a state; empty if it is not there."""
        found = self.find(state, path)
        if found is None:
            return {}
        try:
            value = json.loads(found.read_bytes())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}


def find_states(root: Path, places: Sequence[Path], runs: Runs) -> list[State]:
    """All states that a project's folder knows, the latest first: main folder and workspaces, experiments, and the pipeline
    runs of MLflow whose results no other state has.

    Args:
        places: the folders of runs, the latest first.
    """
    locks = Locks(root)
    states, seen = [], set()
    for folder in places:
        paths = [path for pattern in LOCKS for path in sorted(folder.glob(pattern))]
        found = {path.relative_to(folder).as_posix(): locks.read(path) for path in paths}
        if stages := merge(found):
            kind, name = ("main", "") if folder == root else ("workspace", folder.name)
            states.append(State(kind, name, stages, folder))
            seen.add(locks.last)
    for name, commit, stages in locks.experiments(seen):
        states.append(State("experiment", name, stages, commit=commit))
    known = {md5 for state in states for _, md5 in state.outs.values()}
    for state in _of_mlflow(runs):
        hashes = {md5 for _, md5 in state.outs.values()}
        if not hashes <= known:
            known |= hashes
            states.append(state)
    return states


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Columns of a Parquet file. Not `pq.read_table`, which imports pandas: a quarter of a second."""
    with pq.ParquetFile(path) as file:
        return file.read(columns=list(columns))


def integers(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A column of integers without nulls. Not `to_numpy`, which imports pandas."""
    return np.from_dlpack(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)


def arrow(values: np.ndarray) -> pa.Array:
    """Integers as a column. Not `pa.array`, which imports pandas."""
    whole = np.ascontiguousarray(values, dtype=np.int64)
    return pa.Array.from_buffers(pa.int64(), len(whole), [None, pa.py_buffer(whole)])


def merge(locks: Mapping[str, Mapping[str, Stage]]) -> dict[str, Stage]:
    """The stages of several dvc.lock files of one checkout, by path relative to it."""
    stages: dict[str, Stage] = {}
    for path, content in locks.items():
        study = "" if "/" not in path else f"{path.split('/')[1]}/"
        stages |= {f"{study}{name}": stage for name, stage in content.items()}
    return stages


class Locks:
    """The dvc.lock files of checkouts and experiments, parsed once each and kept as JSON by git's hash of the content."""

    def __init__(self, root: Path) -> None:
        self.root, self.kept = root, root / STATE / PARSED
        self.last = ""  # git's hash of the file read last

    def read(self, path: Path) -> dict[str, Stage]:
        content = path.read_bytes()
        self.last = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        return self._parsed(self.last, content)

    def experiments(self, seen: set[str]) -> Iterator[tuple[str, str, dict[str, Stage]]]:
        """Name, commit and stages of the saved experiments with another dvc.lock than those seen."""
        form = "%(refname) %(objectname)"
        refs = [line.split() for line in self._git("for-each-ref", "--format=" + form, EXPERIMENTS).split("\n") if line]
        refs = [ref for ref in refs if not ref[0].startswith(f"{EXPERIMENTS}/exec/")]
        wanted = [f"{commit}:dvc.lock" for _, commit in refs]
        blobs = [line.split()[0] for line in self._git("cat-file", "--batch-check", given=wanted).split("\n") if line]
        for (name, _), blob in zip(refs, blobs, strict=False):
            parts = name.split("/")
            if blob not in seen and len(parts) == 5 and ":" not in blob:  # without the file, its name is repeated
                seen.add(blob)
                yield parts[4], parts[2] + parts[3], self._parsed(blob)

    def _parsed(self, blob: str, content: bytes = b"") -> dict[str, Stage]:
        """The stages of a dvc.lock by git's hash of it; the content, unless it is in the repository."""
        kept = self.kept / f"{blob}.json"
        with suppress(OSError, ValueError):
            return json.loads(kept.read_bytes())
        from ruamel.yaml import YAML

        stages = (YAML(typ="safe").load(content.decode("utf-8") or self._git("cat-file", "blob", blob)) or {}).get(
            "stages", {}
        )
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(kept) as partial:
            partial.write_text(json.dumps(stages, default=str), encoding="utf-8")
        return stages

    def _git(self, *words: str, given: Sequence[str] = ()) -> str:
        """Git's answer; empty outside a repository."""
        done = subprocess.run(
            ["git", *words], cwd=self.root, input="\n".join(given), capture_output=True, text=True, check=False
        )
        return done.stdout


def _of_mlflow(runs: Runs) -> Iterator[State]:
    """The states that the tags of pipeline runs describe, latest first: hashes of outputs, and inputs of their stages."""
    for run in runs.pipelines:
        stages = {}
        for name, outs in run.outputs.items():
            maker = runs.maker(name, outs.values())
            deps = maker.hashes("dvc.deps") if maker else {}
            stages[name] = {"outs": _entries(outs), "deps": _entries(deps)}
        if stages:
            yield State("MLflow", run.name, stages)


def _entries(hashes: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"path": path, "md5": md5} for path, md5 in hashes.items()]
