"""The stages of dvc.yaml in an order that runs: DVC reads the file, so the graph is DVC's own."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.errors import StepError

_dvc = threading.RLock()  # DVC's Repo is not safe to share between threads


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml: its name, the stages it needs, its outputs' paths, and its `meta:`."""

    name: str
    deps: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    always_changed: bool = False
    description: str = ""
    meta: dict[str, Any] = field(default_factory=dict)

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
                yield repo
        except DvcException as error:
            raise StepError(f"DVC cannot read the pipeline in {root}: {error}") from error


def load_graph(root: Path) -> list[Stage]:
    """The stages of a project, each after those it depends on, otherwise in the order of dvc.yaml.

    Raises:
        StepError: dvc.yaml is missing or broken, or the folder is no DVC project.
    """
    import networkx

    with repository(root) as repo:
        graph = repo.index.graph
        order = {stage: place for place, stage in enumerate(repo.index.stages)}
        # DVC's edges lead from a stage to what it needs.
        sequence = networkx.lexicographical_topological_sort(graph.reverse(), key=order.__getitem__)
        stages = [_stage(graph, node) for node in sequence if getattr(node, "name", None)]
    if not stages:
        raise StepError(f"{root / 'dvc.yaml'} has no stages; expected at least one")
    return stages


def is_current(root: Path, name: str) -> bool:
    """Whether DVC would skip the stage: nothing that it reads or wrote has changed since dvc.lock.

    A stage that is always changed is never current.
    """
    with repository(root) as repo, repo.lock:
        stage = next(stage for stage in repo.index.stages if getattr(stage, "name", None) == name)
        return not stage.changed(False, None)


def locked_outputs(root: Path, name: str) -> dict[str, str]:
    """Path and md5 of each output of a stage in dvc.lock; empty when it has never run."""
    return {out["path"]: out.get("md5", "") for out in _read_lock(root).get(name, {}).get("outs", [])}


def lock_order(root: Path) -> list[str]:
    """Names of the stages in dvc.lock, as they stand there."""
    return list(_read_lock(root))


def settle_lock_order(root: Path, before: list[str]) -> None:
    """Put stages that are new in dvc.lock into the order in which `dvc repro` would have added them.

    Stages that run at once are added as they end; without this, equal runs would leave different files in git.

    Args:
        root: the checkout.
        before: the stages that dvc.lock had before the run, in its order; they keep their place.
    """
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro
    from dvc.utils.serialize import modify_yaml

    with repository(root) as repo, repo.lock:
        plan = plan_repro(get_active_graph(repo.index.graph), collect_stages(repo, [str(root / "dvc.yaml")]))
        now = lock_order(root)
        kept = [name for name in before if name in now]
        planned = [stage.name for stage in plan if stage.name in now and stage.name not in kept]
        wanted = [*kept, *planned, *(name for name in now if name not in kept and name not in planned)]
        if wanted == now:
            return
        with modify_yaml(str(root / "dvc.lock"), fs=repo.fs) as lock:
            stages = lock["stages"]
            for name in wanted:
                stages.move_to_end(name)


def _read_lock(root: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML

    lock = Path(root) / "dvc.lock"
    if not lock.is_file():
        return {}
    return (YAML(typ="safe").load(lock.read_text(encoding="utf-8")) or {}).get("stages", {})


def _stage(graph: Any, node: Any) -> Stage:
    return Stage(
        name=node.name,
        deps=tuple(sorted(needed.name for needed in graph.successors(node) if getattr(needed, "name", None))),
        outs=tuple(out.def_path for out in node.outs),
        always_changed=bool(node.always_changed),
        description=node.desc or "",
        meta=dict(node.meta or {}),
    )
