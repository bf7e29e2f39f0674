"""The stages of a dvc.yaml in an order in which they can run. DVC reads the file, so the graph is DVC's own."""

import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.files import atomic_file
from components.running.revision import git

_log = logging.getLogger(__name__)
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
    """Remove DVC's list of the paths in use if a kill or a full disk left half of it; DVC would never work again."""
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


def _restore_broken_locks(repo: Any, root: Path) -> None:
    """Put git's version in the place of each dvc.lock that a kill or a full disk left half written, or none without git's.

    DVC would refuse every command. It takes the results of stages that the lock no longer names from its run cache. The
    broken file is kept in DVC's temporary folder.
    """
    from dvc.dvcfile import Lockfile
    from dvc.utils.serialize import ParseError
    from dvc.utils.strictyaml import YAMLValidationError

    def is_broken(lock: Path) -> bool:
        try:
            if lock.is_file():
                Lockfile(repo, str(lock)).load()
        except (ParseError, YAMLValidationError):
            return True
        return False

    for lock in (root / "dvc.lock", *root.glob("studies/*/dvc.lock")):
        if not is_broken(lock):
            continue
        with repo.lock:
            if not is_broken(lock):  # it was being written
                continue
            kept = Path(repo.tmp_dir) / f"broken-{lock.relative_to(root).as_posix().replace('/', '-')}"
            shutil.move(lock, kept)
            with suppress(StepError):  # git has none
                git(root, "checkout", "HEAD", "--", str(lock.relative_to(root)))
        now = "git's version again" if lock.is_file() else "removed"
        _log.warning("%s was half written and is %s; what it held is in %s", lock, now, kept)


@contextmanager
def repository(root: Path) -> Iterator[Any]:
    """DVC's Repo of a project, freshly read; one thread at a time."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.CRITICAL)  # at ERROR it still draws progress bars over our screen
    with _dvc:
        try:
            # By default DVC waits three seconds for its lock, less than a busy machine needs.
            with Repo(str(root), _wait_for_lock=True) as repo:
                _drop_broken_rwlock(repo)
                _restore_broken_locks(repo, Path(root).resolve())
                repo.dvcignore = _every_definition(repo)
                yield repo
        except DvcException as error:
            raise StepError(f"DVC cannot read the pipeline in {root}: {error}") from error


def _every_definition(repo: Any) -> Any:
    """DVC's filter of ignored files, except that it passes every dvc.yaml: .dvcignore hides the studies."""
    from dvc.ignore import DvcIgnoreFilter

    class Filter(DvcIgnoreFilter):
        def __call__(self, root: str, dirs: list[str], files: list[str], **options: Any) -> tuple[list[str], list[str]]:
            dirs, kept = super().__call__(root, dirs, files, **options)
            return dirs, [name for name in files if name in kept or name == PIPELINE_FILE]

        def is_ignored_file(self, path: str, *options: Any, **named: Any) -> bool:
            return Path(path).name != PIPELINE_FILE and super().is_ignored_file(path, *options, **named)

    return Filter(repo.fs, repo.root_dir)


def shown_by(file: str) -> str:
    """The file that shows a hidden definition to DVC's own commands; empty for the pipeline's, which is not hidden."""
    return "" if file == PIPELINE_FILE else str(Path(file).with_name(".dvcignore"))


def lock_path(file: str) -> str:
    """The dvc.lock of a dvc.yaml, both relative to the project's folder."""
    return str(Path(file).with_name("dvc.lock"))


def show(root: Path, file: str) -> None:
    """Show a definition to DVC's own commands.

    A study is hidden from them until it is run in a checkout: `dvc pull`, `dvc status` and `dvc exp save` would miss all
    its outputs.
    """
    if name := shown_by(file):
        with atomic_file(Path(root) / name) as partial:
            partial.write_text(f"!{PIPELINE_FILE}\n", encoding="utf-8")


def load_graph(root: Path, file: str = PIPELINE_FILE, last: str = "") -> list[Stage]:
    """The stages of a dvc.yaml and those that they need in other files, each after those it depends on, otherwise in the
    order of the files.

    Args:
        root: the project's folder.
        file: the dvc.yaml, relative to the folder.
        last: the only stage of the dvc.yaml that is wanted, with those that it needs; empty for all.

    Raises:
        StepError: the file is missing or broken, or the folder is not a DVC project.
    """
    with repository(root) as repo:
        return graph_in(repo, root, file, last)


