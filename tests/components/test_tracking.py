"""What a step tells MLflow, and how a reader gets from a run to everything else."""

import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.errors import StepError
from components.tracking import (
    Notes,
    ensure_experiment,
    lock_hashes,
    project_home,
    source_tags,
    state_folder,
    track,
    tracking_uri,
)

LOCK = """\
schema: '2.0'
stages:
  ingest:
    cmd: x
    outs:
    - path: data/raw
      hash: md5
      md5: 0123456789abcdef0123456789abcdef.dir
"""


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository in a folder with a blank in its name."""
    folder = tmp_path / "my project"
    (folder / "data" / "raw").mkdir(parents=True)
    (folder / "dvc.lock").write_text(LOCK)
    git(folder, "init", "-q")
    git(folder, "add", "dvc.lock")
    git(folder, "commit", "-qm", "start")
    return folder


def test_a_workspace_shares_the_main_folders_database(project: Path) -> None:
    git(project, "worktree", "add", "-q", "--detach", "workspaces/w 1")
    assert project_home(project / "workspaces" / "w 1") == project_home(project) == project
    assert tracking_uri(project / "workspaces" / "w 1") == f"sqlite:///{project}/mlflow.db"


def test_the_state_folder_is_the_main_folders_and_closed_to_others(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(project, "worktree", "add", "-q", "--detach", "workspaces/w")
    monkeypatch.chdir(project / "workspaces" / "w")
    assert state_folder() == project / ".phiforge"
    assert state_folder().stat().st_mode & 0o777 == 0o700


def test_hashes_come_from_the_lock(project: Path) -> None:
    assert lock_hashes(project, ["data/raw", "data/unknown"]) == {"data/raw": "0123456789abcdef0123456789abcdef.dir"}
    assert lock_hashes(project / "data", ["data/raw"]) == {}


def test_a_step_outside_dvc_leaves_no_trace(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    with track("curation", {"seed": 1}, ["data/raw"]) as tracker:
        tracker.metrics({"loss": 1.0})
    assert not (project / "mlflow.db").exists()


def test_a_step_inside_dvc_is_a_run_with_leads(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.chdir(project)
    monkeypatch.setenv("DVC_STAGE", "curate")
    with track("curation", {"curation": {"min_chars": 5}}, ["data/raw"]) as tracker:
        tracker.metrics({"loss": 2.0}, step=1)
        tracker.metrics({"loss": 1.0}, step=2)
        tracker.metrics({"loss": 1.0, "documents": 3})  # a summary: the curve keeps its two points
        tracker.artifact(project / "dvc.lock")
    with pytest.raises(ValueError, match="could not convert"), track("curation", {"seed": 3}, []) as tracker:
        tracker.metrics({"loss": "broken"})
    assert (project / "mlflow.db").is_file()
    client = mlflow.MlflowClient(tracking_uri())
    experiment = client.get_experiment_by_name("phiforge")
    failed, run = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    assert (failed.info.status, run.info.status) == ("FAILED", "FINISHED")
    assert failed.data.params == {"seed": "3"}
    assert run.data.params == {"curation.min_chars": "5"}
    assert [m.value for m in client.get_metric_history(run.info.run_id, "loss")] == [2.0, 1.0]
    assert run.data.metrics["documents"] == 3
    tags = run.data.tags
    assert (tags["stage"], tags["pipeline.source"], len(tags["git.commit"])) == ("curate", "dvc repro", 40)
    assert json.loads(tags["dvc.deps"]) == {"data/raw": "0123456789abcdef0123456789abcdef.dir"}
    assert run.inputs.dataset_inputs[0].dataset.digest == "0123456789abcdef0123456789abcdef.dir"
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["dvc.lock"]
    assert str(project / "mlartifacts").replace(" ", "%20") in run.info.artifact_uri


def test_the_source_of_a_changed_tree_is_told_from_head(project: Path) -> None:
    clean = source_tags(project)
    assert clean["git.source"] == "HEAD"
    assert "git.ref" not in clean
    (project / "step.py").write_text("new\n")
    git(project, "add", "step.py")
    changed = source_tags(project)
    assert changed["git.commit"] == clean["git.commit"]
    assert changed["git.source"] == "HEAD plus changes in step.py"
    assert changed["git.tree"] != clean["git.tree"]
    shown = subprocess.run(
        ["git", "show", f"{changed['git.ref']}:step.py"], cwd=project, capture_output=True, text=True
    )
    assert shown.stdout == "new\n"


def test_no_repository_costs_the_tags_and_not_the_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert source_tags(tmp_path) == {}
    assert "no source is recorded: git rev-parse failed" in capsys.readouterr().out


def test_a_flows_stages_are_children_of_its_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.chdir(project)
    uri = f"sqlite:///{project}/other.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = mlflow.MlflowClient(uri)
    parent = client.create_run(client.create_experiment("phiforge"), run_name="flow")
    monkeypatch.setenv("PHIFORGE_PARENT_RUN_ID", parent.info.run_id)
    monkeypatch.setenv("PHIFORGE_FLOW_RUN_ID", "flow-7")
    monkeypatch.setenv("DVC_STAGE", "benchmark@small")
    with track("benchmarking", {}, []) as tracker:
        tracker.metrics({"exam.accuracy": 0.5})
    (child,) = client.search_runs([parent.info.experiment_id], "tags.stage = 'benchmark@small'")
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.tags["prefect.flow_run_id"] == "flow-7"
    assert child.info.run_name == "benchmark@small"
    assert client.get_run(parent.info.run_id).info.status == "RUNNING"


def test_a_figure_without_end_is_not_stored_as_a_number(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.chdir(project)
    monkeypatch.setenv("DVC_STAGE", "train_small")
    with track("training", {}, []) as tracker:
        tracker.metrics({"perplexity": math.inf, "gain": -math.inf, "loss": 1.5})
    client = mlflow.MlflowClient(tracking_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("phiforge").experiment_id])
    assert math.isnan(run.data.metrics["perplexity"])
    assert math.isnan(run.data.metrics["gain"])
    assert run.data.metrics["loss"] == 1.5


def test_a_deleted_experiment_is_said_with_the_remedy(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{project}/mlflow.db")
    number = ensure_experiment(client)
    client.delete_experiment(number)
    with pytest.raises(StepError, match=rf"'phiforge' was deleted; .* --experiment-id {number}`") as caught:
        ensure_experiment(client)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
    words = re.search(r"`mlflow (.*)`", str(caught.value))[1].split()
    subprocess.run([sys.executable, "-m", "mlflow", *words], cwd=project, check=True, capture_output=True)
    assert ensure_experiment(client) == number
    client.delete_experiment(number)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    assert ensure_experiment(client) != number


def test_an_experiment_opens_on_mlflows_page_of_training_runs(project: Path) -> None:
    import mlflow

    def kind() -> str:
        return client.get_experiment(number).tags["mlflow.experimentKind"]

    client = mlflow.MlflowClient(f"sqlite:///{project}/mlflow.db")
    number = client.create_experiment("phiforge")  # as made before, without its kind
    assert ensure_experiment(client) == number
    assert kind() == "custom_model_development"
    client.set_experiment_tag(number, "mlflow.experimentKind", "genai_development")
    ensure_experiment(client)
    assert kind() == "genai_development"  # what a person chose stays


STEP = """
import sys
import time
from pathlib import Path
from components.errors import StepError
from components.tracking import track

