"""From a result back to everything that made it, as plain values."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.errors import StepError
from components.running.revision import git
from components.tracing.checkpoints import Checkpoint, Places, Reading, TokenSet
from components.tracing.documents import CURATED, WRITTEN, exactly, find_sets, joined
from components.tracing.project import Project
from components.tracing.runs import Run
from components.tracing.starts import Start, questions
from components.tracing.states import State, arrow, integers, read_columns

GROUP = r"^(?P<group>https?://[^/]+|[^/:]+)"  # the part of a source that groups of documents share
GATE = "validate_"


def backward(project: Project, start: Start, shown: int = 5) -> dict[str, Any]:
    """The chain behind a start.

    Args:
        shown: maximum documents described one by one, the most read first.

    Returns:
        start, question, scores, checkpoints, run, source, stages, parameters, gates, documents and missing; those that do
        not apply are empty.
    """
    state, missing = start.state, []
    found: dict[str, Any] = {"start": {"kind": start.kind, "given": start.given, "path": start.path}}
    if start.question:
        found["question"] = dict(start.question) | {"answers": list(_answers(project, start.given))}
    if start.version:
        found["version"] = _version(start)
    if state is None:
        found |= {"lineage": dict(start.lineage), "run": _run(project, start.run) if start.run else {}}
        missing.append(
            "no known state of the results has it, so its documents and stages are unknown; get them with `phiforge pull` "
            "or `dvc exp pull`"
        )
        return found | {"missing": missing}
    found["start"]["state"] = state.title
    stage = state.outs[state.owner(start.path)][0]
    chain = state.chain(stage)
    behind = [one for one in _checkpoints(project, state) if one.stage in chain]
    found["checkpoints"] = [_checkpoint(project, one) for one in behind]
    found |= _origin(project, state, stage, start)
    found["stages"] = [_stage(project, state, name) for name in chain]
    found["parameters"] = _parameters(state, chain)
    found["gates"] = [
        {"stage": name} | _gate(project, state, name) for name in chain if name.split("/")[-1].startswith(GATE)
    ]
    of = [one for one in behind if start.kind not in ("checkpoint", "version") or one.path == start.path] or behind
    found["documents"] = _documents(project, of[-1] if of else None, shown, missing)
    return found | {"missing": missing}


def _version(start: Start) -> dict[str, Any]:
    version = start.version
    assert version is not None
    return {
        "address": version.address,
        "aliases": list(version.aliases),
        "weights_sha256": version.weights,
        "decisions": list(version.decisions),
    }


def _checkpoints(project: Project, state: State) -> list[Checkpoint]:
    return [one for same in project.checkpoints.values() for one in same if one.state is state]


def _checkpoint(project: Project, one: Checkpoint) -> dict[str, Any]:
    weights, lineage = project.weights(one), one.lineage
    kept = ("step", "model", "operator", "seed", "steps", "training_tokens", "flops", "tokens_fingerprint", "torch")
    folder = one.state.folder / one.path if one.state.folder else None
    return {
        "path": one.path,
        "folder": str(folder) if folder and folder.is_dir() else "",
        "weights_sha256": weights,
        "versions": [version.address for version in project.versions_of(weights)],
        "aliases": [alias for version in project.versions_of(weights) for alias in version.aliases],
        "lineage": {key: lineage[key] for key in kept if key in lineage},
        "scores": project.scores(one),
        "also_in": [other.state.title for other in project.checkpoints[one.key] if other.state is not one.state],
    }


def _origin(project: Project, state: State, stage: str, start: Start) -> dict[str, Any]:
    """The run that made an output, and its source."""
    run = start.run or project.made_by(state, stage)
    if run:
        return {"run": _run(project, run), "source": _source(run)}
    commit, how = state.commit, "the experiment belongs to it"
    if not commit:
        md5 = next(md5 for name, md5 in state.outs.values() if name == stage)
        commit, how = _recorded_in(project.root, md5), "the first commit whose dvc.lock has these results"
    return {"run": {}, "source": {"commit": commit, "how": how} if commit else {}}


def _recorded_in(root: Path, md5: str) -> str:
    try:
        return git(root, "log", f"-S{md5}", "--format=%H", "--reverse", "--", "*dvc.lock").split("\n")[0]
    except StepError:  # outside a repository there is no commit to name
        return ""


def _run(project: Project, run: Run) -> dict[str, Any]:
    whole = project.runs.pipeline_of(run)
    flow_run = project.flow_run(run)
    tags = {**whole.tags, **run.tags}
    return {
        "mlflow_run": run.id,
        "stage": run.stage,
        "pipeline_run": whole.id,
        "name": whole.name,
        "started": whole.started,
        "status": whole.status,
        "workspace": tags.get("workspace", ""),
        "profile": tags.get("profile", ""),
        "flow_run": tags.get("prefect.flow_run_id", ""),
        "flow_run_name": tags.get("prefect.flow_run_name", flow_run.name if flow_run else ""),
        "started_by": ", ".join(filter(None, (tags.get("mlflow.user"), flow_run.started_by if flow_run else ""))),
        "parameters": dict(flow_run.parameters) if flow_run else {},
    }


def _source(run: Run) -> dict[str, Any]:
    names = {"commit": "git.commit", "tree": "git.tree", "changes": "git.source", "ref": "git.ref"}
    return {name: run.tags[tag] for name, tag in names.items() if tag in run.tags}


def _stage(project: Project, state: State, name: str) -> dict[str, Any]:
    run = project.made_by(state, name)
    return {
        "stage": name,
        "command": state.stages[name].get("cmd", ""),
        "inputs": state.inputs(name),
        "outputs": {path: md5 for path, (owner, md5) in state.outs.items() if owner == name},
        "code": state.code(name),
        "mlflow_run": run.id if run else "",
        "pipeline_run": project.runs.pipeline_of(run).id if run else "",
    }


def _parameters(state: State, chain: list[str]) -> dict[str, Any]:
    """The parameters that the stages read, as dotted keys."""
    from components.params import flatten

    merged: dict[str, Any] = {}
    for name in chain:
        for values in state.stages[name].get("params", {}).values():
            merged |= flatten(values)
    return dict(sorted(merged.items()))


def _gate(project: Project, state: State, name: str) -> dict[str, Any]:
    """What a gate found, from its stage's summary."""
    for path, (owner, _) in state.outs.items():
        if owner == name and path.endswith(".json"):
            figures = project.files.json(state, path).get("expectations", {})
            return {key: figures[key] for key in ("passed", "failed", "error") if key in figures}
    return {}


