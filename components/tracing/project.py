"""All that a project's folder knows, read once and lazily: states, files, checkpoints, token sets, records of runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from components.tracing.checkpoints import Checkpoint, TokenSet, find_checkpoints, find_tokens
from components.tracing.runs import FlowRun, Run, Runs, Version
from components.tracing.states import Files, State, find_states

SUMMARY_WEIGHTS = "checkpoint_sha256"  # in the summary of a training stage


@dataclass(frozen=True)
class Project:
    """A project's folder.

    Attributes:
        root: the main folder.
        cache: DVC's cache.
        places: the folders of runs, the latest first: the main folder and its workspaces.
        runs: what MLflow and Prefect have recorded; empty in a clone without them.
    """

    root: Path
    cache: Path
    places: Sequence[Path]
    runs: Runs = field(default_factory=Runs)

    @cached_property
    def files(self) -> Files:
        return Files(self.cache)

    @cached_property
    def states(self) -> list[State]:
        return find_states(self.root, self.places, self.runs)

    @cached_property
    def checkpoints(self) -> dict[str, list[Checkpoint]]:
        """By content, each with all states that have it."""
        return find_checkpoints(self.files, self.states)

    @cached_property
    def tokens(self) -> dict[str, TokenSet]:
        """By fingerprint."""
        return find_tokens(self.files, self.states)

    def weights(self, checkpoint: Checkpoint) -> str:
        """Hash of a checkpoint's weights, as the stage's summary or a later checkpoint's lineage says; empty if none does."""
        for path, (stage, _) in checkpoint.state.outs.items():
            is_summary = stage == checkpoint.stage and path.endswith(".json")
            if is_summary and (found := self.files.json(checkpoint.state, path).get(SUMMARY_WEIGHTS)):
                return str(found)
        return ""

    @cached_property
    def by_weights(self) -> dict[str, str]:
        """Key of `checkpoints` by the hash of the weights."""
        return {weights: key for key, same in self.checkpoints.items() if (weights := self.weights(same[0]))}

    def versions_of(self, weights: str) -> list[Version]:
        return [version for version in self.runs.versions if weights and version.weights == weights]

    def scores(self, checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
        """Overall scores of a checkpoint in its state, by the folder of its answers."""
        state, found = checkpoint.state, {}
        for name, stage in state.stages.items():
            words = stage.get("cmd", "").split()
            scored = words[words.index("--checkpoint") + 1] if "--checkpoint" in words[:-1] else checkpoint.path
            if scored == checkpoint.path and checkpoint.path in state.inputs(name):
                for out in stage.get("outs", []):
                    if out["path"].startswith("reports/benchmark_"):
                        for suite, figures in self.files.json(state, out["path"]).items():
                            kept = ("accuracy", "stderr", "examples", "chance", "bits_per_byte")
                            found[f"{name} {suite}"] = {key: figures[key] for key in kept if key in figures}
        return found

    def made_by(self, state: State, stage: str) -> Run | None:
        """MLflow's run of the stage that wrote what a state has of it."""
        return self.runs.maker(stage, (md5 for owner, md5 in state.outs.values() if owner == stage))

    def flow_run(self, run: Run) -> FlowRun | None:
        """The flow run of Prefect that a run of MLflow belongs to."""
        return self.runs.flow_run_of.get(run.tags.get("prefect.flow_run_id", ""))
