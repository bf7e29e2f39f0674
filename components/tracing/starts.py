"""What a word names: a model, a score, a question, a run, a report or another output; or documents to follow forward."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from components.errors import StepError
from components.files import read_json
from components.tracing.checkpoints import LINEAGE, Checkpoint
from components.tracing.documents import FINDERS, drops, find_sets, is_hex, needs
from components.tracing.kinds import FORWARD
from components.tracing.project import Project
from components.tracing.runs import FlowRun, Run, Version
from components.tracing.states import State
from components.tracking import weights_sha256

REGISTRY = "models:/"


@dataclass(frozen=True)
class Start:
    """What a trace begins with.

    Attributes:
        kind: one of KINDS.
        state, path: the state that has it, and its path there; None and empty if no state has it.
        version: the version of a registered model.
        lineage: of a checkpoint that no state has.
        question: the exam's row, for a question.
    """

    kind: str
    given: str
    state: State | None = None
    path: str = ""
    version: Version | None = None
    run: Run | None = None
    flow_run: FlowRun | None = None
    lineage: Mapping[str, Any] = field(default_factory=dict)
    question: Mapping[str, Any] = field(default_factory=dict)


def resolve(project: Project, given: str, kind: str = "") -> Start:
    """What a word names.

    Args:
        kind: one of KINDS; empty to try all of them.

    Raises:
        StepError: nothing has this name.
    """
    if not given.strip():
        raise StepError(f"{given!r} names nothing to trace; give another name, such as champion")
    ways = [(names, find) for names, find in WAYS if not kind or kind in names]
    for _, find in ways:
        if start := find(project, given):
            return start
    tried = FORWARD if is_hex(given) else FORWARD[1:]  # the first are documents, whose ids are hexadecimal
    for name in [kind] if kind in FORWARD else [] if kind else tried:
        for place in find_sets(project.files, project.states):
            if place.read(needs(name), FINDERS[name](given)).num_rows:
                return Start(name, given)
        if name == "document" and is_hex(given) and _was_dropped(project, given):
            return Start(name, given)
    looked = (
        f"a {kind}"
        if kind
        else "a model, alias, path, score, question, run, document, source, licence, teacher or prompt"
    )
    raise StepError(
        f"{given!r} is not {looked} in any of the states of results in {project.root} ({len(project.states)} known); give "
        "another name or more digits, or get the results with `phiforge pull`"
    )


def _was_dropped(project: Project, given: str) -> bool:
    return any(True for _ in drops(project.files, project.states, lambda rows: pc.starts_with(rows["id"], given)))


def _version(project: Project, given: str) -> Start | None:
    address, known = given.removeprefix(REGISTRY), project.runs.versions
    if given.startswith(REGISTRY) and "@" not in given:
        model, _, number = address.rpartition("/")
        found = [version for version in known if (version.model, version.number) == (model, number)]
    elif "@" in address:
        model, _, alias = address.partition("@")
        found = [version for version in known if version.model == model and alias in version.aliases]
    else:
        found = [version for version in known if given == version.number or given in version.aliases]
    if not found:
        return None
    version = found[0]
    start = _by_weights(project, "version", given, version.weights)
    lineage = {} if start or not version.folder else _lineage_below(version.folder)
    state, path = (start.state, start.path) if start else (None, "")
    return Start("version", given, state, path, version, lineage=lineage)


def _lineage_below(folder: Path) -> dict[str, Any]:
    found = next(iter(sorted(folder.rglob(LINEAGE))), None)
    return read_json(found, "copy the checkpoint again") if found else {}


def _by_weights(project: Project, kind: str, given: str, weights: str) -> Start | None:
    key = project.by_weights.get(weights)
    return _of_checkpoint(kind, given, project.checkpoints[key][0]) if key else None


def _of_checkpoint(kind: str, given: str, checkpoint: Checkpoint) -> Start:
    return Start(kind, given, checkpoint.state, checkpoint.path)


def _path(project: Project, given: str) -> Start | None:
    """A file or folder: an output of a state, or a checkpoint elsewhere."""
    ways = [Path(given).expanduser(), project.root / given]
    for way in dict.fromkeys(path.absolute() for path in ways):
        for state in project.states:
            if state.folder and way.is_relative_to(state.folder.absolute()):
                path = way.relative_to(state.folder.absolute()).as_posix()
                if state.owner(path):
                    return Start(_kind_of(project, state, path), given, state, path)
    folder = next((way for way in ways if way.is_dir()), None)
    if folder is None or not any(folder.glob("*.safetensors")):
        return None
    if start := _by_weights(project, "checkpoint", given, weights_sha256(folder)):
        return start
    return Start("checkpoint", given, lineage=_lineage_below(folder))


def _kind_of(project: Project, state: State, path: str) -> str:
    if path.startswith("models/"):
        return "checkpoint"
    if path.startswith("reports/scores/"):
        return "score"
    return "report" if state.outs[state.owner(path)][0].startswith("report") else "output"


def _model(project: Project, given: str) -> Start | None:
    """A model of the latest run by its name (`large`), or a hash of weights."""
    for state in project.states:
        if f"models/{given}" in state.outs:
            return Start("checkpoint", given, state, f"models/{given}")
    return _by_weights(project, "checkpoint", given, given) if is_hex(given, 64) else None


def _run(project: Project, given: str) -> Start | None:
    """A run by its id in MLflow or Prefect, its name, its workspace or its experiment."""
    runs = project.runs
    flow_run = next((run for run in runs.flow_runs if given in (run.id, run.name)), None)
    run = runs.by_id.get(given) or next(
        (
            run
            for run in runs.pipelines
            if (flow_run and run.tags.get("prefect.flow_run_id") == flow_run.id)
            or given in (run.name, run.tags.get("prefect.flow_run_id"), run.tags.get("workspace"))
        ),
        None,
    )
    if run:
        hashes = run.outputs or {run.stage: run.hashes("dvc.outs")}
        last = [*hashes][-1] if hashes else ""
        flow_run = flow_run or runs.flow_run_of.get(run.tags.get("prefect.flow_run_id", ""))
        for state in project.states:
            for path, md5 in hashes.get(last, {}).items():
                if state.outs.get(path, ("", ""))[1] == md5:
                    return Start("run", given, state, path, run=run, flow_run=flow_run)
        return Start("run", given, run=run, flow_run=flow_run)
    named = next((state for state in project.states if given in (state.name, f"run-{state.name}")), None)
    if named:
        return Start("run", given, named, [*named.outs][-1], flow_run=flow_run)
    return Start("run", given, flow_run=flow_run) if flow_run else None


def questions(project: Project, given: str) -> Iterator[tuple[State, str, dict[str, Any]]]:
    """An exam's question by its id: each distinct exam that has it, with the file's path and the question's row."""
    mark, seen = f'"id": "{given}"'.encode(), set()
    for state in project.states:
        for out, (_, md5) in state.outs.items():
            if not out.startswith("data/exam") or md5 in seen:
                continue
            seen.add(md5)
            for name in project.files.names(state, out):
                found = project.files.find(state, f"{out}/{name}") if name.endswith(".jsonl") else None
                content = found.read_bytes() if found else b""
                if mark in content:
                    row = next(line for line in content.splitlines() if mark in line)
                    yield state, f"{out}/{name}", json.loads(row)


def _question(project: Project, given: str) -> Start | None:
    if not is_hex(given, 16) or len(given) > 16:
        return None
    for state, path, row in questions(project, given):
        return Start("question", given, state, path, question=row)
    return None


Find = Callable[[Project, str], Start | None]
WAYS: list[tuple[tuple[str, ...], Find]] = [
    (("version",), _version),
    (("checkpoint", "score", "report", "output"), _path),
    (("checkpoint",), _model),
    (("run",), _run),
    (("question",), _question),
]
