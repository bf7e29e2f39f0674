"""The flow over a toy project: what runs, what is skipped, what is reported, what a failure says."""

import json

import pytest


def stage_states(state) -> dict[str, tuple[str, str]]:
    """Name and message of each task's last state, by stage."""
    from prefect import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    from flows.processes import wait_until

    flow_run_id = state.state_details.flow_run_id
    found = {}

    def settled() -> bool:  # the server records task states from a queue
        with get_client(sync_client=True) as client:
            runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])))
        found.update({run.name: (run.state.name, run.state.message or "") for run in runs})
        return all(run.state.is_final() for run in runs)

    assert wait_until(settled, 30)
    return found


def artifacts(state) -> dict[str, str]:
    from prefect import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        return {artifact.key: artifact.data for artifact in client.read_artifacts(artifact_filter=wanted)}


def test_second_run_finds_everything_cached_and_the_lock_is_that_of_dvc(project, run_flow, toy, tmp_path):
    first = run_flow()
    assert first.message == "5 of 5 stages ran, 0 cached"
    assert {name for name, _ in stage_states(first).values()} == {"Completed"}

    second = run_flow()
    assert second.message == "all 5 stages were cached"
    assert set(stage_states(second).values()) == {("Cached", "nothing changed")}
    assert {stage: toy.starts(project, stage) for stage in ("inventory", "prepare", "train", "report")} == {
        "inventory": 2,  # it has to look
        "prepare": 1,
        "train": 1,
        "report": 1,
    }

    other = toy.make_project(tmp_path / "by dvc")
    toy.dvc(other, "repro")
    assert (other / "dvc.lock").read_bytes() == (project / "dvc.lock").read_bytes()
    assert "didn't change" in toy.dvc(project, "repro", "train")


def test_lost_outputs_come_back_from_the_run_cache(project, run_flow, toy):
    run_flow()
    (project / "models" / "model.txt").unlink()
    assert stage_states(run_flow())["train"] == ("Cached", "restored")
    assert (project / "models" / "model.txt").is_file()
    assert toy.starts(project, "train") == 1


def test_a_result_that_was_edited_in_place_is_made_anew_and_named(project, run_flow, toy):
    """Outputs may be hard links of DVC's cache: such an edit changes the cached copy too."""
    from flows import events

    toy.dvc(project, "config", "cache.type", "hardlink")
    run_flow()
    model = project / "models" / "model.txt"
    whole = model.read_text()
    assert model.stat().st_nlink == 2
    model.chmod(0o644)
    model.write_text("edited")
    model.chmod(0o444)
    notes = []
    with events.listen(lambda event: notes.append(event.text) if event.kind == "note" else None):
        state = run_flow()
    assert model.read_text() == whole
    assert notes == [
        "models/model.txt: DVC's cached copy was changed after it was made (wrong hash); it was removed and is made again"
    ]
    assert toy.starts(project, "train") == 2
    assert stage_states(state)["train"][0] == "Completed"
    assert stage_states(state)["report"] == ("Cached", "nothing changed")


def test_a_spoilt_copy_that_dvc_restores_is_made_anew(project, run_flow, toy):
    """The object was made for a workspace that is gone; nothing in the new one names it before DVC restores it."""
    from flows.graph import locked_outputs

    run_flow()
    whole = (project / "models" / "model.txt").read_text()
    md5 = locked_outputs(project, "train")["models/model.txt"]
    cached = project / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    cached.chmod(0o644)
    cached.write_text("spoilt")
    cached.chmod(0o444)
    for path in (project / "dvc.lock", project / "models" / "model.txt"):
        path.unlink()
    run_flow()
    assert (project / "models" / "model.txt").read_text() == whole
    assert cached.read_text() == whole
    assert toy.starts(project, "train") == 2


