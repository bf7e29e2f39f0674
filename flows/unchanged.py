"""Detect a run without work before Prefect is started, because its server and client start more slowly than DVC checks.

The checks are those of the flow: each stage is compared with dvc.lock, the stages that always check their sources run, and
cached results are hashed if they may have been changed. If there is anything to do, or to decide on a model, the flow does
it. If a Prefect server is running, every run uses it, so that it is listed there.
"""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import StepError
from components.foreign.addresses import without_secrets
from components.running.locks import is_free
from flows import events, processes, records
from flows.cache import Cache, dropped
from flows.definitions import PIPELINE, Definition
from flows.graph import Stage, all_locked_outputs, load_graph, lock_path, outdated, rerun
from flows.promotion import is_settled
from flows.server import running_server
from flows.settings import stage_environment
from flows.stages import GRACE
from flows.workspace import Workspace, experiment_exists, place_of, refuse_edits, workspace


def all_cached(
    root: Path, definition: Definition, overrides: Mapping[str, Any], profile: str | None, promote: bool | None
) -> bool:
    """Whether every stage of a definition is cached and there is nothing to decide; then the events of such a run are emitted.

    Raises:
        StepError: the repository is refused, or files of the workspace were edited.
    """
    if os.environ.get("PREFECT_API_URL") or running_server(root) or any(records.all_of(root)):
        return False
    place = place_of(root, overrides, profile)
    if not (place.root / lock_path(definition.file)).is_file() or not is_free(place.lock(root)):
        return False
    with workspace(root, overrides, profile, lambda _: None) as place:
        started = time.monotonic()
        stages = load_graph(place.root, definition.file, definition.last)
        if not (_is_listed(root, place) and _are_current(root, place, stages)):
            return False
        if definition == PIPELINE and not is_settled(root, place, promote):
            return False
    events.emit("graph", text=str(place.root), names=tuple(stage.name for stage in stages))
    for stage in stages:
        seconds = time.monotonic() - started if stage.always_changed else 0.0
        events.emit("cached", stage.name, seconds=seconds)
    return True


def _is_listed(root: Path, place: Workspace) -> bool:
    """Whether a workspace's run is among DVC's experiments."""
    if not place.key:
        return True
    refuse_edits(root, place)
    return experiment_exists(root, place)


def _are_current(root: Path, place: Workspace, stages: list[Stage]) -> bool:
    outs = all_locked_outputs(place.root, stages)
    if not (all(outs) and _is_whole(root, {path: md5 for one in outs for path, md5 in one.items()})):
        return False
    outputs = {stage.name: _run(root, place, stage) for stage in stages if stage.always_changed}
    if None in outputs.values():
        return False  # the flow runs it again, and reports the error
    changed = outdated(place.root, stages, looked=True)
    for name in set(outputs).intersection(changed):
        events.emit("note", text=f"{name}: {outputs[name]}")  # the flow will find the list of this check
    return not changed


def _is_whole(root: Path, outs: Mapping[str, str]) -> bool:
    """Whether these outputs in DVC's cache are unchanged; changed ones are reported."""
    cache = Cache(root)
    try:
        spoilt = cache.drop_spoilt(outs)
    finally:
        cache.close()
    for path in spoilt:
        events.emit("note", text=dropped(path))
    return not spoilt


def _run(root: Path, place: Workspace, stage: Stage) -> str | None:
    """The output of a stage that always runs; None if it failed."""

    def run(command: str, folder: str) -> str | None:
        environment = stage_environment(root) | {"DVC_ROOT": str(place.root), "DVC_STAGE": stage.address}
        shell = [environment.get("SHELL", "/bin/sh"), "-c", command]
        status, output = processes.run(shell, GRACE, stage.timeout_s, cwd=folder, env=environment)
        return None if status else without_secrets(output.strip())

    try:
        return rerun(place.root, stage, run)
    except (StepError, subprocess.TimeoutExpired):
        return None
