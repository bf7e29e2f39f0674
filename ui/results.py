"""Runs with what they measured: the figures of their models, and groups of runs that differ only in the seed."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from components.running.contents import counted
from flows.client import FlowRun, Record, scores
from ui import reads
from ui.text import compact, number

RUNS, MOST = 200, 1000  # latest runs, and records of stages
SOON, LATER = 5.0, 3600.0  # seconds for which an answer is kept
MODELS = ("large", "small", "control", "set_back")  # the order of their figures
LOSS, BITS, EXAM = "loss", "bits per byte", "exam"
Stages = Mapping[str, Record]


@dataclass(frozen=True)
class Result:
    """A run, MLflow's record of it, and those of its training and benchmark stages by name, even if they were cached."""

    run: FlowRun
    record: Record | None = None
    stages: Stages = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, float]:
        """`large loss`, `large bits per byte`, `large exam` ... of its models."""
        found: dict[str, float] = {}
        for stage, record in self.stages.items():
            kind, model = kind_and_model(stage)
            if kind == "train":
                known = {LOSS: "validation_loss", BITS: "bits_per_byte"}
                found |= {
                    f"{model} {name}": record.metrics[key] for name, key in known.items() if key in record.metrics
                }
            elif model and (
                whole := [one for one in scores({stage: record}) if one.group == "overall" and one.metric == "acc"]
            ):
                found[f"{model} {EXAM}"] = whole[0].value
        return found


def kind_and_model(stage: str) -> tuple[str, str]:
    """`train_large` is `train`, `large`; `benchmark@large` is `benchmark`, `large`; other stages are of no model."""
    kind, _, model = stage.partition("_" if stage.startswith("train_") else "@")
    return kind, model


@dataclass(frozen=True)
class Group:
    """A run, or several that differ only in their seeds; the latest one stands for all."""

    members: tuple[Result, ...]

    @property
    def run(self) -> FlowRun:
        return self.members[0].run

    @property
    def by_seed(self) -> list[Result]:
        return sorted(self.members, key=lambda one: seed_of(one.run))

    @property
    def name(self) -> str:
        more = len(self.members) - 1
        return self.run.name + (f" and {counted(more, 'more seed')}" if more else "")

    @property
    def figures(self) -> dict[str, float]:
        """Means over the runs that have a figure."""
        names = dict.fromkeys(name for one in self.members for name in one.figures)
        return {name: statistics.fmean(self.all(name)) for name in names}

    def spread(self, name: str) -> float | None:
        """The standard deviation of a figure over seeds; None for a single one."""
        values = self.all(name)
        return statistics.stdev(values) if len(values) > 1 else None

    def all(self, name: str) -> list[float]:
        """A figure of each run that has it, by seed."""
        return [one.figures[name] for one in self.by_seed if name in one.figures]


def is_seed(key: str) -> bool:
    return key.rpartition(".")[2] == "seed"


def seed_of(run: FlowRun) -> tuple[Any, ...]:
    """The changed seeds of a run, by which its group is sorted."""
    return tuple(sorted((key, str(value)) for key, value in run.overrides.items() if is_seed(key)))


def differences(run: FlowRun) -> dict[str, Any]:
    """How a run differs from the default."""
    given = {"profile": run.profile, "text": run.text, "size": run.size}
    return {name: value for name, value in given.items() if value} | run.overrides


def changes(run: FlowRun, seeds: bool = True) -> str:
    """The differences from the default, on one line and never shortened."""
    found = {key: value for key, value in differences(run).items() if seeds or not is_seed(key)}
    return ", ".join(f"{key} {number(value)}" for key, value in found.items())


def folded(found: Sequence[Result]) -> list[Group]:
    """Groups of completed runs that differ only in their seeds, in the order of their latest; other runs stay alone."""
    groups: dict[str, list[Result]] = {}
    for one in found:
        rest = {key: value for key, value in differences(one.run).items() if not is_seed(key)}
        same = [one.run.flow, one.run.archived, rest, "" if one.run.kind == "COMPLETED" else one.run.id]
        groups.setdefault(compact(same), []).append(one)
    return [Group(_one_per_seed(members)) for members in groups.values()]


def _one_per_seed(members: Sequence[Result]) -> tuple[Result, ...]:
    """The latest run of each seed: the same run twice is not two seeds."""
    latest: dict[tuple[Any, ...], Result] = {}
    for one in members:
        latest.setdefault(seed_of(one.run), one)
    return tuple(latest.values())


def alone(found: Sequence[Result]) -> list[Group]:
    return [Group((one,)) for one in found]


def of(runs: Sequence[FlowRun]) -> list[Result]:
    """Runs with their records; raises `Unavailable` if MLflow does not answer."""
    parents = {parent.tags.get("prefect.flow_run_id"): parent for parent in reversed(_parents())}
    own: dict[str, dict[str, Record]] = {}
    makers: dict[tuple[str, str], Record] = {}
    for record in _measured():  # newest first: of a retried stage, the last attempt counts
        own.setdefault(record.tags.get("prefect.flow_run_id", ""), {}).setdefault(record.stage, record)
        for md5 in _json(record.tags.get("dvc.outs", "")).values():
            makers.setdefault((record.stage, str(md5)[:SHORT]), record)
    found = []
    for run in runs:
        parent = parents.get(run.id)
        stages = dict(own.get(run.id, {}))
        for stage, hashes in _outputs(run, parent).items():
            made = next((makers[stage, md5[:SHORT]] for md5 in hashes.values() if (stage, md5[:SHORT]) in makers), None)
            if made and stage not in stages:
                stages[stage] = made
        found.append(Result(run, parent, stages))
    return found


SHORT = 24  # digits of a hash in the table that a run writes


def _outputs(run: FlowRun, parent: Record | None) -> dict[str, dict[str, str]]:
    """Stage to path to hash, of a run's stages, cached ones included."""
    if parent:
        named = {
            key.removeprefix("dvc.").replace("/", "@"): text
            for key, text in parent.tags.items()
            if key.startswith("dvc.")
        }
        return {stage: _json(text) for stage, text in named.items()}
    return {} if run.kind != "COMPLETED" else _cached_outputs(run.id)


def _json(text: str) -> dict[str, str]:
    """An object; empty if the text is none, or was cut off."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@st.cache_data(ttl=LATER, max_entries=MOST, show_spinner=False)
def _cached_outputs(run_id: str) -> dict[str, dict[str, str]]:
    return reads.prefect(lambda runs: runs.outputs(run_id))


@st.cache_data(ttl=SOON, show_spinner=False)
def _parents() -> list[Record]:
    return reads.mlflow(lambda records: records.parents(MOST))


@st.cache_data(ttl=SOON, show_spinner=False)
def _measured() -> list[Record]:
    return reads.mlflow(lambda records: records.measured(MOST))
