"""What MLflow is told of the stages of a flow run."""

import json

import pytest

from components.tracking import track
from flows import records
from flows.lineage import Lineage, children, client

FLOW_RUN = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def lineage(tmp_path, monkeypatch):
    """The lineage of a flow run, and its MLflow client."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    made = Lineage(tmp_path, tmp_path, FLOW_RUN, "calm-otter")
    made.ensure()
    return made, client(tmp_path)


def step(made: Lineage, stage: str, monkeypatch, error: str = "") -> None:
    """Do as the step of a stage does, in its environment."""
    with monkeypatch.context() as patch:
        patch.chdir(made.root)
        for name, value in {**made.environment_of(stage), "DVC_STAGE": stage}.items():
            patch.setenv(name, value)
        with track("curation", {}, []) as tracker:
            tracker.metrics({"documents": 7})
            if error:
                raise ValueError(error)


def test_a_stage_that_ran_is_a_child_with_its_figures_and_outputs(lineage, monkeypatch, tmp_path):
    made, mlflow = lineage
    step(made, "benchmark@small", monkeypatch)
    assert children(mlflow, made.run_id, "tags.stage = 'benchmark@small'") == []
    made.stage_ran("benchmark@small", {"scores": "abc"}, tmp_path)
    (run,) = children(mlflow, made.run_id, "tags.stage = 'benchmark@small'")
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"documents": 7})
    assert json.loads(run.data.tags["dvc.outs"]) == {"scores": "abc"}
    made.stage_ran("benchmark@small", {"scores": "abc"}, tmp_path)  # nothing is told twice
    assert len(children(mlflow, made.run_id, "tags.stage = 'benchmark@small'")) == 1


def test_a_stage_that_failed_is_told_as_failed_each_time(lineage, monkeypatch):
    made, mlflow = lineage
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            step(made, "curate", monkeypatch, "broken")
        made.close_child("curate", "FAILED")
    assert [run.info.status for run in children(mlflow, made.run_id, "tags.stage = 'curate'")] == ["FAILED", "FAILED"]


def test_notes_that_nobody_told_go_with_the_record_of_the_run(lineage, monkeypatch):
    made, _ = lineage
    records.write(made.home, FLOW_RUN)
    step(made, "curate", monkeypatch)
    assert records.notes_file(made.home, FLOW_RUN, "curate").is_file()
    assert [flow_run_id for flow_run_id, _ in records.all_of(made.home)] == [FLOW_RUN]
    records.remove(made.home, FLOW_RUN)
    assert list((made.home / ".phiforge" / "runs").iterdir()) == []