def _answers(project: Project, question: str) -> Iterator[dict[str, Any]]:
    """The answers of all checkpoints to a question, each set of answers once."""
    exams = {md5 for state, path, _ in questions(project, question) if (md5 := state.outs[state.owner(path)][1])}
    seen = set()
    for state in project.states:
        if not exams & {md5 for _, md5 in state.outs.values()}:
            continue
        for out, (_, md5) in state.outs.items():
            if not out.startswith("reports/scores/") or md5 in seen:
                continue
            seen.add(md5)
            for name in ("examples.parquet", "reworded.parquet"):
                file = project.files.find(state, f"{out}/{name}")
                columns = ["id", "predicted", "answer", "acc", "in_corpus"]
                for row in _rows(file, columns, question) if file else []:
                    yield {"scores": out, "state": state.title, "correct": row["acc"] == 1} | row


def _rows(file: Path, columns: list[str], question: str) -> list[dict[str, Any]]:
    present = set(pq.read_schema(file).names)
    table = read_columns(file, [name for name in columns if name in present])
    return [{"acc": None} | row for row in table.filter(exactly(table["id"], question)).to_pylist()]


def _documents(project: Project, one: Checkpoint | None, shown: int, missing: list[str]) -> dict[str, Any]:
    """What a checkpoint and those that it was made from have read, by kind, source, licence and author."""
    total: dict[str, Any] = {"of": one.path if one else "", "links": [], "groups": [], "shown": []}
    if one is None:
        return total
    readings: dict[str, list[Reading]] = {}
    for via, lineage in one.links():
        reading = Reading.of(lineage)
        if reading is None or reading.fingerprint not in project.tokens:
            missing.append(
                f"the tokens that {via} has read are not on this machine; get them with: phiforge pull data/tokens"
            )
            continue
        readings.setdefault(reading.fingerprint, []).append(reading)
        total["links"].append({"via": via, "steps": reading.steps, "fingerprint": reading.fingerprint})
    for fingerprint, several in readings.items():
        tokens = project.tokens[fingerprint]
        names, by_document, sums = _read(tokens, several, missing)
        of_tokens = [link for link in total["links"] if link["fingerprint"] == fingerprint]
        for link, count in zip(of_tokens, sums, strict=True):
            link["tokens"] = count
        total["groups"] += _groups(project, tokens, names, by_document)
        total["shown"] += _most_read(project, tokens, names, by_document, shown)
    total["documents"] = sum(group["documents"] for group in total["groups"])
    return total


