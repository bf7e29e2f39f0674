"""The stages of a dvc.yaml in an order that runs: DVC reads the file, so the graph is DVC's own."""

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import atomic_file
from components.running.revision import git

_dvc = threading.RLock()  # DVC's Repo is not safe to share between threads


PIPELINE_FILE = "dvc.yaml"


@dataclass(frozen=True)
class Stage:
    """A stage of a dvc.yaml: its name, the stages it needs, its outputs' paths, its `meta:`, and the file."""

    name: str
    deps: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    always_changed: bool = False
    description: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    file: str = PIPELINE_FILE

    @property
    def address(self) -> str:
        """The stage's name for DVC's commands, from the project's folder."""
        return self.name if self.file == PIPELINE_FILE else f"{self.file}:{self.name}"

    @property
    def retries(self) -> int:
        return int(self.meta.get("retries", 0))

    @property
    def retry_delay_s(self) -> float:
        return float(self.meta.get("retry_delay_s", 2))

    @property
    def timeout_s(self) -> float | None:
        return float(self.meta["timeout_s"]) if "timeout_s" in self.meta else None

    @property
    def limit(self) -> str | None:
        return self.meta.get("limit")


def _drop_broken_rwlock(repo: Any) -> None:
    """Remove DVC's list of the paths in use where a kill or a full disk left half of it; DVC would refuse to work for good."""
    from dvc.lock import make_lock
    from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK

    folder = Path(repo.tmp_dir)
    file = folder / RWLOCK_FILE

    def is_broken() -> bool:
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        except ValueError:
            return True
        return False

    if is_broken():  # or being written
        guard = make_lock(
            str(folder / RWLOCK_LOCK), tmp_dir=str(folder), hardlink_lock=repo.config["core"].get("hardlink_lock")
        )
        with guard:
            if is_broken():
                file.unlink()


@contextmanager
def repository(root: Path) -> Iterator[Any]:
    """DVC's Repo of a project, freshly read; one thread at a time."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.CRITICAL)  # at ERROR it still draws its own bars over our screen
    with _dvc:
        try:
            # DVC's own wait for its lock is three seconds, less than a busy machine needs.
            with Repo(str(root), _wait_for_lock=True) as repo:
                _drop_broken_rwlock(repo)
                repo.dvcignore = _every_definition(repo)
                yield repo
        except DvcException as error:
            raise StepError(f"DVC cannot read the pipeline in {root}: {error}") from error


def _every_definition(repo: Any) -> Any:
    """DVC's filter of what .dvcignore names, without the studies that it hides: they are read before they are shown."""
    from dvc.ignore import DvcIgnoreFilter

    class Filter(DvcIgnoreFilter):
        def __call__(self, root: str, dirs: list[str], files: list[str], **options: Any) -> tuple[list[str], list[str]]:
            dirs, kept = super().__call__(root, dirs, files, **options)
            return dirs, [name for name in files if name in kept or name == PIPELINE_FILE]

        def is_ignored_file(self, path: str, *options: Any, **named: Any) -> bool:
            return Path(path).name != PIPELINE_FILE and super().is_ignored_file(path, *options, **named)

    return Filter(repo.fs, repo.root_dir)


def shown_by(file: str) -> str:
    """The file that shows a definition to DVC's own commands, where .dvcignore hides it; empty for the pipeline's."""
    return "" if file == PIPELINE_FILE else str(Path(file).with_name(".dvcignore"))


def lock_path(file: str) -> str:
    """The dvc.lock of a dvc.yaml, likewise relative to the project's folder."""
    return str(Path(file).with_name("dvc.lock"))


def show(root: Path, file: str) -> None:
    """Show a definition to DVC's own commands.

    A study is hidden from them until it is run in a checkout: to `dvc pull`, `dvc status` and `dvc exp save` all its
    outputs would be missing.
    """
    if name := shown_by(file):
        with atomic_file(Path(root) / name) as partial:
            partial.write_text(f"!{PIPELINE_FILE}\n", encoding="utf-8")


def load_graph(root: Path, file: str = PIPELINE_FILE, last: str = "") -> list[Stage]:
    """The stages of a dvc.yaml and those that they need in others, each after those it depends on, otherwise in the order
    of the files.

    Args:
        root: the project's folder.
        file: the dvc.yaml, relative to it.
        last: of the dvc.yaml only this stage; empty for all.

    Raises:
        StepError: the file is missing or broken, or the folder is not a DVC project.
    """
    import networkx

    with repository(root) as repo:
        graph = repo.index.graph  # its edges lead from a stage to what it needs
        named = {node for node in graph if getattr(node, "name", None)}
        wanted = {node for node in named if _file_of(repo, node) == file and last in ("", node.name)}
        wanted = wanted.union(*(networkx.descendants(graph, node) for node in wanted)) & named
        order = {stage: place for place, stage in enumerate(repo.index.stages)}
        needed = graph.subgraph(wanted)
        sequence = networkx.lexicographical_topological_sort(needed.reverse(), key=order.__getitem__)
        stages = [_stage(repo, needed, node) for node in sequence]
    if not stages:
        raise StepError(f"{Path(root) / file} has no stage{f' {last}' if last else 's'}; expected at least one")
    return stages