try:
    with track("curation", {"seed": 3}, ["data/raw"]) as tracker:
        tracker.metrics({"documents": 7, "perplexity": float("inf")})
        tracker.artifact(Path("dvc.lock"), "kept")
        if "refused" in sys.argv:
            raise StepError("no text")
except StepError:
    pass
print([name for name in ("mlflow", "sqlalchemy", "pandas") if name in sys.modules])
"""


@pytest.mark.parametrize(("word", "status"), [("done", "FINISHED"), ("refused", "FAILED")])
def test_a_flow_tells_what_a_step_leaves_without_loading_a_client(
    project: Path, root: Path, monkeypatch: pytest.MonkeyPatch, word: str, status: str
) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{project}/mlflow.db")
    parent = client.create_run(ensure_experiment(client)).info.run_id
    left = project / "notes.json"
    for name, value in {
        "DVC_STAGE": "curate",
        "PYTHONPATH": str(root),
        "PHIFORGE_NOTES": str(left),
        "PHIFORGE_PARENT_RUN_ID": parent,
        "PHIFORGE_FLOW_RUN_ID": "flow-7",
    }.items():
        monkeypatch.setenv(name, value)
    began = int(time.time() * 1000)
    ran = subprocess.run([sys.executable, "-c", STEP, word], cwd=project, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
    notes = Notes(**json.loads(left.read_text()))
    run_id = notes.open_run(client)
    notes.close_run(client, run_id)
    run = client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == (status, "curate")
    assert began <= run.info.start_time <= run.info.end_time <= time.time() * 1000
    assert run.data.params == {"seed": "3"}
    assert run.data.metrics["documents"] == 7
    assert math.isnan(run.data.metrics["perplexity"])
    tags = run.data.tags
    assert (tags["stage"], tags["mlflow.parentRunId"], tags["prefect.flow_run_id"]) == ("curate", parent, "flow-7")
    assert (len(tags["git.commit"]), "pipeline.source" in tags) == (40, False)
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("data/raw", "0123456789abcdef0123456789abcdef.dir")
    assert str(project / "data" / "raw").replace(" ", "%20") in dataset.dataset.source.replace(" ", "%20")
    assert [item.path for item in client.list_artifacts(run_id, "kept")] == ["kept/dvc.lock"]


def test_a_curve_is_told_while_the_step_works(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.chdir(project)
    monkeypatch.setenv("DVC_STAGE", "train_small")
    monkeypatch.setenv("PHIFORGE_NOTES", str(project / "notes.json"))
    with track("training", {}, []) as tracker:
        tracker.metrics({"loss": 2.0}, step=1)
        client = mlflow.MlflowClient(tracking_uri())
        (run,) = client.search_runs([client.get_experiment_by_name("phiforge").experiment_id])
        assert (run.info.status, run.data.tags["stage"]) == ("RUNNING", "train_small")
    assert client.get_run(run.info.run_id).info.status == "FINISHED"
    assert not (project / "notes.json").exists()