def _names(rows: pa.Table) -> pa.ChunkedArray:
    """Id and kind of each row: equal texts of two kinds are two documents."""
    nothing = pc.utf8_slice_codeunits(
        rows["kind"], 0, 0
    )  # as a column, since a Python value makes pyarrow import pandas
    return pc.binary_join_element_wise(rows["id"], rows["kind"], nothing)


def _read(tokens: TokenSet, readings: list[Reading], missing: list[str]) -> tuple[pa.Array, np.ndarray, list[int]]:
    """Names (`_names`) of the documents that runs have read, their tokens read together, and those of each run."""
    rows = tokens.table("train", ["id", "kind", "start", "length"])
    if rows is None:
        missing.append(
            f"{tokens.path} of the {tokens.state.title} is not on this machine; get it with: phiforge pull {tokens.path}"
        )
        return pa.array([], pa.string()), np.empty(0, dtype=np.int64), [0] * len(readings)
    starts = integers(rows["start"])
    touched = np.logical_or.reduce([reading.touched(tokens, starts) for reading in readings])
    rows = rows.take(arrow(np.flatnonzero(touched)))
    keys = _names(rows).combine_chunks().dictionary_encode()
    starts, lengths = integers(rows["start"]), integers(rows["length"])
    exposures = [reading.exposure(tokens, Places.of(starts, lengths, tokens, reading.length)) for reading in readings]
    read = np.sum([one.by_document for one in exposures], axis=0)
    sums = np.bincount(integers(keys.indices), weights=read, minlength=len(keys.dictionary))
    return keys.dictionary, sums.astype(np.int64), [one.tokens for one in exposures]


def _most_read(
    project: Project, tokens: TokenSet, names: pa.Array, read: np.ndarray, shown: int
) -> list[dict[str, Any]]:
    """The documents that were read most, with the reason why each was kept."""
    order = np.argsort(-read, kind="stable")[:shown]
    wanted = names.take(arrow(order))
    most = dict(zip(wanted.to_pylist(), read[order].tolist(), strict=True))
    found = [
        one | {"tokens_read": most[one["id"] + one["kind"]]}
        for place in find_sets(project.files, [tokens.state], (CURATED, WRITTEN))
        for one in place.describe(["id", "kind"], lambda rows: pc.is_in(_names(rows), wanted), shown)
    ]
    return sorted(found, key=lambda one: -one["tokens_read"])


def _groups(project: Project, tokens: TokenSet, names: pa.Array, by_document: np.ndarray) -> list[dict[str, Any]]:
    """Documents read and their tokens, by kind, source, licence and author; the most read first."""
    sets = find_sets(project.files, [tokens.state], (CURATED, WRITTEN))
    columns = ["id", "kind", "source", "license", "created_by"]
    about = joined([one.read(columns, lambda rows: pc.is_in(_names(rows), names)) for one in sets], columns)
    place = pc.index_in(names, value_set=_names(about).combine_chunks())
    group = pc.struct_field(pc.extract_regex(about["source"], GROUP), "group")
    about = about.set_column(2, "source", group).drop(["id"]).take(place)
    codes = [column.combine_chunks().dictionary_encode(null_encoding="encode") for column in about.columns]
    shape = [len(code.dictionary) for code in codes]
    numbers = [integers(code.indices) for code in codes]
    seen = by_document > 0
    distinct, inverse = np.unique(np.ravel_multi_index(numbers, shape)[seen], return_inverse=True)
    documents, sums = np.bincount(inverse), np.bincount(inverse, weights=by_document[seen]).astype(np.int64)
    values = [code.dictionary.to_pylist() for code in codes]  # None for a document whose set is not on this machine
    named = zip(*(np.array(part).tolist() for part in np.unravel_index(distinct, shape)), strict=True)
    groups = [
        {name: of[at] for name, of, at in zip(("kind", "source", "licence", "created_by"), values, parts, strict=True)}
        | {"documents": int(documents[i]), "tokens_read": int(sums[i])}
        for i, parts in enumerate(named)
    ]
    return sorted(groups, key=lambda one: -one["tokens_read"])
