"""What others have recorded about runs: MLflow's runs and registered versions, Prefect's flow runs. Plain values."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Run:
    """A run that MLflow knows: of a whole pipeline, or of one stage.

    Attributes:
        id: MLflow's.
        name: its name in MLflow.
        parent: id of the pipeline's run; empty for that run itself.
        started: ISO time, UTC.
    """

    id: str
    name: str
    parent: str = ""
    status: str = ""
    started: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        return self.tags.get("stage", "")

    def hashes(self, tag: str) -> dict[str, str]:
        """Path to md5, from a tag with JSON; empty if it was cut off."""
        try:
            found = json.loads(self.tags.get(tag, "{}"))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def outputs(self) -> dict[str, dict[str, str]]:
        """For a pipeline's run: stage to path to md5."""
        tags = (tag for tag in self.tags if tag.startswith("dvc.") and tag not in ("dvc.deps", "dvc.outs"))
        return {tag[4:].replace("/", "@"): found for tag in tags if (found := self.hashes(tag))}


@dataclass(frozen=True)
class Version:
    """A version of a registered model."""

    model: str
    number: str
    run: str
    folder: Path | None
    weights: str
    aliases: tuple[str, ...] = ()
    decisions: Sequence[Mapping[str, Any]] = ()

    @property
    def address(self) -> str:
        return f"models:/{self.model}/{self.number}"


@dataclass(frozen=True)
class FlowRun:
    """A flow run of Prefect: who or what started it is `started_by`, empty if unknown."""

    id: str
    name: str
    started: str = ""
    state: str = ""
    started_by: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Runs:
    """All records."""

    runs: Sequence[Run] = ()
    versions: Sequence[Version] = ()
    flow_runs: Sequence[FlowRun] = ()

    @cached_property
    def by_id(self) -> dict[str, Run]:
        return {run.id: run for run in self.runs}

    @cached_property
    def pipelines(self) -> list[Run]:
        """The runs of whole pipelines, latest first."""
        return sorted((run for run in self.runs if not run.parent), key=lambda run: run.started, reverse=True)

    @cached_property
    def flow_run_of(self) -> dict[str, FlowRun]:
        return {run.id: run for run in self.flow_runs}

    @cached_property
    def _makers(self) -> dict[tuple[str, frozenset[str]], Run]:
        stages = sorted((run for run in self.runs if run.stage), key=lambda run: run.started, reverse=True)
        return {(run.stage, frozenset(run.hashes("dvc.outs").values())): run for run in stages}

    def maker(self, stage: str, hashes: Iterable[str]) -> Run | None:
        """The first run of a stage that wrote exactly these outputs; later runs with equal inputs found them cached."""
        return self._makers.get((stage, frozenset(hashes)))

    def pipeline_of(self, run: Run) -> Run:
        """The pipeline's run that a stage's run belongs to, or the run itself."""
        return self.by_id.get(run.parent, run)