def graph_in(repo: Any, root: Path, file: str = PIPELINE_FILE, last: str = "") -> list[Stage]:
    """`load_graph` with DVC's Repo already open."""
    import networkx

    graph = repo.index.graph  # its edges point from a stage to those that it needs
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


def outdated(root: Path, stages: Sequence[Stage], looked: bool = False) -> list[str]:
    """Names of the stages that DVC would not skip: their inputs or outputs differ from dvc.lock, or DVC runs them always.

    Args:
        looked: the stages that DVC runs always have just run, so only their inputs and outputs count.
    """
    with repository(root) as repo, repo.lock:
        nodes = _nodes(repo, root, stages)
        for node in nodes:
            node.always_changed = node.always_changed and not looked
        return [node.name for node in nodes if node.changed(False, None)]


def rerun(root: Path, stage: Stage, run: Callable[[str, str], str | None]) -> str | None:
    """Call `run` with a stage's command and working folder, and return its result. DVC removes the stage's outputs first
    and locks its files.

    dvc.lock is not changed. `dvc repro` would be a separate process, at twice the cost of a short command.

    Raises:
        StepError: another process works with the stage's files.
    """
    from dvc.stage.decorators import rwlocked, unlocked_repo

    @rwlocked(read=["deps"], write=["outs"])
    def run_locked(node: Any) -> str | None:
        node.remove_outs()
        command = node.cmd if isinstance(node.cmd, str) else " && ".join(node.cmd)
        return unlocked_repo(lambda node: run(command, node.wdir))(node)

    with repository(root) as repo, repo.lock:
        return run_locked(*_nodes(repo, root, [stage]))


def _nodes(repo: Any, root: Path, stages: Sequence[Stage]) -> list[Any]:
    """DVC's own objects of these stages. Each file is read once; reading DVC's whole index takes five times as long."""
    from dvc.dvcfile import load_file

    loaded = {file: load_file(repo, str(Path(root) / file)).stages for file in {stage.file for stage in stages}}
    return [loaded[stage.file][stage.name] for stage in stages]


def locked_outputs(root: Path, name: str, file: str = PIPELINE_FILE) -> dict[str, str]:
    """Path and md5 of each output of a stage in its dvc.lock; empty if it has never run."""
    return _outs(_read_lock(root, file), name, "md5", "")


def all_locked_outputs(root: Path, stages: Iterable[Stage]) -> list[dict[str, str]]:
    """`locked_outputs` of several stages, with each dvc.lock read once."""
    locks = {file: _read_lock(root, file) for file in {stage.file for stage in stages}}
    return [_outs(locks[stage.file], stage.name, "md5", "") for stage in stages]


def locked_sizes(root: Path, name: str, file: str = PIPELINE_FILE) -> dict[str, int]:
    """Path and bytes of each output of a stage in its dvc.lock; empty if it has never run."""
    return _outs(_read_lock(root, file), name, "size", 0)


def _outs(lock: dict[str, Any], name: str, fact: str, missing: Any) -> dict[str, Any]:
    """Path and one fact of each output of a stage in a dvc.lock."""
    return {out["path"]: out.get(fact, missing) for out in lock.get(name, {}).get("outs", [])}


def lock_order(root: Path, file: str = PIPELINE_FILE) -> list[str]:
    """Names of the stages in the dvc.lock of a dvc.yaml, in its order."""
    return list(_read_lock(root, file))


def locked_stages(root: Path, file: str = PIPELINE_FILE) -> dict[str, Any]:
    """The stages in the dvc.lock of a dvc.yaml by name, with command, parameters, and hashes of inputs and outputs."""
    return _read_lock(root, file)


def settle_lock_order(root: Path, stages: Iterable[Stage], file: str = PIPELINE_FILE) -> None:
    """Sort the stages in dvc.lock in the order of dvc.yaml, each after those it depends on.

    DVC adds stages as they end, and `dvc repro` runs independent stages in an order that differs between processes;
    without this, equal results would give different files in git. Stages of git's dvc.lock keep their places, as with
    DVC.

    Args:
        root: the checkout.
        stages: the result of `load_graph`, with all stages of the file.
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
    """Names of the stages in git's dvc.lock; empty if git has none."""
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