def is_current(root: Path, stage: Stage) -> bool:
    """Whether DVC would skip the stage: nothing that it reads or wrote has changed since dvc.lock.

    A stage that is always changed is never current.
    """
    return not outdated(root, [stage])


def outdated(root: Path, stages: Sequence[Stage], looked: bool = False) -> list[str]:
    """Names of the stages that DVC would not skip.

    Args:
        looked: those that are always changed have just run, and count by what they left.
    """
    with repository(root) as repo, repo.lock:
        nodes = _nodes(repo, root, stages)
        for node in nodes:
            node.always_changed = node.always_changed and not looked
        return [node.name for node in nodes if node.changed(False, None)]


def rerun(root: Path, stage: Stage, run: Callable[[str, str], str | None]) -> str | None:
    """What `run` makes of a stage's command and working folder. DVC removes the stage's outputs first and holds its files.

    The lock file stays as it is. `dvc repro` would be a process of its own, at twice the cost of a short command.

    Raises:
        StepError: another process works with the stage's files.
    """
    from dvc.stage.decorators import rwlocked, unlocked_repo

    @rwlocked(read=["deps"], write=["outs"])
    def held(node: Any) -> str | None:
        node.remove_outs()
        command = node.cmd if isinstance(node.cmd, str) else " && ".join(node.cmd)
        return unlocked_repo(lambda node: run(command, node.wdir))(node)

    with repository(root) as repo, repo.lock:
        return held(*_nodes(repo, root, [stage]))


def _nodes(repo: Any, root: Path, stages: Sequence[Stage]) -> list[Any]:
    """DVC's own objects of these stages. Each file is read once; the index of all files takes five times as long."""
    from dvc.dvcfile import load_file

    loaded = {file: load_file(repo, str(Path(root) / file)).stages for file in {stage.file for stage in stages}}
    return [loaded[stage.file][stage.name] for stage in stages]


def locked_outputs(root: Path, name: str, file: str = PIPELINE_FILE) -> dict[str, str]:
    """Path and md5 of each output of a stage in its dvc.lock; empty when it has never run."""
    return {out["path"]: out.get("md5", "") for out in _read_lock(root, file).get(name, {}).get("outs", [])}


def all_locked_outputs(root: Path, stages: Iterable[Stage]) -> list[dict[str, str]]:
    """`locked_outputs` of several stages, with each dvc.lock read once."""
    locks = {file: _read_lock(root, file) for file in {stage.file for stage in stages}}
    return [
        {out["path"]: out.get("md5", "") for out in locks[stage.file].get(stage.name, {}).get("outs", [])}
        for stage in stages
    ]


def locked_sizes(root: Path, name: str, file: str = PIPELINE_FILE) -> dict[str, int]:
    """Path and bytes of each output of a stage in its dvc.lock; empty when it has never run."""
    return {out["path"]: out.get("size", 0) for out in _read_lock(root, file).get(name, {}).get("outs", [])}


def lock_order(root: Path, file: str = PIPELINE_FILE) -> list[str]:
    """Names of the stages in the dvc.lock of a dvc.yaml, as they stand there."""
    return list(_read_lock(root, file))


def settle_lock_order(root: Path, stages: Iterable[Stage], file: str = PIPELINE_FILE) -> None:
    """Put the stages in dvc.lock into the order of dvc.yaml, each after those it depends on.

    DVC adds stages as they end, and `dvc repro` runs those that do not depend on each other in an order that changes from
    process to process; without this, equal results would leave different files in git. What git has of dvc.lock keeps its
    place, as it does with DVC.

    Args:
        root: the checkout.
        stages: as `load_graph` has them, with all of the file.
        file: the dvc.yaml that the dvc.lock belongs to.
    """
    from dvc.utils.serialize import modify_yaml

    now = lock_order(root, file)
    first = [*_committed_order(root, file), *(stage.name for stage in stages if stage.file == file)]
    wanted = sorted(now, key=lambda name: first.index(name) if name in first else len(first))
    if wanted == now:
        return
    with repository(root) as repo, repo.lock, modify_yaml(str(root / lock_path(file)), fs=repo.fs) as lock:
        for name in wanted:
            lock["stages"].move_to_end(name)


def _committed_order(root: Path, file: str) -> list[str]:
    """Names of the stages in git's dvc.lock; none where git has none."""
    try:
        return list(_stages_of(git(root, "show", f"HEAD:./{lock_path(file)}")))
    except StepError:
        return []


def _read_lock(root: Path, file: str) -> dict[str, Any]:
    lock = Path(root) / lock_path(file)
    return _stages_of(lock.read_text(encoding="utf-8")) if lock.is_file() else {}


def _stages_of(lock: str) -> dict[str, Any]:
    from ruamel.yaml import YAML

    return (YAML(typ="safe").load(lock) or {}).get("stages", {})


def _file_of(repo: Any, node: Any) -> str:
    return Path(node.path).relative_to(repo.root_dir).as_posix()


def _stage(repo: Any, graph: Any, node: Any) -> Stage:
    return Stage(
        name=node.name,
        deps=tuple(sorted(needed.name for needed in graph.successors(node))),
        outs=tuple(out.def_path for out in node.outs),
        always_changed=bool(node.always_changed),
        description=node.desc or "",
        meta=dict(node.meta or {}),
        file=_file_of(repo, node),
    )