def test_artifacts_and_mlflow_lead_to_each_other(project, run_flow):
    (project / "reports").mkdir()
    state = run_flow()
    flow_run_id = str(state.state_details.flow_run_id)
    found = artifacts(state)
    table = {row["stage"]: row for row in json.loads(found["stages"])}
    assert list(table) == ["inventory", "prepare", "train", "check", "report"]
    assert table["train"]["outcome"] == "ran"
    assert table["train"]["outputs"].startswith("models/model.txt ")

    from mlflow import MlflowClient

    from flows.graph import locked_outputs

    client = MlflowClient(tracking_uri=f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("phiforge")
    (parent,) = client.search_runs([experiment.experiment_id])
    assert experiment.artifact_location == (project / "mlartifacts").as_uri()
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["prefect.flow_run_id"] == flow_run_id
    assert json.loads(parent.data.tags["dvc.train"]) == locked_outputs(project, "train")
    assert parent.info.run_id in found["mlflow"]

    from prefect import get_client

    with get_client(sync_client=True) as prefect:
        run = prefect.read_flow_run(flow_run_id)
    assert run.labels["mlflow.run_id"] == parent.info.run_id
    assert parent.info.run_name == run.name


def test_the_lineage_of_a_changed_tree_says_so(project, run_flow, toy):
    (project / "step.py").write_text((project / "step.py").read_text() + "# changed\n")
    run_flow()
    run_flow(overrides={"seed": 2})

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{project / 'mlflow.db'}")
    latest, first = client.search_runs([client.get_experiment_by_name("phiforge").experiment_id])
    assert first.data.tags["git.source"] == "HEAD plus changes in step.py"
    assert latest.data.tags["git.source"] == "HEAD plus changes in params.yaml, step.py"
    for run in (first, latest):
        assert run.data.tags["git.commit"] == toy.git(project, "rev-parse", "HEAD").strip()
        assert toy.git(project, "show", f"{run.data.tags['git.ref']}:step.py").endswith("# changed\n")
    assert "seed: 2" in toy.git(project, "show", f"{latest.data.tags['git.ref']}:params.yaml")


def test_an_explained_failure_is_not_retried_and_shows_the_last_lines(project, run_flow, toy):
    (project / "trace" / "prepare.fail").write_text("error: prepare: 3 of 5 rows have no text")
    state = run_flow()
    assert state.is_failed()
    message = str(state.result(raise_on_failure=False))
    assert message.startswith("failed: prepare; therefore not run: train, check, report\n")
    assert "stage prepare: failed with exit status 1" in message
    assert message.endswith("line 29 of prepare\nerror: prepare: 3 of 5 rows have no text")
    assert len(message.splitlines()) == 17
    assert toy.starts(project, "prepare") == 1
    assert toy.starts(project, "train") == 0
    outcomes = {row["stage"]: row["outcome"] for row in json.loads(artifacts(state)["stages"])}
    assert outcomes == {
        "inventory": "ran",
        "prepare": "failed",
        "train": "not run",
        "check": "not run",
        "report": "not run",
    }


def test_a_crash_is_retried_and_the_rest_may_finish(project, run_flow, toy, tmp_path):
    (project / "trace" / "prepare.fail").write_text("once only")
    (project / "trace" / "check.fail").write_text("Segmentation fault")
    state = run_flow()
    assert toy.starts(project, "prepare") == 2  # meta allows one more try
    assert state.is_failed()
    assert str(state.result(raise_on_failure=False)).startswith("failed: check; therefore not run: report\n")
    assert (project / "models" / "model.txt").is_file()

    (project / "trace" / "check.fail").unlink()
    run_flow()
    whole = toy.make_project(tmp_path / "undisturbed")
    toy.dvc(whole, "repro")
    assert (project / "dvc.lock").read_bytes() == (whole / "dvc.lock").read_bytes()


def test_prefect_keeps_a_few_progress_lines_of_a_stage_and_every_other_line(project, monkeypatch):
    from types import SimpleNamespace

    from flows import events, pipeline
    from flows.graph import Stage

    lines = [*(f"progress done={done} total=1000" for done in range(1, 1001)), "line of the stage"]
    clock = iter(range(100_000))
    monkeypatch.setattr("components.running.progress.time.monotonic", lambda: next(clock) / 10)
    logged, seen = [], []
    runner = SimpleNamespace(run=lambda stage, on_line, variables: [on_line(line) for line in lines])
    with events.listen(lambda event: seen.append(event.text)):
        stage = Stage("benchmark@small", always_changed=True)
        pipeline.run_limited(SimpleNamespace(runner=runner), stage, SimpleNamespace(info=logged.append))
    assert seen == lines
    assert logged[0] == lines[0]
    assert logged[-1] == lines[-1]
    assert len(logged) < 25


def test_what_a_killed_run_left_open_is_closed(project, run_flow):
    """As Prefect's runner calls the hook after a kill: by keyword, in another process than the run's."""
    from mlflow import MlflowClient
    from prefect import get_client
    from prefect.states import Running

    from flows import records
    from flows.pipeline import mark_lost, pipeline

    state = run_flow()
    flow_run_id = state.state_details.flow_run_id
    stage_states(state)
    mlflow = MlflowClient(tracking_uri=f"sqlite:///{project / 'mlflow.db'}")
    (parent,) = mlflow.search_runs([mlflow.get_experiment_by_name("phiforge").experiment_id])
    child = mlflow.create_run(parent.info.experiment_id, tags={"mlflow.parentRunId": parent.info.run_id})
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run_id, Running(), force=True)
        mlflow.update_run(parent.info.run_id, status="RUNNING")
        records.write(project, str(flow_run_id), mlflow=parent.info.run_id)
        mark_lost(flow=pipeline, flow_run=client.read_flow_run(flow_run_id), state=state)
        assert client.read_flow_run(flow_run_id).state.is_crashed()
    assert {mlflow.get_run(run.info.run_id).info.status for run in (parent, child)} == {"KILLED"}
    assert list(records.all_of(project)) == []


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"overrides": {"curation.min_char": 5}}, "unknown key 'curation.min_char'; the nearest known key is"),
        ({"overrides": {"seed": -1}}, "seed = -1"),
        ({"profile": "nobody"}, "profile 'nobody' is not there; profiles/ has: tiny"),
    ],
)
def test_wrong_parameters_are_refused_before_any_work(project, run_flow, toy, parameters, named):
    state = run_flow(**parameters)
    assert state.is_failed()
    assert named in str(state.result(raise_on_failure=False))
    assert toy.starts(project, "inventory") == 0
    assert not (project / "workspaces").exists()


def test_deployment_registers_without_any_folder_of_this_machine(prefect_api, monkeypatch):
    import subprocess
    import sys
    from pathlib import Path

    from prefect import get_client

    repository = Path(__file__).parents[2]
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.setenv("PHIFORGE_HOME", str(repository))
    done = subprocess.run(
        [sys.executable, "-m", "flows.deploy"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("pipeline/local")
    assert deployment.work_pool_name == "local"
    assert [schedule.active for schedule in deployment.schedules] == [False]
    assert str(repository) not in str(deployment.pull_steps)
    assert set(deployment.parameter_openapi_schema["properties"]) >= {"overrides", "profile", "text", "size"}
